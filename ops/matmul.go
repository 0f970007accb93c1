package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// MatMul returns the matrix product over the last two axes, [..., N, M] x
// [..., M, P]; leading axes broadcast. An operand with one axis is a row on the
// left and a column on the right.
func MatMul(a, b *autograd.Var) *autograd.Var {
	defer rename("MatMul")
	notNil("MatMul", a, b)
	switch {
	case b.NDim() == 1:
		return Squeeze(MatMul(a, ExpandDims(b, 1)), -1)
	case a.NDim() == 1:
		return Squeeze(MatMul(ExpandDims(a, 0), b), -2)
	case a.NDim() > 2 && b.NDim() == 2:
		return apply("MatMul", sharedMatrix{a.Shape(), a.Dtype(), b.Dtype()}, a, b)[0]
	}
	return binary("MatMul", tensor.MatMul, a, b, with(readB, matMulLeft), with(readA, matMulRight(b.NDim())))
}

// sharedMatrix is a x b with one matrix b for all leading axes of a. Forwards
// and backwards there are single products, of the rows of a and of the gradient.
type sharedMatrix struct {
	shape         []int // of a
	dtype, bDtype tensor.Dtype
}

func (sharedMatrix) String() string { return "ops.MatMul" }

func (f sharedMatrix) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	a, b := in[0], in[1]
	if a.Dim(-1) != b.Dim(0) {
		return []*tensor.Tensor{tensor.MatMul(a, b)} // refuses them by their own shapes
	}
	rows := matrix(a)
	saved := [2]*tensor.Tensor{}
	if ctx.Needs(1) {
		saved[0] = rows
	}
	if ctx.Needs(0) {
		saved[1] = b
	}
	ctx.Save(saved[:]...)
	y := tensor.MatMul(rows, b)
	return []*tensor.Tensor{tensor.Reshape(y, append(f.shape[:len(f.shape)-1:len(f.shape)-1], b.Dim(1))...)}
}

func (f sharedMatrix) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	rows, b, g := ctx.Saved(0), ctx.Saved(1), matrix(grad[0])
	out := make([]*tensor.Tensor, 2)
	if ctx.Needs(0) {
		da := tensor.MatMul(g, tensor.Transpose(b))
		out[0] = narrow(tensor.Reshape(da, f.shape...), f.dtype)
	}
	if ctx.Needs(1) {
		out[1] = narrow(tensor.MatMul(tensor.Transpose(rows), g), f.bDtype)
	}
	return out
}

// AddMM returns alpha·(a x b) + beta·c for operands a and b of two axes or
// more; c broadcasts to the product.
func AddMM(c, a, b *autograd.Var, alpha, beta float64) *autograd.Var {
	defer rename("AddMM")
	notNil("AddMM", c, a, b)
	if a.NDim() < 2 || b.NDim() < 2 {
		panic(tensor.NewError("ops.AddMM", []*tensor.Tensor{c.Value(), a.Value(), b.Value()}, "want two axes or more in a and b"))
	}
	addMM := func(c, a, b *tensor.Tensor) *tensor.Tensor { return tensor.AddMM(c, a, b, alpha, beta) }
	right := matMulRight(b.NDim())
	return ternary("AddMM", addMM, c, a, b,
		linear(func(g *tensor.Tensor) *tensor.Tensor { return scaled(g, beta) }),
		with(readC, func(g, b *tensor.Tensor) *tensor.Tensor { return matMulLeft(scaled(g, alpha), b) }),
		with(readB, func(g, a *tensor.Tensor) *tensor.Tensor { return right(scaled(g, alpha), a) }))
}

// matMulLeft is the gradient of a in a x b.
func matMulLeft(g, b *tensor.Tensor) *tensor.Tensor {
	return tensor.MatMul(g, tensor.SwapAxes(b, -1, -2))
}

// matMulRight is the gradient of b in a x b. When b is a single matrix, which
// all the leading axes of a share, it is a single product too, rather than a
// sum of products.
func matMulRight(axes int) func(g, a *tensor.Tensor) *tensor.Tensor {
	return func(g, a *tensor.Tensor) *tensor.Tensor {
		if axes == 2 {
			g, a = matrix(g), matrix(a)
		}
		return tensor.MatMul(tensor.SwapAxes(a, -1, -2), g)
	}
}

func scaled(g *tensor.Tensor, s float64) *tensor.Tensor {
	if s == 1 {
		return g
	}
	return tensor.MulScalar(g, s)
}

// matrix joins all axes of x but the last.
func matrix(x *tensor.Tensor) *tensor.Tensor {
	if x.NDim() == 2 {
		return x
	}
	rows := 1
	for i := range x.NDim() - 1 {
		rows *= x.Dim(i)
	}
	return tensor.Reshape(x, rows, x.Dim(-1))
}
