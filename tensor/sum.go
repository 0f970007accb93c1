package tensor

import (
	"math"
	"slices"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// On the CPU the engine adds one element after another in their own type: a
// float32 sum of a million can lose a hundredth, a bfloat16 sum of ones stands
// still at 256. So there 16-bit numbers are added up as float32, and long sums
// in parts.

const (
	longSum = 512 // more elements than this are added up in parts
	sumPart = 256
)

// Sum adds elements.
func Sum(x *Tensor, keepDims bool, axes ...int) *Tensor {
	return widened("Sum", x, func(x *Tensor) *Tensor {
		if addedInParts(x, x.axes("Sum", axes)) {
			return sumInParts(x, keepDims, axes)
		}
		return reduce("Sum", mlxc.SumAxes, 0, x, keepDims, axes)
	})
}

// Mean averages elements.
func Mean(x *Tensor, keepDims bool, axes ...int) *Tensor {
	return widened("Mean", x, func(x *Tensor) *Tensor {
		if addedInParts(x, x.axes("Mean", axes)) {
			y := sumInParts(x, keepDims, axes)
			return Div(y, Like(y, float64(x.Size()/y.Size())))
		}
		return reduce("Mean", mlxc.MeanAxes, math.NaN(), x, keepDims, axes)
	})
}

// isNarrow reports whether x is computed in 16 bits on the CPU.
func isNarrow(x *Tensor) bool {
	return x.dtype.IsFloat() && x.dtype.Size() == 2 && onCPU(x)
}

// widened applies f to x, as float32 where x is narrow.
func widened(op string, x *Tensor, f func(*Tensor) *Tensor) *Tensor {
	x.handle(op)
	var y *Tensor
	if isNarrow(x) {
		y = AsType(f(AsType(x, Float32)), x.dtype)
	} else {
		y = f(x)
	}
	y.op = op
	return y
}

func addedInParts(x *Tensor, axes []int32) bool {
	n := 1
	for _, a := range axes {
		n *= x.shape[a]
	}
	return n > longSum && x.Size() > 0 && x.dtype.IsFloat() && onCPU(x)
}

// sumInParts adds up one axis after another, the last one first.
func sumInParts(x *Tensor, keepDims bool, axes []int) *Tensor {
	list := x.axes("Sum", axes)
	slices.Sort(list)
	y := x
	for _, a := range slices.Backward(list) {
		y = sumAxis(y, int(a))
	}
	if keepDims {
		return y
	}
	reduced := make([]int, len(list))
	for i, a := range list {
		reduced[i] = int(a)
	}
	return Squeeze(y, reduced...)
}

// sumAxis sums an axis, which gets length 1, by sums of parts of it.
func sumAxis(x *Tensor, axis int) *Tensor {
	n := x.shape[axis]
	if n <= longSum {
		return reduce("Sum", mlxc.SumAxes, 0, x, true, []int{axis})
	}
	whole := n / sumPart * sumPart
	parts := slices.Insert(x.Shape(), axis+1, sumPart)
	parts[axis] = n / sumPart
	y := reduce("Sum", mlxc.SumAxes, 0, Reshape(SliceAxis(x, axis, 0, whole), parts...), false, []int{axis + 1})
	if whole < n {
		rest := reduce("Sum", mlxc.SumAxes, 0, SliceAxis(x, axis, whole, n), true, []int{axis})
		y = Concat(axis, y, rest)
	}
	return sumAxis(y, axis)
}
