package tensor

import (
	"math"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Slice returns x[start:stop:stride] per axis. Like Python's, negative indices
// count from the end and all are clipped; strides are 1 when not given, and
// must be positive.
func Slice(x *Tensor, start, stop []int, strides ...int) *Tensor {
	h := x.handle("Slice")
	lo, hi := x.sliceBounds("Slice", start, stop)
	st := make([]int32, x.NDim())
	for i := range st {
		st[i] = 1
	}
	if len(strides) > 0 {
		if len(strides) != x.NDim() {
			panic(NewError("tensor.Slice", []*Tensor{x}, "want %d strides, got %v", x.NDim(), strides))
		}
		for i, s := range strides {
			if s <= 0 {
				panic(NewError("tensor.Slice", []*Tensor{x}, "want positive strides, got %v; use Flip to reverse", strides))
			}
			st[i] = int32(min(s, max(1, x.shape[i]))) // the engine adds to it
		}
	}
	m, err := mlxc.Slice(deviceOf(x), h, lo, hi, st)
	return keepBounds(made("Slice", &m, err, x), x)
}

func (t *Tensor) sliceBounds(op string, start, stop []int) (lo, hi []int32) {
	if len(start) != t.NDim() || len(stop) != t.NDim() {
		panic(NewError("tensor."+op, []*Tensor{t}, "want start and stop for %d axes, got %v and %v", t.NDim(), start, stop))
	}
	lo, hi = make([]int32, len(start)), make([]int32, len(start))
	for i := range start {
		a, b := clipIndex(start[i], t.shape[i]), clipIndex(stop[i], t.shape[i])
		lo[i], hi[i] = int32(a), int32(max(a, b))
	}
	return lo, hi
}

// clipIndex reads an index as Python's slices do.
func clipIndex(i, n int) int {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}

// SliceAxis returns x[start:stop] along one axis.
func SliceAxis(x *Tensor, axis, start, stop int) *Tensor {
	x.handle("SliceAxis")
	a := x.axis("SliceAxis", axis)
	lo, hi := make([]int, x.NDim()), x.Shape()
	lo[a], hi[a] = clipIndex(start, x.shape[a]), clipIndex(stop, x.shape[a])
	return Slice(x, lo, hi)
}

// SliceUpdate returns x with x[start:stop] replaced by update, which broadcasts
// to that part.
func SliceUpdate(x, update *Tensor, start, stop []int) *Tensor {
	hx, hu := x.handle("SliceUpdate"), update.handle("SliceUpdate")
	lo, hi := x.sliceBounds("SliceUpdate", start, stop)
	part := make([]int, x.NDim())
	strides := make([]int32, x.NDim())
	for i := range part {
		part[i], strides[i] = int(hi[i]-lo[i]), 1
	}
	if got, err := BroadcastShapes(update.shape, part); err != nil || !sameShape(got, part) {
		panic(NewError("tensor.SliceUpdate", []*Tensor{x, update}, "the update does not broadcast to the part %v", part))
	}
	m, err := mlxc.SliceUpdate(deviceOf2(x, update), hx, hu, lo, hi, strides)
	return madeOf("SliceUpdate", &m, err, x, update)
}

// Take returns the slices of x at indices along an axis: x.shape with that axis
// replaced by indices.shape. Indices must be integers in [0, x.Dim(axis)).
func Take(x, indices *Tensor, axis int) *Tensor {
	hx := x.handle("Take")
	a := x.axis("Take", axis)
	safe, valid := checkIndices("Take", x, indices, a)
	m, err := mlxc.TakeAxis(deviceOf(x), hx, safe.h, a)
	y := keepBounds(madeOf("Take", &m, err, x, safe), x)
	if valid == nil {
		return y
	}
	mask := make([]int, y.NDim())
	for i := range mask {
		mask[i] = 1
	}
	copy(mask[a:], valid.shape)
	return poison(y, Reshape(valid, mask...))
}

// TakeAlong returns x[..., indices[...], ...] along an axis: indices has x's
// number of axes and gives one index for each element of the result.
func TakeAlong(x, indices *Tensor, axis int) *Tensor {
	hx := x.handle("TakeAlong")
	a := x.axis("TakeAlong", axis)
	safe, valid := checkIndices("TakeAlong", x, indices, a)
	if indices.NDim() != x.NDim() {
		panic(NewError("tensor.TakeAlong", []*Tensor{x, indices}, "want as many axes in the indices as in x"))
	}
	for i := range x.shape {
		if i != a && x.shape[i] != indices.shape[i] && x.shape[i] != 1 && indices.shape[i] != 1 {
			panic(NewError("tensor.TakeAlong", []*Tensor{x, indices}, "shapes can't be broadcast outside axis %d", axis))
		}
	}
	m, err := mlxc.TakeAlongAxis(deviceOf(x), hx, safe.h, a)
	y := keepBounds(madeOf("TakeAlong", &m, err, x, safe), x)
	if valid == nil {
		return y
	}
	return poison(y, valid)
}

// ScatterAdd returns x with updates added at indices along an axis; an index
// may come more than once. updates has x.shape with that axis replaced by
// indices.shape. Indices must be integers in [0, x.Dim(axis)).
func ScatterAdd(x, indices, updates *Tensor, axis int) *Tensor {
	hx := x.handle("ScatterAdd")
	updates.handle("ScatterAdd")
	a := x.axis("ScatterAdd", axis)
	safe, valid := checkIndices("ScatterAdd", x, indices, a)
	want := append(append(append([]int{}, x.shape[:a]...), indices.shape...), x.shape[a+1:]...)
	if !sameShape(updates.shape, want) {
		panic(NewError("tensor.ScatterAdd", []*Tensor{x, indices, updates}, "want updates of shape %v", want))
	}
	if updates.Size() == 0 {
		return Contiguous(x)
	}
	if isNarrow(x) {
		return AsType(ScatterAdd(AsType(x, Float32), indices, updates, a), x.dtype)
	}
	if updates.dtype != x.dtype {
		updates = AsType(updates, x.dtype)
	}
	if valid != nil {
		mask := make([]int, updates.NDim())
		for i := range mask {
			mask[i] = 1
		}
		copy(mask[a:], valid.shape)
		updates = poison(updates, Reshape(valid, mask...))
	}
	// The engine wants the indices' axes first and a 1 in place of the axis.
	k := indices.NDim()
	order := make([]int, 0, updates.NDim())
	for i := range k {
		order = append(order, a+i)
	}
	shape := append([]int{}, indices.shape...)
	for i := range updates.NDim() {
		if i < a || i >= a+k {
			order = append(order, i)
		}
	}
	shape = append(append(append(shape, x.shape[:a]...), 1), x.shape[a+1:]...)
	if a != 0 {
		updates = Transpose(updates, order...)
	}
	updates = Reshape(updates, shape...)
	m, err := mlxc.ScatterAddSingle(deviceOf2(x, updates), hx, safe.h, updates.h, a)
	return madeOf("ScatterAdd", &m, err, x, safe, updates)
}

// Bounds returns limits of an integer tensor's values, both inclusive, where the
// host knows them without reading any.
func (t *Tensor) Bounds() (low, high int64, ok bool) {
	t.handle("Bounds")
	if t.bounds == nil || t.Size() == 0 {
		return 0, 0, false
	}
	return t.bounds.low, t.bounds.high, true
}

// checkIndices returns indices that are safe to use along an axis of x. Where
// the host does not know their range it also returns which ones were valid.
func checkIndices(op string, x, indices *Tensor, axis int) (safe, valid *Tensor) {
	indices.handle(op)
	if !indices.dtype.IsInteger() {
		panic(NewError("tensor."+op, []*Tensor{x, indices}, "want integer indices, got %s", indices.dtype))
	}
	n := int64(x.shape[axis])
	if indices.Size() == 0 {
		return indices, nil
	}
	if n == 0 {
		panic(NewError("tensor."+op, []*Tensor{x, indices}, "axis %d has length 0", axis))
	}
	if b := indices.bounds; b != nil {
		if b.low >= 0 && b.high < n {
			return indices, nil
		}
		bad := b.low
		if bad >= 0 {
			bad = b.high
		}
		panic(NewError("tensor."+op, []*Tensor{x, indices}, "index %d is out of range [0, %d) of axis %d", bad, n, axis))
	}
	if indices.dtype.Size() < 4 { // 8 and 16 bits can't hold every length
		indices = AsType(indices, Int32)
	}
	last := Like(indices, float64(n-1))
	zero := Like(indices, 0)
	safe = Minimum(Maximum(indices, zero), last)
	return safe, Equal(safe, indices)
}

// poison puts NaN where valid is false; integers stay as they are.
func poison(y, valid *Tensor) *Tensor {
	if !y.dtype.IsFloat() {
		return y
	}
	return Where(valid, y, Like(y, math.NaN()))
}
