package tensor

import "github.com/deltatape/deltatape/internal/mlxc"

// The reductions of this file run over the given axes, or over all of them
// when none is given; keepDims leaves reduced axes with length 1.

type reduceFunc func(mlxc.Device, mlxc.Array, []int32, bool) (mlxc.Made, error)

// reduce applies f; neutral is the result for no elements.
func reduce(op string, f reduceFunc, neutral float64, x *Tensor, keepDims bool, axes []int) *Tensor {
	h := x.handle(op)
	list := x.axes(op, axes)
	if len(list) == 0 { // the engine would keep the dtype, too
		one := Reshape(x, 1)
		m, err := f(deviceOf(x), one.h, []int32{0}, false)
		return made(op, &m, err, one)
	}
	m, err := f(deviceOf(x), h, list, keepDims)
	y := made(op, &m, err, x)
	if x.Size() > 0 {
		return y
	}
	defer Free(y) // the engine would run on without an end
	return full(op, x.scope, neutral, y.dtype, y.shape)
}

// Prod multiplies elements.
func Prod(x *Tensor, keepDims bool, axes ...int) *Tensor {
	return widened("Prod", x, func(x *Tensor) *Tensor { return reduce("Prod", mlxc.ProdAxes, 1, x, keepDims, axes) })
}

// Max returns the greatest element; it refuses an axis of length 0.
func Max(x *Tensor, keepDims bool, axes ...int) *Tensor {
	x.refuseEmpty("Max", axes)
	return reduce("Max", mlxc.MaxAxes, 0, x, keepDims, axes)
}

// Min returns the smallest element; it refuses an axis of length 0.
func Min(x *Tensor, keepDims bool, axes ...int) *Tensor {
	x.refuseEmpty("Min", axes)
	return reduce("Min", mlxc.MinAxes, 0, x, keepDims, axes)
}

// All is true where no element is 0.
func All(x *Tensor, keepDims bool, axes ...int) *Tensor {
	return reduce("All", mlxc.AllAxes, 1, x, keepDims, axes)
}

// Any is true where an element is not 0.
func Any(x *Tensor, keepDims bool, axes ...int) *Tensor {
	return reduce("Any", mlxc.AnyAxes, 0, x, keepDims, axes)
}

// LogSumExp returns log Σ exp without overflow; it refuses an axis of length 0.
func LogSumExp(x *Tensor, keepDims bool, axes ...int) *Tensor {
	x.refuseEmpty("LogSumExp", axes)
	if x.Size() == 0 {
		return Sum(AsType(x, floating(x.dtype)), keepDims, axes...)
	}
	if x.dtype != Float64 {
		return reduce("LogSumExp", mlxc.LogsumexpAxes, 0, x, keepDims, axes)
	}
	if len(axes) == 0 {
		axes = make([]int, x.NDim())
		for i := range axes {
			axes[i] = i
		}
	}
	high := Max(x, true, axes...)
	shift := Where(IsFinite(high), high, ZerosLike(high)) // keeps −inf−(−inf) out
	y := Add(Log(Sum(exp64(Sub(x, shift)), true, axes...)), shift)
	if keepDims || len(axes) == 0 {
		return y
	}
	return Squeeze(y, axes...)
}

// Softmax returns exp(x)/Σexp(x) along an axis, computed in float32 or better.
// That of nothing is nothing.
func Softmax(x *Tensor, axis int) *Tensor {
	h := x.handle("Softmax")
	a := x.axis("Softmax", axis)
	if x.Size() == 0 {
		return AsType(x, floating(x.dtype))
	}
	if x.dtype == Float64 || slowExp(x) {
		high := Max(x, true, a)
		below := Sub(x, high)
		e := Exp(below)
		sum := Sum(e, true, a)
		defer Free(high, below, e, sum)
		return Div(e, sum)
	}
	m, err := mlxc.SoftmaxAxis(deviceOf(x), h, a, true)
	return made("Softmax", &m, err, x)
}

