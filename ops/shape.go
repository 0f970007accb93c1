package ops

import (
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Reshape returns x with another shape; one length may be −1 and is inferred.
func Reshape(x *autograd.Var, shape ...int) *autograd.Var {
	notNil("Reshape", x)
	return apply("Reshape", reshape(shape), x)[0]
}

// reshape is Reshape to a shape. A rule takes more allocations.
type reshape []int

func (reshape) String() string { return "ops.Reshape" }

func (r reshape) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Reshape(in[0], r...)}
}

func (reshape) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Reshape(grad[0], ctx.OperandShape(0)...)}
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
	notNil("Transpose", x)
	return apply("Transpose", transpose(slices.Clone(axes)), x)[0]
}

// transpose is Transpose by axes, no rule for the same reason as reshape.
type transpose []int

func (transpose) String() string { return "ops.Transpose" }

func (axes transpose) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Transpose(in[0], axes...)}
}

func (axes transpose) Backward(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	inverse := make([]int, len(axes))
	for i, a := range axes {
		inverse[(a+len(axes))%len(axes)] = i
	}
	return []*tensor.Tensor{tensor.Transpose(grad[0], inverse...)}
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
	notNil("Tril", x)
	return apply("Tril", triangle{"ops.Tril", tensor.Tril, k}, x)[0]
}

// Triu returns x with zeros below diagonal k of its last two axes.
func Triu(x *autograd.Var, k int) *autograd.Var {
	notNil("Triu", x)
	return apply("Triu", triangle{"ops.Triu", tensor.Triu, k}, x)[0]
}

// triangle keeps the mask of its one matrix: making it takes eight nodes.
type triangle struct {
	name string
	f    func(x *tensor.Tensor, k int) *tensor.Tensor
	k    int
}

func (t triangle) String() string { return t.name }

func (t triangle) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x := in[0]
	if x.NDim() < 2 || !ctx.Needs(0) {
		return []*tensor.Tensor{t.f(x, t.k)}
	}
	yes := tensor.AsType(tensor.Like(x, 1), tensor.Bool)
	mask := t.f(tensor.BroadcastTo(yes, x.Dim(-2), x.Dim(-1)), t.k)
	ctx.Save(mask)
	return []*tensor.Tensor{tensor.Where(mask, x, tensor.Like(x, 0))}
}

func (t triangle) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	g := grad[0]
	return []*tensor.Tensor{tensor.Where(ctx.Saved(0), g, tensor.Like(g, 0))}
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

// Tile repeats x as a whole, reps[axis] times along each axis. Fewer numbers than
// axes stand for the last ones, more of them for new leading axes.
func Tile(x *autograd.Var, reps ...int) *autograd.Var {
	reps = slices.Clone(reps)
	tile := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Tile(x, reps...) }
	return unary("Tile", tile, x, withShape(func(g *tensor.Tensor, shape []int) *tensor.Tensor {
		// [n0, d0, n1, d1, ...], of which the n are summed.
		var apart, copies []int
		for i := range g.NDim() {
			d := 1
			if j := i - (g.NDim() - len(shape)); j >= 0 {
				d = shape[j]
			}
			n := 1
			if j := i - (g.NDim() - len(reps)); j >= 0 {
				n = reps[j]
			}
			copies, apart = append(copies, 2*i), append(apart, n, d)
		}
		if len(copies) > 0 {
			g = tensor.Sum(tensor.Reshape(g, apart...), false, copies...)
		}
		return tensor.Reshape(g, shape...)
	}))
}

// Roll moves the elements along an axis by shift places, forwards where that is
// positive; what leaves at one end comes back at the other.
func Roll(x *autograd.Var, shift, axis int) *autograd.Var {
	return unary("Roll", func(x *tensor.Tensor) *tensor.Tensor { return tensor.Roll(x, shift, axis) }, x,
		linear(func(g *tensor.Tensor) *tensor.Tensor { return tensor.Roll(g, -shift, axis) }))
}

// MoveAxis moves an axis to another place; the others keep their order.
func MoveAxis(x *autograd.Var, from, to int) *autograd.Var {
	return unary("MoveAxis", func(x *tensor.Tensor) *tensor.Tensor { return tensor.MoveAxis(x, from, to) }, x,
		linear(func(g *tensor.Tensor) *tensor.Tensor { return tensor.MoveAxis(g, to, from) }))
}
