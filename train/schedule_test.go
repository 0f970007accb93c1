package train_test

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/train"
)

func TestWarmupCosine(t *testing.T) {
	half := 2e-3 * (0.1 + 0.9*0.5)
	for _, test := range []struct {
		name          string
		warmup, steps int
		final         float64
		want          map[int]float64 // by step
	}{
		{"usual", 10, 111, 0.1, map[int]float64{0: 2e-4, 4: 1e-3, 9: 2e-3, 10: 2e-3, 35: 2e-3 * (0.1 + 0.9*(1+math.Sqrt2/2)/2), 60: half, 110: 2e-4, 500: 2e-4}},
		{"without warm-up", 0, 3, 0.1, map[int]float64{0: 2e-3, 1: half, 2: 2e-4}},
		{"to zero", 0, 3, 0, map[int]float64{0: 2e-3, 1: 1e-3, 2: 0}},
		{"one step", 0, 1, 0.1, map[int]float64{0: 2e-3}},
		{"all warm-up", 4, 4, 0.1, map[int]float64{0: 5e-4, 3: 2e-3}},
		{"longer warm-up than run", 8, 4, 0.1, map[int]float64{0: 2.5e-4, 3: 1e-3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := train.WarmupCosine(2e-3, test.warmup, test.steps, test.final)
			for step, want := range test.want {
				if got := s(step); math.Abs(got-want) > 1e-15 {
					t.Errorf("step %d: got %v, want %v", step, got, want)
				}
			}
		})
	}
}

func TestConstant(t *testing.T) {
	s := train.Constant(0.25)
	for _, step := range []int{0, 1, 1 << 40} {
		if got := s(step); got != 0.25 {
			t.Errorf("step %d: got %v, want 0.25", step, got)
		}
	}
}
