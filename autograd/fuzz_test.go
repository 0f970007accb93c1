package autograd_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// instruction is an operation of a random expression, on Vars and on tensors.
// Its results stay of a size for which long programs don't overflow.
type instruction struct {
	fits      func(a, b []int) bool // for operands of these shapes; nil: always
	onVars    func(a, b *autograd.Var) *autograd.Var
	onTensors func(a, b *tensor.Tensor) *tensor.Tensor
}

func hasAxes(n int) func(a, b []int) bool { return func(a, _ []int) bool { return len(a) >= n } }

var instructions = []instruction{
	{nil, ops.Add, tensor.Add},
	{nil, ops.Sub, tensor.Sub},
	{nil, func(a, b *autograd.Var) *autograd.Var { return ops.MulScalar(ops.Mul(a, b), 0.5) },
		func(a, b *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(tensor.Mul(a, b), 0.5) }},
	{nil, func(a, b *autograd.Var) *autograd.Var { return ops.Div(a, ops.AddScalar(ops.Square(b), 1)) },
		func(a, b *tensor.Tensor) *tensor.Tensor { return tensor.Div(a, tensor.AddScalar(tensor.Square(b), 1)) }},
	{func(a, b []int) bool { return len(a) == 2 && len(b) == 2 && a[1] == b[0] },
		func(a, b *autograd.Var) *autograd.Var { return ops.Tanh(ops.MatMul(a, b)) },
		func(a, b *tensor.Tensor) *tensor.Tensor { return tensor.Tanh(tensor.MatMul(a, b)) }},
	{nil, func(a, _ *autograd.Var) *autograd.Var { return ops.Sigmoid(a) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Sigmoid(a) }},
	{nil, func(a, _ *autograd.Var) *autograd.Var { return ops.Exp(ops.Neg(ops.Square(a))) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Exp(tensor.Neg(tensor.Square(a))) }},
	{nil, func(a, _ *autograd.Var) *autograd.Var { return ops.Log1p(ops.Square(a)) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Log1p(tensor.Square(a)) }},
	{nil, func(a, _ *autograd.Var) *autograd.Var { return ops.Rsqrt(ops.AddScalar(ops.Square(a), 0.5)) },
		func(a, _ *tensor.Tensor) *tensor.Tensor {
			return tensor.Rsqrt(tensor.AddScalar(tensor.Square(a), 0.5))
		}},
	{hasAxes(1), func(a, _ *autograd.Var) *autograd.Var { return ops.Mean(a, true, -1) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Mean(a, true, -1) }},
	{hasAxes(1), func(a, _ *autograd.Var) *autograd.Var { return ops.Sum(a, true, 0) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Sum(a, true, 0) }},
	{nil, func(a, _ *autograd.Var) *autograd.Var { return ops.Mean(a, false) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Mean(a, false) }},
	{hasAxes(1), func(a, _ *autograd.Var) *autograd.Var { return ops.Softmax(a, -1) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Softmax(a, -1) }},
	{hasAxes(1), func(a, _ *autograd.Var) *autograd.Var { return ops.CumSum(a, -1, true, false) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.CumSum(a, -1, true, false) }},
	{hasAxes(2), func(a, _ *autograd.Var) *autograd.Var { return ops.SwapAxes(a, 0, 1) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.SwapAxes(a, 0, 1) }},
	{hasAxes(2), func(a, _ *autograd.Var) *autograd.Var { return ops.Tril(a, 0) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.Tril(a, 0) }},
	{hasAxes(1), func(a, _ *autograd.Var) *autograd.Var { return ops.SliceAxis(a, 0, 0, 1) },
		func(a, _ *tensor.Tensor) *tensor.Tensor { return tensor.SliceAxis(a, 0, 0, 1) }},
}

// execute runs a program of three bytes a line: instruction and operands. The
// instruction's upper half puts the line into a Checkpoint, where that means
// something. Lines that don't fit their operands' shapes are passed over.
func execute[V any](code []byte, values []V, shape func(V) []int, run func(i instruction, checkpoint bool, a, b V) V) []V {
	for ; len(code) >= 3; code = code[3:] {
		i := instructions[int(code[0]%128)%len(instructions)]
		a, b := values[int(code[1])%len(values)], values[int(code[2])%len(values)]
		if i.fits != nil && !i.fits(shape(a), shape(b)) {
			continue
		}
		values = append(values, run(i, code[0] >= 128, a, b))
	}
	return values[len(values)-2:]
}

// FuzzGraphsAgainstVJP compares gradients of random expressions, broadcasting
// and checkpoints included, with the engine's own differentiation.
func FuzzGraphsAgainstVJP(f *testing.F) {
	random := rand.New(rand.NewPCG(11, 0))
	for range 60 {
		code := make([]byte, 3*(1+random.IntN(20)))
		for i := range code {
			code[i] = byte(random.IntN(256))
		}
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		code = code[:min(len(code), 90)]
		draw := func(seed uint64, shape ...int) *tensor.Tensor {
			return tensor.AsType(tensor.Normal(tensor.Key(seed), shape...), tensor.Float64)
		}
		inputs := []*tensor.Tensor{draw(1, 3, 3), draw(2, 3, 1), draw(3, 1, 3), draw(4)}
		onTensors := func(in []*tensor.Tensor) []*tensor.Tensor {
			outs := execute(code, in, (*tensor.Tensor).Shape, func(i instruction, _ bool, a, b *tensor.Tensor) *tensor.Tensor {
				return i.onTensors(a, b)
			})
			for i, y := range outs { // the engine drops the seed of a result that is there twice
				outs[i] = tensor.MulScalar(y, 1)
			}
			return outs
		}
		var seeds []*tensor.Tensor
		for i, y := range onTensors(inputs) {
			seeds = append(seeds, draw(uint64(10+i), y.Shape()...))
		}
		outs, want, err := tensor.VJP(onTensors, inputs, seeds)
		if err != nil {
			t.Fatal(err)
		}
		tape := newTape(t)
		vars := make([]*autograd.Var, len(inputs))
		for i, x := range inputs {
			vars[i] = tape.Var(x)
		}
		results := execute(code, vars, (*autograd.Var).Shape, func(i instruction, checkpoint bool, a, b *autograd.Var) *autograd.Var {
			if !checkpoint {
				return i.onVars(a, b)
			}
			return autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var { return []*autograd.Var{i.onVars(in[0], b)} }, a)[0]
		})
		grads, err := tape.BackwardFrom(results, seeds)
		if err != nil {
			t.Fatal(err)
		}
		for i, y := range results {
			agree(t, fmt.Sprintf("output %d", i), y.Value(), outs[i])
		}
		for i, v := range vars {
			got := grads.Of(v)
			if got == nil {
				got = tensor.ZerosLike(v.Value())
			}
			agree(t, fmt.Sprintf("gradient %d", i), got, want[i])
		}
	})
}

// agree compares by the relative L2 error; infinities and NaNs of one must be
// those of the other.
func agree(t *testing.T, name string, x, y *tensor.Tensor) {
	t.Helper()
	got, want := read(t, x), read(t, y)
	norm, off := 0.0, 0.0
	for i := range want {
		if got[i] == want[i] || math.IsNaN(got[i]) && math.IsNaN(want[i]) {
			continue
		}
		norm, off = math.Hypot(norm, want[i]), math.Hypot(off, got[i]-want[i])
	}
	if !(off <= 1e-9*norm+1e-12) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}
