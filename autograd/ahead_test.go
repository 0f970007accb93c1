package autograd_test

import (
	"math"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// eagerSquare is x², whose backward pass evaluates its operands first, as a kernel
// that works at once has to.
var eagerSquare = custom{
	func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in[0])
		return []*tensor.Tensor{tensor.Square(in[0])}
	},
	func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		if err := tensor.EvalAhead(ctx.Saved(0), grad[0]); err != nil {
			panic(err)
		}
		return []*tensor.Tensor{tensor.Mul(grad[0], tensor.MulScalar(ctx.Saved(0), 2))}
	},
}

// layersPeak is the peak of the memory, in activations, of a step through layers that
// use square, and the sum of the gradients.
func layersPeak(t *testing.T, layers int, checkpointed bool, square func(x *autograd.Var) *autograd.Var) (peak, sum float64) {
	const rows, width = 1 << 13, 32
	x := tensor.Normal(tensor.Key(1), rows, width)
	params := make([]*autograd.Param, layers)
	for i := range params {
		params[i] = autograd.NewParam("w", tensor.MulScalar(tensor.Normal(tensor.Key(uint64(i)), width, width), 0.1))
		if err := tensor.Eval(params[i].Value(), x); err != nil {
			t.Fatal(err)
		}
	}
	tensor.ResetPeakMemory()
	before := tensor.Memory().Active
	tape := autograd.NewTape()
	defer tape.Close()
	h := tape.Const(x)
	for _, p := range params {
		layer := func(in ...*autograd.Var) []*autograd.Var {
			w := tape.Param(p)
			y := ops.Tanh(ops.MatMul(in[0], w))
			y = square(ops.Sin(ops.MatMul(y, w)))
			return []*autograd.Var{ops.Add(in[0], ops.Tanh(ops.MatMul(ops.Cos(y), w)))}
		}
		if checkpointed {
			h = autograd.Checkpoint(layer, h)[0]
		} else {
			h = layer(h)[0]
		}
	}
	loss := ops.Mean(ops.Square(h), false)
	grads, err := tape.Backward(loss)
	if err != nil {
		t.Fatal(err)
	}
	results := []*tensor.Tensor{loss.Value()}
	for _, p := range slices.Backward(params) { // an order that suits the engine
		results = append(results, grads.OfParam(p))
	}
	tape.Keep(results...)
	defer tensor.Free(results...)
	tape.Close()
	if err := tensor.Eval(results...); err != nil {
		t.Fatal(err)
	}
	peak = float64(tensor.Memory().Peak-before) / float64(x.Bytes())
	for _, g := range results {
		for _, e := range read(t, tensor.AsType(g, tensor.Float64)) {
			sum += e
		}
	}
	return peak, sum
}

// A Backward that evaluates must not make later gradients hold on to the activations
// of all layers.
func TestPeakMemoryOfEagerBackward(t *testing.T) {
	eager := func(x *autograd.Var) *autograd.Var { return autograd.Apply(eagerSquare, x)[0] }
	lazy, want := layersPeak(t, 8, false, ops.Square)
	got, sum := layersPeak(t, 8, false, eager)
	t.Logf("the peak is %.1f activations, without evaluation %.1f", got, lazy)
	if got > 1.1*lazy {
		t.Errorf("the peak is %.1f activations, want about the %.1f of a lazy pass", got, lazy)
	}

	// With checkpoints a layer more takes its operand.
	four, _ := layersPeak(t, 4, true, eager)
	eight, checkpointed := layersPeak(t, 8, true, eager)
	t.Logf("with checkpoints the peak is %.1f activations for 4 layers, %.1f for 8", four, eight)
	if eight > four+4*1.25 {
		t.Errorf("with checkpoints the peak is %.1f activations for 4 layers and %.1f for 8, want one more for a layer", four, eight)
	}
	for _, sum := range []float64{sum, checkpointed} {
		if math.Abs(sum-want) > 1e-4 {
			t.Errorf("the gradients add up to %g, want %g", sum, want)
		}
	}
}
