package ops

import (
	"math/bits"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// A rule is an op of one result and two or three operands, given by its forward
// function and one vjp for each operand. It keeps for the backward pass only
// what the vjps of operands that need a gradient read, and fits each gradient
// to its operand: what was broadcast is summed, what was promoted is converted
// back.
type rule struct {
	name     string
	forward  any // func(a, b *tensor.Tensor) *tensor.Tensor, or of (a, b, c)
	vjps     [3]vjp
	operands uint8
}

// unaryRule is a rule of one operand.
type unaryRule struct {
	name    string
	forward func(x *tensor.Tensor) *tensor.Tensor
	dx      vjp
}

// unary is the op y = f(x).
func unary(name string, f func(x *tensor.Tensor) *tensor.Tensor, x *autograd.Var, dx vjp) *autograd.Var {
	notNil(name, x)
	return apply(name, &unaryRule{name, f, dx}, x)[0]
}

// binary is the op y = f(a, b).
func binary(name string, f func(a, b *tensor.Tensor) *tensor.Tensor, a, b *autograd.Var, da, db vjp) *autograd.Var {
	notNil(name, a, b)
	return apply(name, &rule{name: name, forward: f, vjps: [3]vjp{da, db}, operands: 2}, a, b)[0]
}

// ternary is the op y = f(a, b, c).
func ternary(name string, f func(a, b, c *tensor.Tensor) *tensor.Tensor, a, b, c *autograd.Var, da, db, dc vjp) *autograd.Var {
	notNil(name, a, b, c)
	return apply(name, &rule{name: name, forward: f, vjps: [3]vjp{da, db, dc}, operands: 3}, a, b, c)[0]
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

// same is the vjp of what passes values on.
func same(g *tensor.Tensor) *tensor.Tensor { return g }

// String names the op in errors.
func (r *rule) String() string { return "ops." + r.name }

// String names the op in errors.
func (r *unaryRule) String() string { return "ops." + r.name }

func (r *rule) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	var values [4]*tensor.Tensor // in the order of the bits of reads
	copy(values[:], in)
	switch f := r.forward.(type) {
	case func(a, b *tensor.Tensor) *tensor.Tensor:
		values[3] = f(in[0], in[1])
	case func(a, b, c *tensor.Tensor) *tensor.Tensor:
		values[3] = f(in[0], in[1], in[2])
	}
	save(ctx, r.saved(ctx), &values)
	return []*tensor.Tensor{values[3]}
}

func (r *unaryRule) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	y := r.forward(in[0])
	if ctx.Needs(0) {
		save(ctx, r.dx.reads, &[4]*tensor.Tensor{in[0], nil, nil, y})
	}
	return []*tensor.Tensor{y}
}

// save saves those of the values that are in the set.
func save(ctx *autograd.Context, set reads, values *[4]*tensor.Tensor) {
	for i, t := range values {
		if set&(1<<i) != 0 {
			ctx.Save(t)
		}
	}
}

func (r *rule) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	saved := r.saved(ctx)
	out := make([]*tensor.Tensor, r.operands)
	for i := range out {
		if ctx.Needs(i) {
			out[i] = r.vjps[i].gradient(ctx, i, saved, grad[0])
		}
	}
	return out
}

func (r *unaryRule) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{r.dx.gradient(ctx, 0, r.dx.reads, grad[0])}
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

// gradient is that of operand i, in its shape and dtype.
func (v *vjp) gradient(ctx *autograd.Context, i int, saved reads, g *tensor.Tensor) *tensor.Tensor {
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
		g = f(g)
	case func(g, s *tensor.Tensor) *tensor.Tensor:
		g = f(g, s)
	case func(g, s, t *tensor.Tensor) *tensor.Tensor:
		g = f(g, s, t)
	case func(g *tensor.Tensor, shape []int) *tensor.Tensor:
		g = f(g, ctx.OperandShape(i))
	case func(g, s *tensor.Tensor, shape []int) *tensor.Tensor:
		g = f(g, s, ctx.OperandShape(i))
	default:
		panic("ops: a vjp without a function")
	}
	return fitted(ctx, i, g)
}

// fitted gives a gradient the shape and dtype of operand i.
func fitted(ctx *autograd.Context, i int, g *tensor.Tensor) *tensor.Tensor {
	return narrow(tensor.SumTo(g, ctx.OperandShape(i)), ctx.OperandDtype(i))
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
