package ops

import (
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Slice returns x[start:stop:stride] per axis. Like Python's, negative indices
// count from the end and all are clipped; strides are 1 when not given, and
// must be positive.
//
// Each slice of x costs a gradient of x's whole size: SplitAt and SplitEqual
// are better for taking x apart.
func Slice(x *autograd.Var, start, stop []int, strides ...int) *autograd.Var {
	start, strides = slices.Clone(start), slices.Clone(strides)
	slice := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Slice(x, start, stop, strides...) }
	return unary("Slice", slice, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		for axis, s := range strides {
			g = spread(g, axis, s)
		}
		return padBack(g, shape, start)
	}))
}

// SliceAxis returns x[start:stop] along one axis; see Slice.
func SliceAxis(x *autograd.Var, axis, start, stop int) *autograd.Var {
	slice := func(x *tensor.Tensor) *tensor.Tensor { return tensor.SliceAxis(x, axis, start, stop) }
	return unary("SliceAxis", slice, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		from := make([]int, len(shape))
		from[(axis+len(shape))%len(shape)] = start
		return padBack(g, shape, from)
	}))
}

// spread puts stride−1 zeros between the elements along an axis.
func spread(g *tensor.Tensor, axis, stride int) *tensor.Tensor {
	n := g.Dim(axis)
	if stride == 1 || n < 2 {
		return g
	}
	apart := tensor.ExpandDims(g, axis+1)
	widths := make([][2]int, apart.NDim())
	widths[axis+1][1] = stride - 1
	shape := g.Shape()
	shape[axis] = n * stride
	g = tensor.Reshape(tensor.Pad(apart, widths, 0), shape...)
	return tensor.SliceAxis(g, axis, 0, (n-1)*stride+1)
}

// padBack puts g where it was cut out of a tensor of the given shape, among
// zeros.
func padBack(g *tensor.Tensor, shape, start []int) *tensor.Tensor {
	widths := make([][2]int, len(shape))
	for i, from := range start {
		if from < 0 {
			from += shape[i]
		}
		from = min(max(from, 0), shape[i])
		widths[i] = [2]int{from, shape[i] - from - g.Dim(i)}
	}
	return tensor.Pad(g, widths, 0)
}

// Pad adds elements of a value before and after each axis, widths[axis] many.
func Pad(x *autograd.Var, widths [][2]int, value float64) *autograd.Var {
	widths = slices.Clone(widths)
	pad := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Pad(x, widths, value) }
	return unary("Pad", pad, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		start, stop := make([]int, len(shape)), make([]int, len(shape))
		for i, w := range widths {
			start[i], stop[i] = w[0], w[0]+shape[i]
		}
		return tensor.Slice(g, start, stop)
	}))
}

// SliceUpdate returns x with x[start:stop] replaced by update, which broadcasts
// to that part.
func SliceUpdate(x, update *autograd.Var, start, stop []int) *autograd.Var {
	start, stop = slices.Clone(start), slices.Clone(stop)
	set := func(x, update *tensor.Tensor) *tensor.Tensor { return tensor.SliceUpdate(x, update, start, stop) }
	return binary("SliceUpdate", set, x, update,
		linear(func(g *tensor.Tensor) *tensor.Tensor { return tensor.SliceUpdate(g, tensor.Like(g, 0), start, stop) }),
		linear(func(g *tensor.Tensor) *tensor.Tensor { return tensor.Slice(g, start, stop) }))
}

// PadEdge repeats the first and last elements of each axis, widths[axis] many
// times. An axis of length 0 has none, and must not be padded.
func PadEdge(x *autograd.Var, widths [][2]int) *autograd.Var {
	defer rename("PadEdge")
	notNil("PadEdge", x)
	if len(widths) != x.NDim() {
		panic(tensor.NewError("ops.PadEdge", []*tensor.Tensor{x.Value()}, "want widths for %d axes, got %d", x.NDim(), len(widths)))
	}
	for axis, w := range widths {
		n := x.Dim(axis)
		switch {
		case w[0] < 0 || w[1] < 0:
			panic(tensor.NewError("ops.PadEdge", []*tensor.Tensor{x.Value()}, "want widths of 0 or more, got %v for axis %d", w, axis))
		case w == [2]int{}:
			continue
		case n == 0:
			panic(tensor.NewError("ops.PadEdge", []*tensor.Tensor{x.Value()}, "axis %d has length 0", axis))
		}
		first, last := SliceAxis(x, axis, 0, 1), SliceAxis(x, axis, n-1, n)
		x = Concat(axis, Repeat(first, w[0], axis), x, Repeat(last, w[1], axis))
	}
	return x
}
