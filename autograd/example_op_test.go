package autograd_test

import (
	"fmt"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// affine is y = x·w + b for x [N, D], w [D, E] and b [E], which may be absent.
type affine struct{}

func (affine) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, w, b := in[0], in[1], in[2]
	y := tensor.MatMul(x, w)
	if b != nil {
		y = tensor.Add(y, b)
	}
	ctx.Save(x, w)
	return []*tensor.Tensor{y}
}

func (affine) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, w, dy := ctx.Saved(0), ctx.Saved(1), grad[0]
	var dx, dw, db *tensor.Tensor
	if ctx.Needs(0) {
		dx = tensor.MatMul(dy, tensor.Transpose(w))
	}
	if ctx.Needs(1) {
		dw = tensor.MatMul(tensor.Transpose(x), dy)
	}
	if ctx.Needs(2) {
		db = tensor.Sum(dy, false, 0)
	}
	return []*tensor.Tensor{dx, dw, db}
}

// peak has two outputs: the greatest element of each row of x [N, D], and its
// index, which has no gradient.
type peak struct{}

func (peak) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	at := tensor.ArgMax(in[0], -1, true)
	ctx.Save(in[0], at)
	ctx.MarkNonDifferentiable(1)
	return []*tensor.Tensor{tensor.Squeeze(tensor.TakeAlong(in[0], at, -1), -1), tensor.Squeeze(at, -1)}
}

func (peak) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, at := ctx.Saved(0), ctx.Saved(1)
	columns := tensor.Arange(0, float64(x.Dim(-1)), 1, at.Dtype())
	dy := tensor.ExpandDims(grad[0], -1)
	return []*tensor.Tensor{tensor.Where(tensor.Equal(at, columns), dy, tensor.Like(dy, 0))}
}

func TestAffine(t *testing.T) {
	x, w, b := tensor.Normal(tensor.Key(1), 5, 3), tensor.Normal(tensor.Key(2), 3, 2), tensor.Normal(tensor.Key(3), 2)
	f := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(affine{}, v...) }
	gradcheck.Run(t, f, []*tensor.Tensor{x, w, b}, gradcheck.Options{})

	withoutBias := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(affine{}, v[0], v[1], nil) }
	gradcheck.Run(t, withoutBias, []*tensor.Tensor{x, w}, gradcheck.Options{})
}

func TestPeak(t *testing.T) {
	f := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(peak{}, v...) }
	gradcheck.Run(t, f, []*tensor.Tensor{tensor.Normal(tensor.Key(1), 4, 6)}, gradcheck.Options{})
}

func TestAffineAgainstReference(t *testing.T) {
	reference := func(v ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{ops.Add(ops.MatMul(v[0], v[1]), v[2])}
	}
	fast := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(affine{}, v...) }
	x, w, b := tensor.Normal(tensor.Key(1), 64, 32), tensor.Normal(tensor.Key(2), 32, 16), tensor.Normal(tensor.Key(3), 16)
	gradcheck.Parity(t, reference, fast, []*tensor.Tensor{x, w, b})
}

func ExampleFunction() {
	tape := autograd.NewTape()
	defer tape.Close()
	x := tape.Const(tensor.FromSlice([]float64{1, 2, 3, 4}, 2, 2))
	w := tape.Var(tensor.FromSlice([]float64{1, 0, 0, 1}, 2, 2))
	y := autograd.Apply(affine{}, x, w, nil)[0]
	top := autograd.Apply(peak{}, y)

	grads, err := tape.Backward(ops.Sum(top[0], false))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tensor.Data[uint32](top[1].Value()))
	fmt.Println(tensor.Data[float64](grads.Of(w)))
	// Output:
	// [1 1] <nil>
	// [0 4 0 6] <nil>
}
