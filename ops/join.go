package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Concat joins tensors along an axis; the other lengths must agree.
func Concat(axis int, xs ...*autograd.Var) *autograd.Var {
	defer rename("Concat")
	notNil("Concat", xs...)
	ends := make([]int, len(xs))
	end := 0
	for i, x := range xs {
		end += x.Dim(axis)
		ends[i] = end
	}
	return joined("Concat", tensor.Concat, axis, xs, func(g *tensor.Tensor) []*tensor.Tensor {
		return tensor.SplitAt(g, axis, ends[:len(ends)-1]...)
	})
}

// Stack joins tensors of one shape along a new axis.
func Stack(axis int, xs ...*autograd.Var) *autograd.Var {
	notNil("Stack", xs...)
	return joined("Stack", tensor.Stack, axis, xs, func(g *tensor.Tensor) []*tensor.Tensor {
		return tensor.Unstack(g, axis)
	})
}

// join makes one tensor of any number; cut takes its gradient apart.
type join struct {
	name   string
	axis   int
	dtypes []tensor.Dtype // of the operands
	join   func(axis int, xs ...*tensor.Tensor) *tensor.Tensor
	cut    func(g *tensor.Tensor) []*tensor.Tensor
}

func joined(name string, f func(int, ...*tensor.Tensor) *tensor.Tensor, axis int, xs []*autograd.Var, cut func(*tensor.Tensor) []*tensor.Tensor) *autograd.Var {
	if len(xs) == 0 {
		panic(tensor.NewError("ops."+name, nil, "want at least one tensor"))
	}
	j := &join{name, axis, make([]tensor.Dtype, len(xs)), f, cut}
	for i, x := range xs {
		j.dtypes[i] = x.Dtype()
	}
	return apply(name, j, xs...)[0]
}

func (j *join) String() string { return "ops." + j.name }

func (j *join) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{j.join(j.axis, in...)}
}

func (j *join) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(j.dtypes))
	for i, part := range j.cut(grad[0]) {
		if ctx.Needs(i) {
			out[i] = narrow(part, j.dtypes[i])
		}
	}
	return out
}

// SplitEqual cuts x into n equal parts along an axis.
func SplitEqual(x *autograd.Var, n, axis int) []*autograd.Var {
	return split("SplitEqual", x, axis, tensor.Concat, func(x *tensor.Tensor) []*tensor.Tensor {
		return tensor.SplitEqual(x, n, axis)
	})
}

// SplitAt cuts x along an axis before each of the rising indices.
func SplitAt(x *autograd.Var, axis int, indices ...int) []*autograd.Var {
	return split("SplitAt", x, axis, tensor.Concat, func(x *tensor.Tensor) []*tensor.Tensor {
		return tensor.SplitAt(x, axis, indices...)
	})
}

// Unstack returns the slices of x along an axis, without that axis; the axis
// must not have length 0.
func Unstack(x *autograd.Var, axis int) []*autograd.Var {
	return split("Unstack", x, axis, tensor.Stack, func(x *tensor.Tensor) []*tensor.Tensor {
		return tensor.Unstack(x, axis)
	})
}

// parts takes a tensor apart; join joins the gradients.
type parts struct {
	name string
	axis int
	cut  func(x *tensor.Tensor) []*tensor.Tensor
	join func(axis int, grad ...*tensor.Tensor) *tensor.Tensor
}

func split(name string, x *autograd.Var, axis int, join func(int, ...*tensor.Tensor) *tensor.Tensor, cut func(*tensor.Tensor) []*tensor.Tensor) []*autograd.Var {
	notNil(name, x)
	return apply(name, &parts{name, axis, cut, join}, x)
}

func (p *parts) String() string { return "ops." + p.name }

func (p *parts) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return p.cut(in[0])
}

func (p *parts) Backward(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{p.join(p.axis, grad...)}
}
