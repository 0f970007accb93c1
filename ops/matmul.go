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
	}
	return binary("MatMul", tensor.MatMul, a, b, with(readB, matMulLeft), with(readA, matMulRight(b.NDim())))
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
