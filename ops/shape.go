package ops

import (
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Reshape returns x with another shape; one length may be −1 and is inferred.
func Reshape(x *autograd.Var, shape ...int) *autograd.Var {
	reshape := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Reshape(x, shape...) }
	return unary("Reshape", reshape, x, withShape(reshapeBack))
}

// Flatten returns x with one axis.
func Flatten(x *autograd.Var) *autograd.Var {
	return unary("Flatten", tensor.Flatten, x, withShape(reshapeBack))
}

// ExpandDims inserts axes of length 1, which are numbered in the result.
func ExpandDims(x *autograd.Var, axes ...int) *autograd.Var {
	expand := func(x *tensor.Tensor) *tensor.Tensor { return tensor.ExpandDims(x, axes...) }
	return unary("ExpandDims", expand, x, withShape(reshapeBack))
}

// Squeeze removes axes of length 1; without axes, all of them.
func Squeeze(x *autograd.Var, axes ...int) *autograd.Var {
	squeeze := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Squeeze(x, axes...) }
	return unary("Squeeze", squeeze, x, withShape(reshapeBack))
}

func reshapeBack(g *tensor.Tensor, shape []int) *tensor.Tensor { return tensor.Reshape(g, shape...) }

// Transpose permutes the axes, or reverses them when none is given.
func Transpose(x *autograd.Var, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	transpose := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Transpose(x, axes...) }
	return unary("Transpose", transpose, x, linear(func(g *tensor.Tensor) *tensor.Tensor {
		inverse := make([]int, len(axes))
		for i, a := range axes {
			inverse[(a+len(axes))%len(axes)] = i
		}
		return tensor.Transpose(g, inverse...)
	}))
}

// SwapAxes exchanges two axes.
func SwapAxes(x *autograd.Var, a, b int) *autograd.Var {
	swap := func(t *tensor.Tensor) *tensor.Tensor { return tensor.SwapAxes(t, a, b) }
	return unary("SwapAxes", swap, x, linear(swap))
}

// BroadcastTo repeats axes of length 1, and adds leading ones, without copying.
func BroadcastTo(x *autograd.Var, shape ...int) *autograd.Var {
	broadcast := func(x *tensor.Tensor) *tensor.Tensor { return tensor.BroadcastTo(x, shape...) }
	return unary("BroadcastTo", broadcast, x, withShape(tensor.SumTo))
}

// AsType converts the elements. Integers and bools have no gradient: a
// conversion to them ends it.
func AsType(x *autograd.Var, d tensor.Dtype) *autograd.Var {
	if x != nil && !d.IsFloat() {
		x = x.Detach()
	}
	convert := func(x *tensor.Tensor) *tensor.Tensor { return tensor.AsType(x, d) }
	return unary("AsType", convert, x, linear(same)) // a rule fits gradients to the operands' dtypes
}

// Detach returns x's value without its history: no gradient flows through it.
func Detach(x *autograd.Var) *autograd.Var {
	notNil("Detach", x)
	return x.Detach()
}

// Tril returns x with zeros above diagonal k of its last two axes.
func Tril(x *autograd.Var, k int) *autograd.Var {
	tril := func(t *tensor.Tensor) *tensor.Tensor { return tensor.Tril(t, k) }
	return unary("Tril", tril, x, linear(tril))
}

// Triu returns x with zeros below diagonal k of its last two axes.
func Triu(x *autograd.Var, k int) *autograd.Var {
	triu := func(t *tensor.Tensor) *tensor.Tensor { return tensor.Triu(t, k) }
	return unary("Triu", triu, x, linear(triu))
}

// Flip reverses axes; all of them when none is given.
func Flip(x *autograd.Var, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	flip := func(t *tensor.Tensor) *tensor.Tensor { return tensor.Flip(t, axes...) }
	return unary("Flip", flip, x, linear(flip))
}

// Repeat repeats each slice along an axis n times.
func Repeat(x *autograd.Var, n, axis int) *autograd.Var {
	repeat := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Repeat(x, n, axis) }
	return unary("Repeat", repeat, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		a := (axis + len(shape)) % len(shape)
		return tensor.Sum(tensor.Reshape(g, slices.Insert(slices.Clone(shape), a+1, n)...), false, a+1)
	}))
}
