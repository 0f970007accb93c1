package gradcheck_test

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

type (
	function = func(...*autograd.Var) []*autograd.Var
	method   = func(ctx *autograd.Context, t ...*tensor.Tensor) []*tensor.Tensor
)

// op is a Function made of two functions.
type op struct{ forward, backward method }

func (o *op) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return o.forward(ctx, in...)
}

func (o *op) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return o.backward(ctx, grad...)
}

// apply makes a function of one op, which lives as long as the function.
func apply(forward, backward method) function {
	o := &op{forward, backward}
	return func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(o, v...) }
}

// saving is a forward pass that saves its operands.
func saving(f func(in ...*tensor.Tensor) *tensor.Tensor) method {
	return func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in...)
		return list(f(in...))
	}
}

func list(ts ...*tensor.Tensor) []*tensor.Tensor { return ts }

// The ops that the tests are about.

func product(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Mul(in[0], in[1]) }
func square(in ...*tensor.Tensor) *tensor.Tensor  { return tensor.Square(in[0]) }
func matmul(in ...*tensor.Tensor) *tensor.Tensor  { return tensor.MatMul(in[0], in[1]) }

func productGrad(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, b := ctx.Saved(0), ctx.Saved(1)
	return list(
		tensor.SumTo(tensor.Mul(grad[0], b), a.Shape()),
		tensor.SumTo(tensor.Mul(grad[0], a), b.Shape()),
	)
}

func squareGrad(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return list(tensor.MulScalar(tensor.Mul(grad[0], ctx.Saved(0)), 2))
}

func matmulGrad(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, b := ctx.Saved(0), ctx.Saved(1)
	return list(
		tensor.MatMul(grad[0], tensor.SwapAxes(b, -1, -2)),
		tensor.MatMul(tensor.SwapAxes(a, -1, -2), grad[0]),
	)
}

// normal draws a test input in float32, as a user would.
func normal(seed uint64, shape ...int) *tensor.Tensor {
	return tensor.Normal(tensor.Key(seed), shape...)
}

// recorder is a testing.TB that remembers that a test failed.
type recorder struct {
	testing.TB
	text, log string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.text = sprintf(format, args...) }

func (r *recorder) Logf(format string, args ...any) { r.log = sprintf(format, args...) }
