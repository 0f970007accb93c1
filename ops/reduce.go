package ops

import (
	"math"
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// The reductions of this file run over the given axes, or over all of them
// when none is given; keepDims leaves reduced axes with length 1.

// Sum adds elements.
func Sum(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	sum := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Sum(x, keepDims, axes...) }
	return unary("Sum", sum, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		return tensor.BroadcastTo(unreduce(g, shape, axes), shape...)
	}))
}

// Mean averages elements.
func Mean(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	mean := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Mean(x, keepDims, axes...) }
	return unary("Mean", mean, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		share := float64(g.Size()) / float64(product(shape))
		return tensor.BroadcastTo(unreduce(tensor.MulScalar(g, share), shape, axes), shape...)
	}))
}

// Max returns the greatest element; it refuses an axis of length 0. Elements
// that tie share the gradient evenly.
func Max(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	return extreme("Max", tensor.Max, x, keepDims, axes)
}

// Min returns the smallest element; it refuses an axis of length 0. Elements
// that tie share the gradient evenly.
func Min(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	return extreme("Min", tensor.Min, x, keepDims, axes)
}

func extreme(name string, f func(*tensor.Tensor, bool, ...int) *tensor.Tensor, x *autograd.Var, keepDims bool, axes []int) *autograd.Var {
	axes = slices.Clone(axes)
	reduce := func(x *tensor.Tensor) *tensor.Tensor { return f(x, keepDims, axes...) }
	return unary(name, reduce, x, withTwo(readA|readY, func(g, x, y *tensor.Tensor) *tensor.Tensor {
		shape := x.Shape()
		hit := tensor.Equal(x, unreduce(y, shape, axes))
		ties := tensor.AsType(tensor.Sum(hit, true, axes...), g.Dtype())
		return tensor.Where(hit, tensor.Div(unreduce(g, shape, axes), ties), tensor.Like(g, 0))
	}))
}

// LogSumExp returns log Σ exp without overflow; it refuses an axis of length 0.
// Where all elements are −Inf the gradient is 0.
func LogSumExp(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	reduce := func(x *tensor.Tensor) *tensor.Tensor { return tensor.LogSumExp(x, keepDims, axes...) }
	return unary("LogSumExp", reduce, x, withTwo(readA|readY, func(g, x, y *tensor.Tensor) *tensor.Tensor {
		shape := x.Shape()
		y = tensor.Maximum(y, tensor.Like(y, lowest(y.Dtype()))) // −Inf − (−Inf) is NaN
		soft := tensor.Exp(tensor.Sub(x, unreduce(y, shape, axes)))
		return tensor.Mul(unreduce(g, shape, axes), soft)
	}))
}

// lowest is the least finite number of a floating-point dtype.
func lowest(d tensor.Dtype) float64 {
	switch d {
	case tensor.Float64:
		return -math.MaxFloat64
	case tensor.Float32:
		return -math.MaxFloat32
	case tensor.BFloat16:
		return -0x1.fep127
	default:
		return -65504
	}
}

// Prod multiplies elements. Its gradient is exact where elements are 0.
func Prod(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	defer rename("Prod")
	notNil("Prod", x)
	if len(axes) == 0 {
		axes = make([]int, x.NDim())
		for i := range axes {
			axes[i] = i
		}
	}
	y := x
	for _, a := range axes {
		y = prod(y, a)
	}
	if !keepDims && len(axes) > 0 {
		y = Squeeze(y, axes...)
	}
	return y
}

// prod keeps the axis. An element's gradient is the product of those before it
// and those after it.
func prod(x *autograd.Var, axis int) *autograd.Var {
	reduce := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Prod(x, true, axis) }
	return unary("Prod", reduce, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		before, after := tensor.CumProd(x, axis, false, true), tensor.CumProd(x, axis, true, true)
		return tensor.Mul(g, tensor.Mul(before, after))
	}))
}

// Var returns the variance: the sum of squares of the distances from the mean,
// divided by n − ddof for n elements. Half precision is computed in float32.
func Var(x *autograd.Var, keepDims bool, ddof int, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	reduce := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Var(x, keepDims, ddof, axes...) }
	return unary("Var", reduce, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(unreduce(g, x.Shape(), axes), tensor.MulScalar(varianceSlope(g, x, ddof, axes), 2))
	}))
}

// Std returns the standard deviation, which is the root of Var. Where all
// elements are equal its gradient is 0.
func Std(x *autograd.Var, keepDims bool, ddof int, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	reduce := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Std(x, keepDims, ddof, axes...) }
	return unary("Std", reduce, x, withTwo(readA|readY, func(g, x, y *tensor.Tensor) *tensor.Tensor {
		share := whereZero(y, tensor.Like(g, 0), tensor.Div(g, y))
		return tensor.Mul(unreduce(share, x.Shape(), axes), varianceSlope(g, x, ddof, axes))
	}))
}

// varianceSlope is half of the gradient of the variance: the distance from the
// mean by n − ddof.
func varianceSlope(g, x *tensor.Tensor, ddof int, axes []int) *tensor.Tensor {
	x = widen(x)
	n := x.Size() / max(1, g.Size())
	return tensor.MulScalar(tensor.Sub(x, tensor.Mean(x, true, axes...)), 1/float64(max(0, n-ddof)))
}

// Norm returns the Euclidean norm √Σx². The gradient of the norm of a zero
// vector is 0. Half precision is computed in float32.
func Norm(x *autograd.Var, keepDims bool, axes ...int) *autograd.Var {
	axes = slices.Clone(axes)
	reduce := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Norm(x, keepDims, axes...) }
	return unary("Norm", reduce, x, withTwo(readA|readY, func(g, x, y *tensor.Tensor) *tensor.Tensor {
		share := whereZero(y, tensor.Like(g, 0), tensor.Div(g, y))
		return tensor.Mul(unreduce(share, x.Shape(), axes), x)
	}))
}

// unreduce makes the reduction y of a tensor of the given shape broadcast to that:
// it gives reduced axes back, with length 1, unless the first ones were reduced,
// which broadcasting adds by itself.
func unreduce(y *tensor.Tensor, shape, axes []int) *tensor.Tensor {
	gone := len(shape) - y.NDim()
	if gone == 0 || len(axes) == 0 {
		return y
	}
	kept := slices.Clone(shape)
	first := true
	for _, a := range axes {
		a = (a + len(kept)) % len(kept)
		kept[a] = 1
		first = first && a < gone
	}
	if first {
		return y
	}
	return tensor.Reshape(y, kept...)
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
