package qla

import (
	"math"
	"testing"
)

func newSampler(t *testing.T, opt SampleOptions) *Sampler {
	t.Helper()
	s, err := NewSampler(opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSamplerFrequencies(t *testing.T) {
	const draws = 20000
	inf := float32(math.Inf(1))
	logits := []float32{1, -inf, 3, 2, 3}
	for _, test := range []struct {
		name string
		opt  SampleOptions
		want []float64 // relative to each other
	}{
		{"greedy takes the first of the likeliest", SampleOptions{Seed: 1}, []float64{0, 0, 1, 0, 0}},
		{"temperature 1", SampleOptions{Temperature: 1, Seed: 2}, []float64{math.Exp(-2), 0, 1, math.Exp(-1), 1}},
		{"temperature 2", SampleOptions{Temperature: 2, Seed: 3}, []float64{math.Exp(-1), 0, 1, math.Exp(-0.5), 1}},
		{"top 3", SampleOptions{Temperature: 1, TopK: 3, Seed: 4}, []float64{0, 0, 1, math.Exp(-1), 1}},
		{"top 1", SampleOptions{Temperature: 1, TopK: 1, Seed: 5}, []float64{0, 0, 1, 0, 0}},
		{"top of more than there are", SampleOptions{Temperature: 2, TopK: 9, Seed: 6}, []float64{math.Exp(-1), 0, 1, math.Exp(-0.5), 1}},
		{"almost cold", SampleOptions{Temperature: 1e-300, Seed: 7}, []float64{0, 0, 1, 0, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSampler(t, test.opt)
			count, total := make([]int, len(logits)), 0.0
			for range draws {
				id, err := s.Next(logits)
				if err != nil {
					t.Fatal(err)
				}
				count[id]++
			}
			for _, w := range test.want {
				total += w
			}
			for id, w := range test.want {
				p := w / total
				// Five standard deviations of a binomial count.
				if dev := math.Abs(float64(count[id]) - draws*p); dev > 5*math.Sqrt(draws*p*(1-p)) {
					t.Errorf("token %d came %d times in %d, want about %.0f", id, count[id], draws, draws*p)
				}
			}
		})
	}
}

func TestSamplerErrors(t *testing.T) {
	for _, opt := range []SampleOptions{{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: math.Inf(1)}, {TopK: -1}} {
		if _, err := NewSampler(opt); err == nil {
			t.Errorf("%+v is accepted", opt)
		}
	}
	s := newSampler(t, SampleOptions{Temperature: 1})
	for _, logits := range [][]float32{nil, {0, float32(math.NaN())}, {float32(math.Inf(1)), 0}} {
		if _, err := s.Next(logits); err == nil {
			t.Errorf("logits %v are accepted", logits)
		}
	}
	if id, err := s.Next([]float32{float32(math.Inf(-1)), float32(math.Inf(-1))}); id != 0 || err != nil {
		t.Errorf("all logits -Inf: %d, %v", id, err)
	}
}
