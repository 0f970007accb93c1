package ops

import (
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Concat joins tensors along an axis; the other lengths must agree.
func Concat(axis int, xs ...*autograd.Var) *autograd.Var {
	return joined(&join{name: "Concat", axis: axis, forward: tensor.Concat,
		backward: func(g *tensor.Tensor, operands []operand) []*tensor.Tensor {
			cuts := make([]int, len(operands)-1)
			at, a := 0, (axis+g.NDim())%g.NDim()
			for i := range cuts {
				at += operands[i].shape[a]
				cuts[i] = at
			}
			return tensor.SplitAt(g, axis, cuts...)
		}}, xs)
}

// Stack joins tensors of one shape along a new axis.
func Stack(axis int, xs ...*autograd.Var) *autograd.Var {
	return joined(&join{name: "Stack", axis: axis, forward: tensor.Stack,
		backward: func(g *tensor.Tensor, _ []operand) []*tensor.Tensor { return tensor.Unstack(g, axis) }}, xs)
}

// join makes one tensor of any number; its backward takes the gradient apart.
type join struct {
	name     string
	axis     int
	forward  func(axis int, xs ...*tensor.Tensor) *tensor.Tensor
	backward func(g *tensor.Tensor, operands []operand) []*tensor.Tensor
	operands []operand
}

func joined(j *join, xs []*autograd.Var) *autograd.Var {
	if len(xs) == 0 {
		panic(tensor.NewError("ops."+j.name, nil, "want at least one tensor"))
	}
	return apply(j.name, j, xs...)[0]
}

func (j *join) Name() string { return "ops." + j.name }

func (j *join) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	y := j.forward(j.axis, in...)
	for _, x := range in {
		j.operands = append(j.operands, operandOf(x))
	}
	return []*tensor.Tensor{y}
}

func (j *join) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	parts := j.backward(grad[0], j.operands)
	for i, o := range j.operands {
		if ctx.Needs(i) {
			parts[i] = o.fit(parts[i])
		} else {
			parts[i] = nil
		}
	}
	return parts
}

// SplitEqual cuts x into n equal parts along an axis.
func SplitEqual(x *autograd.Var, n, axis int) []*autograd.Var {
	return apply("SplitEqual", &parts{name: "SplitEqual", axis: axis,
		forward:  func(x *tensor.Tensor) []*tensor.Tensor { return tensor.SplitEqual(x, n, axis) },
		backward: tensor.Concat}, x)
}

// SplitAt cuts x along an axis before each of the rising indices.
func SplitAt(x *autograd.Var, axis int, indices ...int) []*autograd.Var {
	indices = slices.Clone(indices)
	return apply("SplitAt", &parts{name: "SplitAt", axis: axis,
		forward:  func(x *tensor.Tensor) []*tensor.Tensor { return tensor.SplitAt(x, axis, indices...) },
		backward: tensor.Concat}, x)
}

// Unstack returns the slices of x along an axis, without that axis.
func Unstack(x *autograd.Var, axis int) []*autograd.Var {
	return apply("Unstack", &parts{name: "Unstack", axis: axis,
		forward:  func(x *tensor.Tensor) []*tensor.Tensor { return tensor.Unstack(x, axis) },
		backward: tensor.Stack}, x)
}

// parts takes a tensor apart; its backward joins the gradients.
type parts struct {
	name     string
	axis     int
	forward  func(x *tensor.Tensor) []*tensor.Tensor
	backward func(axis int, grad ...*tensor.Tensor) *tensor.Tensor
}

func (p *parts) Name() string { return "ops." + p.name }

func (p *parts) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return p.forward(in[0])
}

func (p *parts) Backward(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{p.backward(p.axis, grad...)}
}
