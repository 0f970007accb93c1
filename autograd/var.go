package autograd

import "github.com/deltatape/deltatape/tensor"

// Var is a value on a tape.
type Var struct {
	graph    *graph
	value    *tensor.Tensor
	slot     int // place of the gradient in a sweep; meaningful if requires
	requires bool
	leaf     bool // its value is not the result of an operation of the tape
	marked   bool // as non-differentiable
}

// Value returns the tensor. It belongs to the tape, and what is computed from it
// with package tensor does too, without a gradient.
func (v *Var) Value() *tensor.Tensor { return v.value }

// Shape returns a copy of the lengths of the axes.
func (v *Var) Shape() []int { return v.value.Shape() }

// Dim returns the length of an axis; negative axes count from the end.
func (v *Var) Dim(axis int) int { return v.value.Dim(axis) }

// NDim returns the number of axes.
func (v *Var) NDim() int { return v.value.NDim() }

// Dtype returns the type of the elements.
func (v *Var) Dtype() tensor.Dtype { return v.value.Dtype() }

// RequiresGrad reports whether a gradient flows to v.
func (v *Var) RequiresGrad() bool { return v.requires }

// Differentiable reports whether a gradient means anything for v: it is false for
// integers and bools, and for outputs that a Function marked as without a
// gradient. Constants are differentiable.
func (v *Var) Differentiable() bool { return !v.marked && v.Dtype().IsFloat() }

// Tape returns the tape that v is on.
func (v *Var) Tape() *Tape { return v.graph.tape }

// Detach returns v's value as a constant: no gradient flows through it.
func (v *Var) Detach() *Var {
	d := v.graph.newVar(v.value, false)
	d.leaf = v.leaf
	return d
}

// Hook calls f with the gradient of v in each backward pass, once it is complete
// and before it flows on. A tensor that f returns takes its place and must have
// its shape and dtype; nil leaves it as it is. grad and what f computes are
// released when f returns, except for what Tape.Keep took. Hooks of a Var run in
// the order in which they were set. A Var that requires no gradient has none to
// show.
func (v *Var) Hook(f func(grad *tensor.Tensor) *tensor.Tensor) {
	g := v.graph
	g.tape.mustBeOpen("Var.Hook")
	if f == nil {
		panic(tensor.NewError("autograd.Var.Hook", []*tensor.Tensor{v.value}, "the function is nil"))
	}
	if !v.requires || g.mode != recording {
		return
	}
	if g.hooks == nil {
		g.hooks = make(map[int][]hook)
	}
	g.hooks[v.slot] = append(g.hooks[v.slot], f)
}

type hook = func(grad *tensor.Tensor) *tensor.Tensor
