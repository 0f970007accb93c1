package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// CumSum returns running sums along an axis, from the end with reverse. With
// exclusive an element is not part of its own sum.
func CumSum(x *autograd.Var, axis int, reverse, exclusive bool) *autograd.Var {
	return unary("CumSum",
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.CumSum(x, axis, reverse, exclusive) }, x,
		linear(func(g *tensor.Tensor) *tensor.Tensor { return tensor.CumSum(g, axis, !reverse, exclusive) }))
}

// CumProd returns running products along an axis, from the end with reverse.
// With exclusive an element is not part of its own product. Its gradient is
// exact where elements are 0.
func CumProd(x *autograd.Var, axis int, reverse, exclusive bool) *autograd.Var {
	return unary("CumProd",
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.CumProd(x, axis, reverse, exclusive) }, x,
		with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
			if reverse {
				g, x = tensor.Flip(g, axis), tensor.Flip(x, axis)
			}
			dx := cumProdBack(widen(g), widen(x), axis, exclusive)
			if reverse {
				dx = tensor.Flip(dx, axis)
			}
			return dx
		}))
}

// cumProdBack is the gradient of running products from the start. That of x_i is
// Π_{k<i} x_k · S_i with S_i = Σ_{j≥i} g_j Π_{i<k≤j} x_k, in which nothing is
// divided by x. S follows S_i = g_i + x_{i+1}·S_{i+1}. An exclusive product y_j
// is the inclusive one of j−1.
func cumProdBack(g, x *tensor.Tensor, axis int, exclusive bool) *tensor.Tensor {
	n := x.Dim(axis)
	if n == 0 {
		return x
	}
	if exclusive {
		g = shiftBack(tensor.SliceAxis(g, axis, 1, n), axis, 1)
	}
	before := tensor.CumProd(x, axis, false, true)
	return tensor.Mul(before, suffixSums(g, tensor.SliceAxis(x, axis, 1, n), axis))
}

// suffixSums solves S_i = g_i + a_i·S_{i+1} along an axis, S being 0 past the
// end; a is one shorter than g. It doubles what a step reaches: after one of
// reach d, s_i is the sum of the first d terms and a_i the product of d factors.
func suffixSums(g, a *tensor.Tensor, axis int) *tensor.Tensor {
	n, s := g.Dim(axis), g
	for d := 1; d < n; d *= 2 {
		s = tensor.Add(s, shiftBack(tensor.Mul(a, tensor.SliceAxis(s, axis, d, n)), axis, d))
		if left := a.Dim(axis); left > d {
			a = tensor.Mul(tensor.SliceAxis(a, axis, 0, left-d), tensor.SliceAxis(a, axis, d, left))
		}
	}
	return s
}

// shiftBack puts d zeros behind x.
func shiftBack(x *tensor.Tensor, axis, d int) *tensor.Tensor {
	widths := make([][2]int, x.NDim())
	widths[(axis+len(widths))%len(widths)][1] = d
	return tensor.Pad(x, widths, 0)
}
