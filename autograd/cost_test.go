package autograd_test

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// A toy step is a loss built of plain operations, none of them fused, once on
// Vars and once on tensors.
type toyStep struct {
	name      string
	onVars    func(v []*autograd.Var) *autograd.Var
	onTensors func(x []*tensor.Tensor) *tensor.Tensor
	inputs    []*tensor.Tensor
}

func toySteps() []toyStep {
	x, target := randn(1, 8, 16), randn(2, 8, 16)
	up, bias, down, gain := randn(3, 16, 32), randn(4, 32), randn(5, 32, 16), randn(6, 16)
	wq, wk, wv := randn(7, 16, 16), randn(8, 16, 16), randn(9, 16, 16)
	labels := tensor.FromSlice([]int32{0, 1, 2, 3, 4, 5}, 2, 3, 1)
	const eps = 1e-6
	scale := 1 / math.Sqrt(16)
	return []toyStep{
		{"perceptron",
			func(v []*autograd.Var) *autograd.Var {
				h := ops.Tanh(ops.Add(ops.MatMul(v[0], v[1]), v[2]))
				y := ops.MatMul(h, v[3])
				return ops.Mean(ops.Square(ops.Sub(y, v[4])), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				h := tensor.Tanh(tensor.Add(tensor.MatMul(x[0], x[1]), x[2]))
				y := tensor.MatMul(h, x[3])
				return tensor.Mean(tensor.Square(tensor.Sub(y, x[4])), false)
			},
			[]*tensor.Tensor{x, up, bias, down, target}},
		{"classifier of tokens",
			func(v []*autograd.Var) *autograd.Var {
				h := ops.ReLU(ops.Add(ops.MatMul(v[0], v[1]), v[2]))
				y := ops.MatMul(h, v[3])
				return ops.Mean(ops.Sub(ops.LogSumExp(y, true, -1), ops.TakeAlong(y, labels, -1)), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				h := tensor.Add(tensor.MatMul(x[0], x[1]), x[2])
				y := tensor.MatMul(tensor.Maximum(h, tensor.Like(h, 0)), x[3])
				return tensor.Mean(tensor.Sub(tensor.LogSumExp(y, true, -1), tensor.TakeAlong(y, labels, -1)), false)
			},
			[]*tensor.Tensor{randn(11, 2, 3, 16), up, bias, down}},
		{"block with a norm and a gate",
			func(v []*autograd.Var) *autograd.Var {
				x, up, bias, down, gain, target := v[0], v[1], v[2], v[3], v[4], v[5]
				r := ops.Rsqrt(ops.AddScalar(ops.Mean(ops.Square(x), true, -1), eps))
				n := ops.Mul(ops.Mul(x, r), gain)
				h := ops.Add(ops.MatMul(n, up), bias)
				h = ops.Mul(h, ops.Sigmoid(h))
				y := ops.Add(x, ops.MatMul(h, down))
				return ops.Mean(ops.Square(ops.Sub(y, target)), false)
			},
			func(v []*tensor.Tensor) *tensor.Tensor {
				x, up, bias, down, gain, target := v[0], v[1], v[2], v[3], v[4], v[5]
				r := tensor.Rsqrt(tensor.AddScalar(tensor.Mean(tensor.Square(x), true, -1), eps))
				n := tensor.Mul(tensor.Mul(x, r), gain)
				h := tensor.Add(tensor.MatMul(n, up), bias)
				h = tensor.Mul(h, tensor.Sigmoid(h))
				y := tensor.Add(x, tensor.MatMul(h, down))
				return tensor.Mean(tensor.Square(tensor.Sub(y, target)), false)
			},
			[]*tensor.Tensor{x, up, bias, down, gain, target}},
		{"attention",
			func(v []*autograd.Var) *autograd.Var {
				q, k, w := ops.MatMul(v[0], v[1]), ops.MatMul(v[0], v[2]), ops.MatMul(v[0], v[3])
				p := ops.Softmax(ops.MulScalar(ops.MatMul(q, ops.SwapAxes(k, 0, 1)), scale), -1)
				return ops.Mean(ops.Square(ops.Sub(ops.MatMul(p, w), v[4])), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				q, k, w := tensor.MatMul(x[0], x[1]), tensor.MatMul(x[0], x[2]), tensor.MatMul(x[0], x[3])
				p := tensor.Softmax(tensor.MulScalar(tensor.MatMul(q, tensor.SwapAxes(k, 0, 1)), scale), -1)
				return tensor.Mean(tensor.Square(tensor.Sub(tensor.MatMul(p, w), x[4])), false)
			},
			[]*tensor.Tensor{x, wq, wk, wv, target}},
		{"norm by hand",
			func(v []*autograd.Var) *autograd.Var {
				m := ops.Sub(v[0], ops.Mean(v[0], true, -1))
				r := ops.Rsqrt(ops.AddScalar(ops.Mean(ops.Square(m), true, -1), eps))
				return ops.Sum(ops.Mul(ops.Mul(ops.Mul(m, r), v[1]), v[2]), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				m := tensor.Sub(x[0], tensor.Mean(x[0], true, -1))
				r := tensor.Rsqrt(tensor.AddScalar(tensor.Mean(tensor.Square(m), true, -1), eps))
				return tensor.Sum(tensor.Mul(tensor.Mul(tensor.Mul(m, r), x[1]), x[2]), false)
			},
			[]*tensor.Tensor{x, gain, target}},
		{"joined, cut and compared",
			func(v []*autograd.Var) *autograd.Var {
				y := ops.Concat(-1, v[0], v[1])
				return ops.Sum(ops.Mul(ops.SliceAxis(y, -1, 0, 16), ops.Maximum(ops.SliceAxis(y, -1, 16, 32), v[0])), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				y := tensor.Concat(-1, x[0], x[1])
				return tensor.Sum(tensor.Mul(tensor.SliceAxis(y, -1, 0, 16), tensor.Maximum(tensor.SliceAxis(y, -1, 16, 32), x[0])), false)
			},
			[]*tensor.Tensor{x, target}},
		{"the smaller one of a row",
			func(v []*autograd.Var) *autograd.Var {
				return ops.Mean(ops.Square(ops.MatMul(ops.Minimum(ops.MatMul(v[0], v[1]), ops.Exp(v[2])), v[3])), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				return tensor.Mean(tensor.Square(tensor.MatMul(tensor.Minimum(tensor.MatMul(x[0], x[1]), tensor.Exp(x[2])), x[3])), false)
			},
			[]*tensor.Tensor{x, up, bias, down}},
		{"rotated halves",
			func(v []*autograd.Var) *autograd.Var {
				a, b := ops.SliceAxis(v[0], -1, 0, 8), ops.SliceAxis(v[0], -1, 8, 16)
				c, s := ops.Cos(v[1]), ops.Sin(v[1])
				y := ops.Concat(-1, ops.Sub(ops.Mul(a, c), ops.Mul(b, s)), ops.Add(ops.Mul(a, s), ops.Mul(b, c)))
				return ops.Sum(ops.Square(y), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				a, b := tensor.SliceAxis(x[0], -1, 0, 8), tensor.SliceAxis(x[0], -1, 8, 16)
				c, s := tensor.Cos(x[1]), tensor.Sin(x[1])
				y := tensor.Concat(-1, tensor.Sub(tensor.Mul(a, c), tensor.Mul(b, s)), tensor.Add(tensor.Mul(a, s), tensor.Mul(b, c)))
				return tensor.Sum(tensor.Square(y), false)
			},
			[]*tensor.Tensor{x, randn(12, 8)}},
		{"softmax by hand",
			func(v []*autograd.Var) *autograd.Var {
				e := ops.Exp(ops.Sub(v[0], ops.Max(v[0], true, -1)))
				return ops.Sum(ops.Mul(ops.Div(e, ops.Sum(e, true, -1)), v[1]), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				e := tensor.Exp(tensor.Sub(x[0], tensor.Max(x[0], true, -1)))
				return tensor.Sum(tensor.Mul(tensor.Div(e, tensor.Sum(e, true, -1)), x[1]), false)
			},
			[]*tensor.Tensor{x, target}},
		{"linear attention with decay",
			func(v []*autograd.Var) *autograd.Var {
				q, k, w := ops.MatMul(v[0], v[1]), ops.MatMul(v[0], v[2]), ops.MatMul(v[0], v[3])
				c := ops.CumSum(ops.Neg(ops.Softplus(ops.MatMul(v[0], v[4]))), 0, false, false)
				decay := ops.Exp(ops.Tril(ops.Sub(c, ops.Transpose(c)), 0))
				p := ops.Tril(ops.Mul(ops.MatMul(q, ops.SwapAxes(k, 0, 1)), decay), 0)
				return ops.Mean(ops.Square(ops.Sub(ops.MatMul(p, w), v[5])), false)
			},
			func(x []*tensor.Tensor) *tensor.Tensor {
				q, k, w := tensor.MatMul(x[0], x[1]), tensor.MatMul(x[0], x[2]), tensor.MatMul(x[0], x[3])
				c := tensor.CumSum(tensor.Neg(tensor.Softplus(tensor.MatMul(x[0], x[4]))), 0, false, false)
				decay := tensor.Exp(tensor.Tril(tensor.Sub(c, tensor.Transpose(c)), 0))
				p := tensor.Tril(tensor.Mul(tensor.MatMul(q, tensor.SwapAxes(k, 0, 1)), decay), 0)
				return tensor.Mean(tensor.Square(tensor.Sub(tensor.MatMul(p, w), x[5])), false)
			},
			[]*tensor.Tensor{x, wq, wk, wv, randn(10, 16, 1), target}},
	}
}

// backwardNodes counts the engine's nodes that a backward pass adds to those of
// the forward pass: the tape's, and those of the engine's own differentiation.
func (s toyStep) backwardNodes(t testing.TB) (ours, engine map[string]int) {
	tape := newTape(t)
	vars := make([]*autograd.Var, len(s.inputs))
	for i, x := range s.inputs {
		vars[i] = tape.Var(x)
	}
	loss := s.onVars(vars)
	before := tensor.Primitives(loss.Value())
	grads, err := tape.Grad([]*autograd.Var{loss}, nil, vars...)
	if err != nil {
		t.Fatal(err)
	}
	ours = less(tensor.Primitives(append(grads, loss.Value())...), before)

	one := tensor.Ones(tensor.Float32)
	outs, grads, err := tensor.VJP(func(x []*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{s.onTensors(x)} }, s.inputs, []*tensor.Tensor{one})
	if err != nil {
		t.Fatal(err)
	}
	return ours, less(tensor.Primitives(append(grads, outs...)...), tensor.Primitives(outs...))
}

func less(a, b map[string]int) map[string]int {
	for name, n := range b {
		if a[name] -= n; a[name] == 0 {
			delete(a, name)
		}
	}
	return a
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func TestBackwardNodes(t *testing.T) {
	for _, s := range toySteps() {
		ours, engine := s.backwardNodes(t)
		t.Logf("%s: %d nodes, the engine's own differentiation %d", s.name, total(ours), total(engine))
		if float64(total(ours)) > 1.1*float64(total(engine)) {
			t.Errorf("%s: the backward pass has %d nodes %v, want at most 1.1 times %d %v", s.name, total(ours), ours, total(engine), engine)
		}
	}
}

// BenchmarkBackwardNodes prints the size of backward passes beside that of the
// engine's own differentiation.
func BenchmarkBackwardNodes(b *testing.B) {
	for _, s := range toySteps() {
		b.Run(s.name, func(b *testing.B) {
			var ours, engine map[string]int
			for b.Loop() {
				ours, engine = s.backwardNodes(b)
			}
			b.ReportMetric(float64(total(ours)), "nodes")
			b.ReportMetric(float64(total(engine)), "engine-nodes")
			b.ReportMetric(float64(total(ours))/float64(total(engine)), "ratio")
		})
	}
}
