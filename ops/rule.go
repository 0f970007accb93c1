package ops

import (
	"math/bits"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// A rule is an op of one result, given by its forward function and one vjp for
// each operand. It keeps for the backward pass only what the vjps of operands
// that need a gradient read, and fits each gradient to its operand: whatever
// was broadcast is summed, whatever was promoted is converted back.
type rule struct {
	name     string
	one      func(x *tensor.Tensor) *tensor.Tensor // set according to the number of operands
	two      func(a, b *tensor.Tensor) *tensor.Tensor
	three    func(a, b, c *tensor.Tensor) *tensor.Tensor
	vjps     [3]vjp
	saved    reads
	operands [3]operand
}

// unary is the op y = f(x).
func unary(name string, f func(x *tensor.Tensor) *tensor.Tensor, x *autograd.Var, dx vjp) *autograd.Var {
	return apply(name, &rule{name: name, one: f, vjps: [3]vjp{dx}}, x)[0]
}

// binary is the op y = f(a, b).
func binary(name string, f func(a, b *tensor.Tensor) *tensor.Tensor, a, b *autograd.Var, da, db vjp) *autograd.Var {
	return apply(name, &rule{name: name, two: f, vjps: [3]vjp{da, db}}, a, b)[0]
}

// ternary is the op y = f(a, b, c).
func ternary(name string, f func(a, b, c *tensor.Tensor) *tensor.Tensor, a, b, c *autograd.Var, da, db, dc vjp) *autograd.Var {
	return apply(name, &rule{name: name, three: f, vjps: [3]vjp{da, db, dc}}, a, b, c)[0]
}

// reads is the set of values that a vjp reads beside the gradient.
type reads uint8

const (
	readA reads = 1 << iota // the first operand
	readB                   // the second
	readC                   // the third
	readY                   // the result
)

// A vjp turns the gradient g of the result into that of one operand. Exactly
// one of its functions is set; s and t are what it reads, in the order of
// operands, then result. shape is that of the operand whose gradient it is.
type vjp struct {
	reads    reads
	ofG      func(g *tensor.Tensor) *tensor.Tensor
	ofGS     func(g, s *tensor.Tensor) *tensor.Tensor
	ofGST    func(g, s, t *tensor.Tensor) *tensor.Tensor
	ofShape  func(g *tensor.Tensor, shape []int) *tensor.Tensor
	ofSShape func(g, s *tensor.Tensor, shape []int) *tensor.Tensor
}

// none stands for an operand that never has a gradient.
var none vjp

func linear(f func(g *tensor.Tensor) *tensor.Tensor) vjp { return vjp{ofG: f} }

func with(r reads, f func(g, s *tensor.Tensor) *tensor.Tensor) vjp { return vjp{reads: r, ofGS: f} }

func withTwo(r reads, f func(g, s, t *tensor.Tensor) *tensor.Tensor) vjp {
	return vjp{reads: r, ofGST: f}
}

func withShape(f func(g *tensor.Tensor, shape []int) *tensor.Tensor) vjp { return vjp{ofShape: f} }

func withAndShape(r reads, f func(g, s *tensor.Tensor, shape []int) *tensor.Tensor) vjp {
	return vjp{reads: r, ofSShape: f}
}

// same is the gradient of what only passes values on.
func same(g *tensor.Tensor) *tensor.Tensor { return g }

// Name returns the op's name for errors.
func (r *rule) Name() string { return "ops." + r.name }

func (r *rule) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	var y *tensor.Tensor
	switch len(in) {
	case 1:
		y = r.one(in[0])
	case 2:
		y = r.two(in[0], in[1])
	default:
		y = r.three(in[0], in[1], in[2])
	}
	for i, x := range in {
		if ctx.Needs(i) {
			r.saved |= r.vjps[i].reads
			r.operands[i] = operandOf(x)
		}
	}
	var keep [4]*tensor.Tensor
	n := 0
	for i, t := range [...]*tensor.Tensor{at(in, 0), at(in, 1), at(in, 2), y} {
		if r.saved&(1<<i) != 0 {
			keep[n] = t
			n++
		}
	}
	if n > 0 {
		ctx.Save(keep[:n]...)
	}
	return []*tensor.Tensor{y}
}

