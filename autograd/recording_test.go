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

// recording is an operation on tensors and the same on Vars.
type recording struct {
	name      string
	onTensors func(x, row *tensor.Tensor)
	onVars    func(x, row *autograd.Var)
}

var recordings = []recording{
	{"own product", func(x, _ *tensor.Tensor) { tensor.Mul(x, x) }, func(x, _ *autograd.Var) { mul(x, x) }},
	{"Add", func(x, _ *tensor.Tensor) { tensor.Add(x, x) }, func(x, _ *autograd.Var) { ops.Add(x, x) }},
	{"Mul", func(x, _ *tensor.Tensor) { tensor.Mul(x, x) }, func(x, _ *autograd.Var) { ops.Mul(x, x) }},
	{"Mul by a row", func(x, row *tensor.Tensor) { tensor.Mul(x, row) }, func(x, row *autograd.Var) { ops.Mul(x, row) }},
	{"Maximum", func(x, _ *tensor.Tensor) { tensor.Maximum(x, x) }, func(x, _ *autograd.Var) { ops.Maximum(x, x) }},
	{"MatMul", func(x, _ *tensor.Tensor) { tensor.MatMul(x, x) }, func(x, _ *autograd.Var) { ops.MatMul(x, x) }},
	{"Square", func(x, _ *tensor.Tensor) { tensor.Square(x) }, func(x, _ *autograd.Var) { ops.Square(x) }},
	{"Tanh", func(x, _ *tensor.Tensor) { tensor.Tanh(x) }, func(x, _ *autograd.Var) { ops.Tanh(x) }},
	{"Exp", func(x, _ *tensor.Tensor) { tensor.Exp(x) }, func(x, _ *autograd.Var) { ops.Exp(x) }},
	{"MulScalar", func(x, _ *tensor.Tensor) { tensor.MulScalar(x, 2) }, func(x, _ *autograd.Var) { ops.MulScalar(x, 2) }},
	{"Reshape", func(x, _ *tensor.Tensor) { tensor.Reshape(x, 64) }, func(x, _ *autograd.Var) { ops.Reshape(x, 64) }},
	{"Transpose", func(x, _ *tensor.Tensor) { tensor.Transpose(x) }, func(x, _ *autograd.Var) { ops.Transpose(x) }},
	{"SliceAxis", func(x, _ *tensor.Tensor) { tensor.SliceAxis(x, 0, 1, 3) }, func(x, _ *autograd.Var) { ops.SliceAxis(x, 0, 1, 3) }},
	{"Concat", func(x, _ *tensor.Tensor) { tensor.Concat(0, x, x) }, func(x, _ *autograd.Var) { ops.Concat(0, x, x) }},
	{"Sum", func(x, _ *tensor.Tensor) { tensor.Sum(x, false, 0) }, func(x, _ *autograd.Var) { ops.Sum(x, false, 0) }},
	{"Softmax", func(x, _ *tensor.Tensor) { tensor.Softmax(x, -1) }, func(x, _ *autograd.Var) { ops.Softmax(x, -1) }},
}

// times are the fastest runs of n operations between two releases, on tensors and
// recorded. They interleave, so that the rest of the machine slows both.
func (r recording) times(n, rounds int) (plain, recorded time.Duration) {
	x, row := tensor.Normal(tensor.Key(1), 8, 8), tensor.Normal(tensor.Key(2), 8)
	plain, recorded = time.Hour, time.Hour
	for range rounds {
		s := tensor.NewScope()
		hx, hrow := s.Use(x), s.Use(row)
		start := time.Now()
		for range n {
			r.onTensors(hx, hrow)
		}
		s.Close()
		plain = min(plain, time.Since(start))

		tape := autograd.NewTape()
		vx, vrow := tape.Var(x), tape.Var(row)
		start = time.Now()
		for range n {
			r.onVars(vx, vrow)
		}
		tape.Close()
		recorded = min(recorded, time.Since(start))
	}
	return plain, recorded
}

// Recording an operation costs at most half as much again as the operation on
// tensors.
func TestRecordingCost(t *testing.T) {
	const n, rounds, limit = 500, 60, 1.5
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			var ratios []float64
			for range 4 {
				plain, recorded := r.times(n, rounds)
				ratio := float64(recorded) / float64(plain)
				t.Logf("%v recorded, %v on tensors: %.2f times", recorded/n, plain/n, ratio)
				if ratio <= limit {
					return
				}
				ratios = append(ratios, ratio)
			}
			t.Errorf("a recorded operation costs %.2f times one on tensors, want at most %v", ratios, limit)
		})
	}
}

// BenchmarkRecording prints what recording costs beside the operation.
func BenchmarkRecording(b *testing.B) {
	for _, r := range recordings {
		b.Run(r.name, func(b *testing.B) {
			var plain, recorded time.Duration
			for b.Loop() {
				plain, recorded = r.times(500, 20)
			}
			b.ReportMetric(float64(recorded.Nanoseconds())/500, "recorded-ns")
			b.ReportMetric(float64(plain.Nanoseconds())/500, "tensor-ns")
			b.ReportMetric(float64(recorded)/float64(plain), "ratio")
		})
	}
}
