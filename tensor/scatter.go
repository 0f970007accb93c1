package tensor

import "github.com/deltatape/deltatape/internal/mlxc"

// ScatterAddAlong is the counterpart of TakeAlong: it returns x with updates
// added at x[..., indices[...], ...] along an axis. indices has x's number of
// axes and gives one index for each update; outside the axis it broadcasts to x,
// and updates broadcasts to both. An index may come more than once. Indices must
// be integers in [0, x.Dim(axis)). Half precision is added up in float32.
func ScatterAddAlong(x, indices, updates *Tensor, axis int) *Tensor {
	const op = "ScatterAddAlong"
	x.handle(op)
	updates.handle(op)
	a := x.axis(op, axis)
	safe, valid := checkIndices(op, x, indices, a)
	bad := func(format string, args ...any) {
		panic(NewError("tensor."+op, []*Tensor{x, indices, updates}, format, args...))
	}
	if indices.NDim() != x.NDim() || updates.NDim() != x.NDim() {
		bad("want as many axes in the indices and the updates as in x")
	}
	want := x.Shape()
	want[a] = indices.shape[a]
	for _, t := range []*Tensor{indices, updates} {
		if got, err := BroadcastShapes(t.shape, want); err != nil || !sameShape(got, want) {
			bad("want indices and updates that broadcast to %v", want)
		}
	}
	if product(want) == 0 {
		return Contiguous(x)
	}
	if isNarrow(x) {
		return AsType(ScatterAddAlong(AsType(x, Float32), indices, updates, a), x.dtype)
	}
	if updates.dtype != x.dtype {
		updates = AsType(updates, x.dtype)
	}
	if valid != nil {
		updates = poison(updates, valid)
	}
	safe, updates = BroadcastTo(safe, want...), BroadcastTo(updates, want...)
	m, err := mlxc.ScatterAddAxis(deviceOf2(x, updates), x.h, safe.h, updates.h, a)
	return madeOf(op, &m, err, x, safe, updates)
}