func (r *rule) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	n := 1
	if r.two != nil {
		n = 2
	} else if r.three != nil {
		n = 3
	}
	out := make([]*tensor.Tensor, n)
	for i := range out {
		if ctx.Needs(i) {
			out[i] = r.operands[i].fit(r.vjps[i].apply(ctx, r.saved, grad[0], r.operands[i].shape))
		}
	}
	return out
}

func (v *vjp) apply(ctx *autograd.Context, saved reads, g *tensor.Tensor, shape []int) *tensor.Tensor {
	// What was saved is numbered in the order of its bits.
	var s, t *tensor.Tensor
	if v.reads != 0 {
		low := v.reads & -v.reads
		s = ctx.Saved(bits.OnesCount8(uint8(saved & (low - 1))))
		if high := v.reads &^ low; high != 0 {
			t = ctx.Saved(bits.OnesCount8(uint8(saved & (high - 1))))
		}
	}
	switch {
	case v.ofG != nil:
		return v.ofG(g)
	case v.ofGS != nil:
		return v.ofGS(g, s)
	case v.ofGST != nil:
		return v.ofGST(g, s, t)
	case v.ofShape != nil:
		return v.ofShape(g, shape)
	default:
		return v.ofSShape(g, s, shape)
	}
}

func at(list []*tensor.Tensor, i int) *tensor.Tensor {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// operand is what a gradient has to look like.
type operand struct {
	shape []int
	dtype tensor.Dtype
}

func operandOf(t *tensor.Tensor) operand { return operand{t.Shape(), t.Dtype()} }

// fit sums a gradient over the axes along which its operand was broadcast, and
// converts it to the operand's dtype.
func (o operand) fit(g *tensor.Tensor) *tensor.Tensor {
	g = tensor.SumTo(g, o.shape)
	if g.Dtype() != o.dtype {
		g = tensor.AsType(g, o.dtype)
	}
	return g
}

// apply runs an op; what the tensor functions inside it refuse is told under
// the op's name.
func apply(name string, f autograd.Function, in ...*autograd.Var) []*autograd.Var {
	defer rename(name)
	return autograd.Apply(f, in...)
}

// notNil is for ops that look at their operands before they apply a rule.
func notNil(name string, xs ...*autograd.Var) {
	for _, x := range xs {
		if x == nil {
			panic(tensor.NewError("ops."+name, nil, "an operand is nil"))
		}
	}
}

// constant puts a tensor that has no gradient, such as indices, on x's tape.
func constant(name string, t *tensor.Tensor, x *autograd.Var) *autograd.Var {
	defer rename(name)
	notNil(name, x)
	return x.Tape().Const(t)
}

// rename is deferred by ops: it puts their name on a *tensor.Error.
func rename(name string) {
	switch r := recover().(type) {
	case nil:
	case *tensor.Error:
		e := *r
		e.Op = "ops." + name
		panic(&e)
	default:
		panic(r)
	}
}

// widen returns x in at least float32, for sums of half-precision numbers.
func widen(x *tensor.Tensor) *tensor.Tensor {
	if d := x.Dtype(); d == tensor.Float16 || d == tensor.BFloat16 {
		return tensor.AsType(x, tensor.Float32)
	}
	return x
}

// oneMinus returns 1 − x.
func oneMinus(x *tensor.Tensor) *tensor.Tensor { return tensor.Sub(tensor.Like(x, 1), x) }

// zeros returns zeros of like's dtype, in its scope.
func zeros(like *tensor.Tensor, shape []int) *tensor.Tensor {
	return tensor.BroadcastTo(tensor.Like(like, 0), shape...)
}
