//go:build !race

// The race detector slows Go down and C not at all, which would spoil the ratio.

package autograd_test

import (
	"testing"
	"time"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// The ways to compute a product, n times between two releases.
var recordings = []struct {
	name string
	run  func(x *tensor.Tensor, n int)
}{
	{"tensor", func(x *tensor.Tensor, n int) {
		s := tensor.NewScope()
		h := s.Use(x)
		for range n {
			tensor.Mul(h, h)
		}
		s.Close()
	}},
	{"recorded", func(x *tensor.Tensor, n int) {
		tape := autograd.NewTape()
		v := tape.Var(x)
		for range n {
			mul(v, v)
		}
		tape.Close()
	}},
	{"recorded by ops", func(x *tensor.Tensor, n int) {
		tape := autograd.NewTape()
		v := tape.Var(x)
		for range n {
			ops.Mul(v, v)
		}
		tape.Close()
	}},
}

// Recording an operation costs at most half as much again as the operation on
// tensors. Minima of interleaved runs keep the rest of the machine out.
func TestRecordingCost(t *testing.T) {
	const n, rounds, limit = 500, 60, 1.5
	x := tensor.Normal(tensor.Key(1), 4, 4)
	var ratios []float64
	for range 4 {
		fastest := make([]time.Duration, len(recordings))
		for range rounds {
			for i, r := range recordings {
				start := time.Now()
				r.run(x, n)
				if d := time.Since(start); fastest[i] == 0 || d < fastest[i] {
					fastest[i] = d
				}
			}
		}
		worst := 0.0
		for i, r := range recordings {
			ratio := float64(fastest[i]) / float64(fastest[0])
			t.Logf("%s: %v a node, %.2f times the tensor's", r.name, fastest[i]/n, ratio)
			worst = max(worst, ratio)
		}
		if worst <= limit {
			return
		}
		ratios = append(ratios, worst)
	}
	t.Errorf("a recorded operation costs %.2f times one on tensors, want at most %v", ratios, limit)
}
