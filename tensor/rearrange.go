package tensor

import (
	"math"
	"slices"
)

// Tile repeats x as a whole, reps[axis] times along each axis. Fewer numbers
// than axes stand for the last ones, more of them for new leading axes.
func Tile(x *Tensor, reps ...int) *Tensor {
	x.handle("Tile")
	for _, n := range reps {
		if n < 0 || n > math.MaxInt32 {
			panic(NewError("tensor.Tile", []*Tensor{x}, "want counts between 0 and %d, got %v", math.MaxInt32, reps))
		}
	}
	shape := x.Shape()
	for len(shape) < len(reps) {
		shape = slices.Insert(shape, 0, 1)
	}
	// [n0, d0, n1, d1, ...], of which x fills the d.
	var apart, together, out []int
	for i, d := range shape {
		n := 1
		if j := i - (len(shape) - len(reps)); j >= 0 {
			n = reps[j]
		}
		apart, together, out = append(apart, 1, d), append(together, n, d), append(out, n*d)
	}
	checkShape("Tile", out)
	return Reshape(BroadcastTo(Reshape(x, apart...), together...), out...)
}

// Roll moves the elements along an axis by shift places, forwards where that is
// positive; what leaves at one end comes back at the other.
func Roll(x *Tensor, shift, axis int) *Tensor {
	x.handle("Roll")
	a := x.axis("Roll", axis)
	n := x.shape[a]
	if n == 0 || shift%n == 0 {
		return Reshape(x, x.shape...)
	}
	cut := n - (shift%n+n)%n
	return keepBounds(Concat(a, SliceAxis(x, a, cut, n), SliceAxis(x, a, 0, cut)), x)
}

// MoveAxis moves an axis to another place; the others keep their order.
func MoveAxis(x *Tensor, from, to int) *Tensor {
	x.handle("MoveAxis")
	f, t := x.axis("MoveAxis", from), x.axis("MoveAxis", to)
	order := make([]int, x.NDim())
	for i := range order {
		order[i] = i
	}
	return Transpose(x, slices.Insert(slices.Delete(order, f, f+1), t, f)...)
}

// OneHot returns tensors [..., n] of dtype d that are 1 at the index and 0
// elsewhere, for integer indices [...]. An index outside [0, n) gives zeros.
func OneHot(indices *Tensor, n int, d Dtype) *Tensor {
	indices.handle("OneHot")
	if !indices.dtype.IsInteger() {
		panic(NewError("tensor.OneHot", []*Tensor{indices}, "want integer indices, got %s", indices.dtype))
	}
	checkShape("OneHot", []int{n})
	if indices.Size() == 0 {
		return full("OneHot", indices.scope, 0, d, append(indices.Shape(), n))
	}
	classes := Arange(0, float64(n), 1, Int64)
	defer Free(classes)
	return AsType(Equal(ExpandDims(AsType(indices, Int64), -1), classes), d)
}
