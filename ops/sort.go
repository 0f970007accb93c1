package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Sort returns x sorted upwards along an axis; NaN comes last. Each element keeps
// its gradient; of equal ones it is not said which comes first.
func Sort(x *autograd.Var, axis int) *autograd.Var {
	defer rename("Sort")
	notNil("Sort", x)
	if x.Dim(axis) == 0 {
		return Reshape(x, x.Shape()...)
	}
	order := tensor.ArgSort(x.Value(), axis)
	defer tensor.Free(order)
	return TakeAlong(x, order, axis)
}

// TopK returns the k greatest elements along an axis, the greatest first, and
// their indices, which are uint32. The other elements have a gradient of 0; of
// equal ones it is not said which are taken. NaN counts as greater than all.
func TopK(x *autograd.Var, k, axis int) (values *autograd.Var, indices *tensor.Tensor) {
	defer rename("TopK")
	notNil("TopK", x)
	n := x.Dim(axis)
	if k < 0 || k > n {
		panic(tensor.NewError("ops.TopK", []*tensor.Tensor{x.Value()}, "want k between 0 and %d, got %d", n, k))
	}
	order := tensor.ArgSort(x.Value(), axis)
	last := tensor.SliceAxis(order, axis, n-k, n)
	defer tensor.Free(order, last)
	indices = tensor.Flip(last, axis)
	if k == 0 {
		return SliceAxis(x, axis, 0, 0), indices
	}
	return TakeAlong(x, indices, axis), indices
}
