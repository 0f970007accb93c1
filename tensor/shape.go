package tensor

import (
	"math"
	"runtime"
	"slices"
	"unsafe"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// keepBounds passes on what the host knows of x's values to a tensor that
// holds only values of x.
func keepBounds(y, x *Tensor) *Tensor {
	y.bounds = x.bounds
	return y
}

// BroadcastShapes returns the shape that a and b broadcast to.
func BroadcastShapes(a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		da, db := 1, 1
		if j := i - (len(out) - len(a)); j >= 0 {
			da = a[j]
		}
		if j := i - (len(out) - len(b)); j >= 0 {
			db = b[j]
		}
		switch {
		case da == db || db == 1:
			out[i] = da
		case da == 1:
			out[i] = db
		default:
			return nil, errors.Errorf("shapes %v and %v can't be broadcast together", a, b)
		}
	}
	return out, nil
}

// Reshape returns x with another shape; one length may be −1 and is inferred.
func Reshape(x *Tensor, shape ...int) *Tensor {
	h := x.handle("Reshape")
	want := append(make([]int, 0, len(shape)), shape...)
	free := -1
	for i, d := range want {
		switch {
		case d == -1 && free < 0:
			free, want[i] = i, 1
		case d < 0:
			panic(NewError("tensor.Reshape", []*Tensor{x}, "the shape %v has more than one -1 or a negative length", shape))
		}
	}
	checkShape("Reshape", want)
	n := product(want)
	if free >= 0 {
		if n == 0 || x.Size()%n != 0 {
			panic(NewError("tensor.Reshape", []*Tensor{x}, "no length fits for the -1 in %v", shape))
		}
		want[free] = x.Size() / n
		checkShape("Reshape", want)
	} else if n != x.Size() {
		panic(NewError("tensor.Reshape", []*Tensor{x}, "%d elements don't fill the shape %v", x.Size(), shape))
	}
	m, err := mlxc.Reshape(deviceOf(x), h, int32s(want))
	return keepBounds(made("Reshape", &m, err, x), x)
}

// Flatten returns x with one axis.
func Flatten(x *Tensor) *Tensor { return Reshape(x, -1) }