// ArgMax returns the index of the first greatest element along an axis, as
// uint32; it refuses an axis of length 0. NaN is not greater than anything.
func ArgMax(x *Tensor, axis int, keepDims bool) *Tensor {
	return argReduce("ArgMax", mlxc.ArgmaxAxis, x, axis, keepDims)
}

// ArgMin is ArgMax for the smallest element.
func ArgMin(x *Tensor, axis int, keepDims bool) *Tensor {
	return argReduce("ArgMin", mlxc.ArgminAxis, x, axis, keepDims)
}

func argReduce(op string, f func(mlxc.Device, mlxc.Array, int, bool) (mlxc.Made, error), x *Tensor, axis int, keepDims bool) *Tensor {
	h := x.handle(op)
	a := x.axis(op, axis)
	x.refuseEmpty(op, []int{a})
	if x.Size() == 0 {
		return AsType(Max(x, keepDims, a), Uint32)
	}
	m, err := f(deviceOf(x), h, a, keepDims)
	return indicesOf(made(op, &m, err, x), x.shape[a])
}

// refuseEmpty panics where a reduction without a neutral element meets an axis
// of length 0.
func (t *Tensor) refuseEmpty(op string, axes []int) {
	t.handle(op)
	for _, a := range t.axes(op, axes) {
		if t.shape[a] == 0 {
			panic(NewError("tensor."+op, []*Tensor{t}, "axis %d has length 0", a))
		}
	}
}

// Sort returns x sorted upwards along an axis; NaN comes last.
func Sort(x *Tensor, axis int) *Tensor {
	h := x.handle("Sort")
	a := x.axis("Sort", axis)
	if x.Size() == 0 { // the engine divides by the length
		return Contiguous(x)
	}
	m, err := mlxc.SortAxis(deviceOf(x), h, a)
	return made("Sort", &m, err, x)
}

// ArgSort returns the indices, as uint32, that sort x upwards along an axis.
func ArgSort(x *Tensor, axis int) *Tensor {
	h := x.handle("ArgSort")
	a := x.axis("ArgSort", axis)
	if x.Size() == 0 {
		return AsType(Contiguous(x), Uint32)
	}
	m, err := mlxc.ArgsortAxis(deviceOf(x), h, a)
	return indicesOf(made("ArgSort", &m, err, x), x.shape[a])
}

// indicesOf returns indices into n elements with their range. They have no
// gradient, which the engine's own differentiation wants to be told.
func indicesOf(t *Tensor, n int) *Tensor {
	m, err := mlxc.StopGradient(deviceOf(t), t.h)
	y := made(t.op, &m, err, t)
	y.bounds = &bounds{0, int64(n) - 1}
	Free(t)
	return y
}

type scanFunc func(mlxc.Device, mlxc.Array, int, bool, bool, mlxc.Dtype) (mlxc.Made, error)

// CumSum returns running sums along an axis, from the end with reverse. With
// exclusive an element is not part of its own sum; that is a scan of its own,
// never a difference of sums.
func CumSum(x *Tensor, axis int, reverse, exclusive bool) *Tensor {
	return scan("CumSum", mlxc.CumsumAxis, x, axis, reverse, exclusive)
}

// CumProd returns running products; see CumSum.
func CumProd(x *Tensor, axis int, reverse, exclusive bool) *Tensor {
	return scan("CumProd", mlxc.CumprodAxis, x, axis, reverse, exclusive)
}

func scan(op string, f scanFunc, x *Tensor, axis int, reverse, exclusive bool) *Tensor {
	h := x.handle(op)
	a := x.axis(op, axis)
	if x.Size() == 0 { // the engine divides by the length
		return Contiguous(x)
	}
	if isNarrow(x) {
		return widened(op, x, func(x *Tensor) *Tensor { return scan(op, f, x, a, reverse, exclusive) })
	}
	m, err := f(deviceOf(x), h, a, reverse, !exclusive, mlxc.NoDtype)
	return made(op, &m, err, x)
}
