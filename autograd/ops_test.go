package autograd_test

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Functions to test with.

type mulOp struct{}

func (mulOp) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in...)
	return []*tensor.Tensor{tensor.Mul(in[0], in[1])}
}

func (mulOp) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, b := ctx.Saved(0), ctx.Saved(1)
	da := tensor.SumTo(tensor.Mul(grad[0], b), a.Shape())
	db := tensor.SumTo(tensor.Mul(grad[0], a), b.Shape())
	return []*tensor.Tensor{da, db}
}

type addOp struct{}

func (addOp) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Add(in[0], in[1])}
}

func (addOp) Backward(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{grad[0], grad[0]}
}

// siluOp makes temporaries and saves one of them.
type siluOp struct{}

func (siluOp) String() string { return "SiLU" }

func (siluOp) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	e := tensor.Exp(tensor.Neg(in[0]))
	s := tensor.Reciprocal(tensor.AddScalar(e, 1))
	ctx.Save(in[0], s)
	return []*tensor.Tensor{tensor.Mul(in[0], s)}
}

func (siluOp) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, s := ctx.Saved(0), ctx.Saved(1)
	slope := tensor.Mul(s, tensor.AddScalar(tensor.Mul(x, tensor.Sub(tensor.OnesLike(s), s)), 1))
	return []*tensor.Tensor{tensor.Mul(slope, grad[0])}
}

type matmulOp struct{}

func (matmulOp) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in...)
	return []*tensor.Tensor{tensor.MatMul(in[0], in[1])}
}

func (matmulOp) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, b := ctx.Saved(0), ctx.Saved(1)
	return []*tensor.Tensor{
		tensor.MatMul(grad[0], tensor.SwapAxes(b, -1, -2)),
		tensor.MatMul(tensor.SwapAxes(a, -1, -2), grad[0]),
	}
}

type sumOp struct{}

func (sumOp) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in[0])
	return []*tensor.Tensor{tensor.Sum(in[0], false)}
}

func (sumOp) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.BroadcastTo(grad[0], ctx.Saved(0).Shape()...)}
}

func mul(a, b *autograd.Var) *autograd.Var    { return autograd.Apply(mulOp{}, a, b)[0] }
func add(a, b *autograd.Var) *autograd.Var    { return autograd.Apply(addOp{}, a, b)[0] }
func matmul(a, b *autograd.Var) *autograd.Var { return autograd.Apply(matmulOp{}, a, b)[0] }
func silu(x *autograd.Var) *autograd.Var      { return autograd.Apply(siluOp{}, x)[0] }
func sum(x *autograd.Var) *autograd.Var       { return autograd.Apply(sumOp{}, x)[0] }

// custom is a Function made of two functions.
type custom struct {
	forward, backward func(ctx *autograd.Context, t ...*tensor.Tensor) []*tensor.Tensor
}

func (c custom) String() string { return "custom" }

func (c custom) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return c.forward(ctx, in...)
}

func (c custom) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return c.backward(ctx, grad...)
}

// read returns the elements of a float64 tensor.
func read(t *testing.T, x *tensor.Tensor) []float64 {
	t.Helper()
	if x == nil {
		t.Fatal("the tensor is nil")
	}
	data, err := tensor.Data[float64](x)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func vec(v ...float64) *tensor.Tensor { return tensor.FromSlice(v) }

// newTape returns a tape that is closed when the test ends.
func newTape(t testing.TB) *autograd.Tape {
	tape := autograd.NewTape()
	t.Cleanup(tape.Close)
	return tape
}

func backward(t *testing.T, loss *autograd.Var) *autograd.Gradients {
	t.Helper()
	grads, err := loss.Tape().Backward(loss)
	if err != nil {
		t.Fatal(err)
	}
	return grads
}