// Transpose permutes the axes, or reverses them when none is given.
func Transpose(x *Tensor, axes ...int) *Tensor {
	h := x.handle("Transpose")
	list := x.axes("Transpose", axes)
	if len(list) != x.NDim() {
		panic(NewError("tensor.Transpose", []*Tensor{x}, "want %d axes, got %v", x.NDim(), axes))
	}
	if len(axes) == 0 {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	m, err := mlxc.TransposeAxes(deviceOf(x), h, list)
	return keepBounds(made("Transpose", &m, err, x), x)
}

// SwapAxes exchanges two axes.
func SwapAxes(x *Tensor, a, b int) *Tensor {
	h := x.handle("SwapAxes")
	m, err := mlxc.Swapaxes(deviceOf(x), h, x.axis("SwapAxes", a), x.axis("SwapAxes", b))
	return keepBounds(made("SwapAxes", &m, err, x), x)
}

// ExpandDims inserts axes of length 1, which are numbered in the result.
func ExpandDims(x *Tensor, axes ...int) *Tensor {
	h := x.handle("ExpandDims")
	n := x.NDim() + len(axes)
	list := make([]int32, len(axes))
	for i, a := range axes {
		if a < -n || a >= n {
			panic(NewError("tensor.ExpandDims", []*Tensor{x}, "axis %d is out of range for %d dimensions", a, n))
		}
		list[i] = int32((a + n) % n)
		for _, b := range list[:i] {
			if b == list[i] {
				panic(NewError("tensor.ExpandDims", []*Tensor{x}, "axis %d is given twice in %v", a, axes))
			}
		}
	}
	m, err := mlxc.ExpandDimsAxes(deviceOf(x), h, list)
	return keepBounds(made("ExpandDims", &m, err, x), x)
}

// Squeeze removes axes of length 1; without axes, all of them.
func Squeeze(x *Tensor, axes ...int) *Tensor {
	h := x.handle("Squeeze")
	if len(axes) == 0 {
		for i, d := range x.shape {
			if d == 1 {
				axes = append(axes, i)
			}
		}
		if len(axes) == 0 {
			m, err := mlxc.Share(h)
			return keepBounds(made("Squeeze", &m, err, x), x)
		}
	}
	list := x.axes("Squeeze", axes)
	for _, a := range list {
		if x.shape[a] != 1 {
			panic(NewError("tensor.Squeeze", []*Tensor{x}, "axis %d has length %d, want 1", a, x.shape[a]))
		}
	}
	m, err := mlxc.SqueezeAxes(deviceOf(x), h, list)
	return keepBounds(made("Squeeze", &m, err, x), x)
}

// BroadcastTo repeats axes of length 1, and adds leading ones, without copying.
func BroadcastTo(x *Tensor, shape ...int) *Tensor {
	h := x.handle("BroadcastTo")
	checkShape("BroadcastTo", shape)
	if got, err := BroadcastShapes(x.shape, shape); err != nil || !sameShape(got, shape) {
		panic(NewError("tensor.BroadcastTo", []*Tensor{x}, "can't be broadcast to the shape %v", shape))
	}
	m, err := mlxc.BroadcastTo(deviceOf(x), h, int32s(shape))
	return keepBounds(made("BroadcastTo", &m, err, x), x)
}

// SumTo is the inverse of broadcasting: it sums x down to a shape that
// broadcasts to x's. For x's own shape it returns x itself.
func SumTo(x *Tensor, shape []int) *Tensor {
	x.handle("SumTo")
	if sameShape(x.shape, shape) {
		return x
	}
	if got, err := BroadcastShapes(x.shape, shape); err != nil || !sameShape(got, x.shape) {
		panic(NewError("tensor.SumTo", []*Tensor{x}, "the shape %v does not broadcast to this one", shape))
	}
	lead := len(x.shape) - len(shape)
	var axes []int
	for i, d := range x.shape {
		if i < lead || shape[i-lead] == 1 && d != 1 {
			axes = append(axes, i)
		}
	}
	return Reshape(Sum(x, true, axes...), shape...)
}

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Concat joins tensors along an axis; the other lengths must agree.
func Concat(axis int, xs ...*Tensor) *Tensor {
	hs, a := joinable("Concat", axis, 0, xs)
	for _, x := range xs[1:] {
		for i := range x.shape {
			if x.NDim() != xs[0].NDim() || i != a && x.shape[i] != xs[0].shape[i] {
				panic(NewError("tensor.Concat", xs, "shapes must agree but for axis %d", axis))
			}
		}
	}
	m, err := mlxc.ConcatenateAxis(deviceOfAll(xs...), hs, a)
	return madeOf("Concat", &m, err, xs...)
}

// Stack joins tensors of one shape along a new axis.
func Stack(axis int, xs ...*Tensor) *Tensor {
	hs, a := joinable("Stack", axis, 1, xs)
	for _, x := range xs[1:] {
		if !sameShape(x.shape, xs[0].shape) {
			panic(NewError("tensor.Stack", xs, "shapes must agree"))
		}
	}
	m, err := mlxc.StackAxis(deviceOfAll(xs...), hs, a)
	return madeOf("Stack", &m, err, xs...)
}

// joinable checks a list of operands and an axis of their join, which has more
// axes than they.
func joinable(op string, axis, more int, xs []*Tensor) ([]mlxc.Array, int) {
	if len(xs) == 0 {
		panic(NewError("tensor."+op, nil, "want at least one tensor"))
	}
	hs := handles(op, xs)
	n := xs[0].NDim() + more
	a := axis
	if a < 0 {
		a += n
	}
	if a < 0 || a >= n {
		panic(NewError("tensor."+op, xs[:1], "axis %d is out of range for %d dimensions", axis, n))
	}
	return hs, a
}

// maxParts is the greatest number of tensors that one is cut into: they take some
// 400 bytes each, whatever is in them.
const maxParts = 1 << 20

func (t *Tensor) checkParts(op string, n int) {
	if n > maxParts {
		panic(NewError("tensor."+op, []*Tensor{t}, "want at most %d parts, got %d", maxParts, n))
	}
}

// SplitEqual cuts x into n equal parts along an axis, at most 2^20.
func SplitEqual(x *Tensor, n, axis int) []*Tensor {
	h := x.handle("SplitEqual")
	a := x.axis("SplitEqual", axis)
	if n <= 0 || x.shape[a]%n != 0 {
		panic(NewError("tensor.SplitEqual", []*Tensor{x}, "axis %d can't be cut into %d equal parts", axis, n))
	}
	x.checkParts("SplitEqual", n)
	list, err := mlxc.Split(deviceOf(x), h, n, a)
	return madeList("SplitEqual", list, err, x)
}

// SplitAt cuts x along an axis before each of the rising indices, into at most
// 2^20 parts.
func SplitAt(x *Tensor, axis int, indices ...int) []*Tensor {
	h := x.handle("SplitAt")
	a := x.axis("SplitAt", axis)
	x.checkParts("SplitAt", len(indices)+1)
	last := 0
	for _, i := range indices {
		if i < last || i > x.shape[a] {
			panic(NewError("tensor.SplitAt", []*Tensor{x}, "want rising indices between 0 and %d, got %v", x.shape[a], indices))
		}
		last = i
	}
	list, err := mlxc.SplitSections(deviceOf(x), h, int32s(indices), a)
	return madeList("SplitAt", list, err, x)
}

// Unstack returns the slices of x along an axis, without that axis. There may be
// 2^20 of them.
func Unstack(x *Tensor, axis int) []*Tensor {
	h := x.handle("Unstack")
	a := x.axis("Unstack", axis)
	x.checkParts("Unstack", x.shape[a])
	if x.shape[a] == 0 {
		return nil
	}
	list, err := mlxc.UnstackAxis(deviceOf(x), h, a)
	return madeList("Unstack", list, err, x)
}

// Pad adds elements of a value before and after each axis, widths[axis] many.
func Pad(x *Tensor, widths [][2]int, value float64) *Tensor {
	h := x.handle("Pad")
	if len(widths) != x.NDim() {
		panic(NewError("tensor.Pad", []*Tensor{x}, "want widths for %d axes, got %d", x.NDim(), len(widths)))
	}
	axes := make([]int32, len(widths))
	low, high := make([]int32, len(widths)), make([]int32, len(widths))
	for i, w := range widths {
		if w[0] < 0 || w[1] < 0 || max(w[0], w[1]) > math.MaxInt32 {
			panic(NewError("tensor.Pad", []*Tensor{x}, "want widths between 0 and %d, got %v for axis %d", math.MaxInt32, w, i))
		}
		axes[i], low[i], high[i] = int32(i), int32(w[0]), int32(w[1])
	}
	inner := NewScope()
	defer inner.Close()
	v := scalarIn("Pad", inner, x.dtype, value)
	m, err := mlxc.Pad(deviceOf(x), h, axes, low, high, v.h, mlxc.NewCString("constant"))
	runtime.KeepAlive(v)
	return made("Pad", &m, err, x)
}

// Tril returns x with zeros above diagonal k of its last two axes.
func Tril(x *Tensor, k int) *Tensor { return triangle("Tril", mlxc.Tril, x, k) }

// Triu returns x with zeros below diagonal k of its last two axes.
func Triu(x *Tensor, k int) *Tensor { return triangle("Triu", mlxc.Triu, x, k) }

func triangle(op string, f func(mlxc.Device, mlxc.Array, int) (mlxc.Made, error), x *Tensor, k int) *Tensor {
	h := x.handle(op)
	if x.NDim() < 2 {
		panic(NewError("tensor."+op, []*Tensor{x}, "want at least two axes"))
	}
	if x.Size() == 0 { // the engine would make a mask as large as the axes
		return Contiguous(x)
	}
	k = nearDiagonal(k, x.Dim(-2), x.Dim(-1))
	m, err := f(deviceOf(x), h, k)
	return made(op, &m, err, x)
}

// Repeat repeats each slice along an axis n times.
func Repeat(x *Tensor, n, axis int) *Tensor {
	h := x.handle("Repeat")
	a := x.axis("Repeat", axis)
	if n < 0 || n > math.MaxInt32 {
		panic(NewError("tensor.Repeat", []*Tensor{x}, "want n between 0 and %d, got %d", math.MaxInt32, n))
	}
	m, err := mlxc.RepeatAxis(deviceOf(x), h, n, a)
	return keepBounds(made("Repeat", &m, err, x), x)
}

// Flip reverses axes; all of them when none is given.
func Flip(x *Tensor, axes ...int) *Tensor {
	h := x.handle("Flip")
	list := x.axes("Flip", axes)
	if len(list) == 0 {
		m, err := mlxc.Share(h)
		return keepBounds(made("Flip", &m, err, x), x)
	}
	m, err := mlxc.FlipAxes(deviceOf(x), h, list)
	reversed := made("Flip", &m, err, x)
	defer Free(reversed)
	// A copy: the engine's split reads other memory where steps are negative.
	m, err = mlxc.Contiguous(deviceOf(x), reversed.h, false)
	return keepBounds(made("Flip", &m, err, reversed), x)
}

// Contiguous returns x laid out densely in row-major order.
func Contiguous(x *Tensor) *Tensor {
	m, err := mlxc.Contiguous(deviceOf(x), x.handle("Contiguous"), false)
	return keepBounds(made("Contiguous", &m, err, x), x)
}

// AsType converts the elements; from floating point to integers it truncates.
func AsType(x *Tensor, d Dtype) *Tensor {
	h := x.handle("AsType")
	if !d.valid() {
		panic(NewError("tensor.AsType", []*Tensor{x}, "unsupported dtype %d", d))
	}
	device := deviceOf(x)
	if d == Float64 && device == mlxc.GPU {
		device = mlxc.CPU
		if mlxc.HasCUDA() {
			x = x.throughHost("AsType")
			defer Free(x)
			h = x.h
		}
	}
	m, err := mlxc.Astype(device, h, mlxc.Dtype(d))
	y := made("AsType", &m, err, x)
	if x.dtype.IsInteger() && (d == Int32 || d == Int64 || d == Uint32 && x.bounds != nil && x.bounds.low >= 0) {
		y.bounds = x.bounds
	}
	return y
}

// throughHost evaluates t and returns a copy made on the host, in t's scope:
// on CUDA the engine lets the CPU read the memory of the GPU, which ends the
// process.
func (t *Tensor) throughHost(op string) *Tensor {
	var data []byte
	if err := read(t, op, t.dtype, func(b []byte) { data = slices.Clone(b) }); err != nil {
		panic(NewError("tensor."+op, []*Tensor{t}, "the tensor is needed on the host: %v", err))
	}
	return fromBytes(op, unsafe.Pointer(unsafe.SliceData(data)), t.dtype, t.shape, t.scope)
}

// Depends returns xs such that they are evaluated only after deps: a way to
// keep work from starting early.
func Depends(xs, deps []*Tensor) []*Tensor {
	if len(xs) == 0 {
		return nil
	}
	hx := handles("Depends", xs)
	if len(deps) == 0 {
		panic(NewError("tensor.Depends", xs, "want at least one tensor to depend on"))
	}
	list, err := mlxc.Depends(deviceOfAll(xs...), hx, handles("Depends", deps))
	out := madeList("Depends", list, err, append(append(make([]*Tensor, 0, len(xs)+len(deps)), xs...), deps...)...)
	for i, x := range xs {
		out[i].bounds = x.bounds
	}
	return out
}
