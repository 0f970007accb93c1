package ops

import (
	"math/bits"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// A rule is an op of one result and up to three operands, given by its forward
// function and one vjp for each operand. It keeps for the backward pass only
// what the vjps of operands that need a gradient read, and fits each gradient
// to its operand: what was broadcast is summed, what was promoted is converted
// back.
type rule struct {
	name     string
	forward  any // func(x *tensor.Tensor) *tensor.Tensor, or of (a, b) or (a, b, c)
	vjps     [3]vjp
	operands uint8
	dtypes   [3]tensor.Dtype
	shapes   *[3][]int // nil where the gradients have the operands' shapes already, all or one
}

// unary is the op y = f(x).
func unary(name string, f func(x *tensor.Tensor) *tensor.Tensor, x *autograd.Var, dx vjp) *autograd.Var {
	notNil(name, x)
	r := &rule{name: name, forward: f, vjps: [3]vjp{dx}}
	return r.apply(false, x)
}

// binary is the op y = f(a, b).
func binary(name string, f func(a, b *tensor.Tensor) *tensor.Tensor, a, b *autograd.Var, da, db vjp) *autograd.Var {
	notNil(name, a, b)
	r := &rule{name: name, forward: f, vjps: [3]vjp{da, db}}
	return r.apply(!sameShape(a.Value(), b.Value()), a, b)
}

// ternary is the op y = f(a, b, c).
func ternary(name string, f func(a, b, c *tensor.Tensor) *tensor.Tensor, a, b, c *autograd.Var, da, db, dc vjp) *autograd.Var {
	notNil(name, a, b, c)
	r := &rule{name: name, forward: f, vjps: [3]vjp{da, db, dc}}
	return r.apply(true, a, b, c)
}

// apply completes the rule and runs it. broadcasts says that the gradient of
// an operand may come out in another shape.
func (r *rule) apply(broadcasts bool, in ...*autograd.Var) *autograd.Var {
	r.operands = uint8(len(in))
	for i, x := range in {
		r.dtypes[i] = x.Dtype()
		if x.RequiresGrad() && (broadcasts || r.vjps[i].takesShape()) {
			if r.shapes == nil {
				r.shapes = new([3][]int)
			}
			r.shapes[i] = x.Shape()
		}
	}
	return apply(r.name, r, in...)[0]
}

// reads is the set of values that a vjp reads beside the gradient.
type reads uint8

const (
	readA reads = 1 << iota // the first operand
	readB                   // the second
	readC                   // the third
	readY                   // the result
)

// A vjp turns the gradient g of the result into that of one operand. Its
// function takes g, then what it reads, in the order of operands, then result,
// then, if it wants that, the shape of the operand.
type vjp struct {
	reads reads
	f     any // as the constructors below have it
}

// none stands for an operand that never has a gradient.
var none vjp

func linear(f func(g *tensor.Tensor) *tensor.Tensor) vjp { return vjp{f: f} }

func with(r reads, f func(g, s *tensor.Tensor) *tensor.Tensor) vjp { return vjp{r, f} }

func withTwo(r reads, f func(g, s, t *tensor.Tensor) *tensor.Tensor) vjp { return vjp{r, f} }

func withShape(f func(g *tensor.Tensor, shape []int) *tensor.Tensor) vjp { return vjp{f: f} }

func withAndShape(r reads, f func(g, s *tensor.Tensor, shape []int) *tensor.Tensor) vjp {
	return vjp{r, f}
}

func (v *vjp) takesShape() bool {
	switch v.f.(type) {
	case func(*tensor.Tensor, []int) *tensor.Tensor, func(_, _ *tensor.Tensor, _ []int) *tensor.Tensor:
		return true
	}
	return false
}

// same is the vjp of what passes values on.
func same(g *tensor.Tensor) *tensor.Tensor { return g }

// String names the op in errors.
func (r *rule) String() string { return "ops." + r.name }

func (r *rule) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	values := [4]*tensor.Tensor{} // in the order of the bits of reads
	copy(values[:], in)
	var y *tensor.Tensor
	switch f := r.forward.(type) {
	case func(x *tensor.Tensor) *tensor.Tensor:
		y = f(in[0])
	case func(a, b *tensor.Tensor) *tensor.Tensor:
		y = f(in[0], in[1])
	case func(a, b, c *tensor.Tensor) *tensor.Tensor:
		y = f(in[0], in[1], in[2])
	}
	values[3] = y
	saved := r.saved(ctx)
	for i, t := range values {
		if saved&(1<<i) != 0 {
			ctx.Save(t)
		}
	}
	return []*tensor.Tensor{y}
}

func (r *rule) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	saved := r.saved(ctx)
	out := make([]*tensor.Tensor, r.operands)
	for i := range out {
		if !ctx.Needs(i) {
			continue
		}
		var shape []int
		if r.shapes != nil {
			shape = r.shapes[i]
		}
		g := r.vjps[i].apply(ctx, saved, grad[0], shape)
		if shape != nil {
			g = tensor.SumTo(g, shape)
		}
		out[i] = narrow(g, r.dtypes[i])
	}
	return out
}

// saved is the set of values that the vjps in use read.
func (r *rule) saved(ctx *autograd.Context) reads {
	var set reads
	for i := range r.vjps {
		if ctx.Needs(i) {
			set |= r.vjps[i].reads
		}
	}
	return set
}

func (v *vjp) apply(ctx *autograd.Context, saved reads, g *tensor.Tensor, shape []int) *tensor.Tensor {
	var s, t *tensor.Tensor
	if v.reads != 0 {
		low := v.reads & -v.reads
		s = ctx.Saved(saved.index(low))
		if high := v.reads &^ low; high != 0 {
			t = ctx.Saved(saved.index(high))
		}
	}
	switch f := v.f.(type) {
	case func(g *tensor.Tensor) *tensor.Tensor:
		return f(g)
	case func(g, s *tensor.Tensor) *tensor.Tensor:
		return f(g, s)
	case func(g, s, t *tensor.Tensor) *tensor.Tensor:
		return f(g, s, t)
	case func(g *tensor.Tensor, shape []int) *tensor.Tensor:
		return f(g, shape)
	case func(g, s *tensor.Tensor, shape []int) *tensor.Tensor:
		return f(g, s, shape)
	}
	panic("ops: a vjp without a function")
}

// index returns the place of a value among those of the set.
func (r reads) index(value reads) int { return bits.OnesCount8(uint8(r & (value - 1))) }

// fit gives a gradient the shape and dtype of its operand x.
func fit(g, x *tensor.Tensor) *tensor.Tensor {
	if !sameShape(g, x) {
		g = tensor.SumTo(g, x.Shape())
	}
	return narrow(g, x.Dtype())
}

func sameShape(a, b *tensor.Tensor) bool {
	if a.NDim() != b.NDim() {
		return false
	}
	for i := range a.NDim() {
		if a.Dim(i) != b.Dim(i) {
			return false
		}
	}
	return true
}
