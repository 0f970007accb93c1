package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Add returns a + b.
func Add(a, b *autograd.Var) *autograd.Var {
	return binary("Add", tensor.Add, a, b, linear(same), linear(same))
}

// Sub returns a − b.
func Sub(a, b *autograd.Var) *autograd.Var {
	return binary("Sub", tensor.Sub, a, b, linear(same), linear(tensor.Neg))
}

// Mul returns a · b, element by element.
func Mul(a, b *autograd.Var) *autograd.Var {
	return binary("Mul", tensor.Mul, a, b, with(readB, tensor.Mul), with(readA, tensor.Mul))
}

// Div returns a / b.
func Div(a, b *autograd.Var) *autograd.Var {
	return binary("Div", tensor.Div, a, b, with(readB, tensor.Div),
		withTwo(readB|readY, func(g, b, y *tensor.Tensor) *tensor.Tensor {
			return tensor.Neg(tensor.Div(tensor.Mul(g, y), b))
		}))
}

// Pow returns a to the power of b. At a = 0 the gradient of b is 0; where b = 0
// that of a is 0. The gradient of b is NaN for negative a.
func Pow(a, b *autograd.Var) *autograd.Var {
	return binary("Pow", tensor.Pow, a, b,
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor {
			slope := tensor.Mul(b, tensor.Pow(a, tensor.AddScalar(b, -1)))
			return tensor.Mul(g, whereZero(b, b, slope)) // 0·0^(−1) is 0
		}),
		withTwo(readA|readY, func(g, a, y *tensor.Tensor) *tensor.Tensor {
			return tensor.Mul(tensor.Mul(g, y), tensor.Log(whereZero(a, tensor.Like(a, 1), a)))
		}))
}

// whereZero returns yes where x is 0 and no elsewhere.
func whereZero(x, yes, no *tensor.Tensor) *tensor.Tensor {
	return tensor.Where(tensor.Equal(x, tensor.Like(x, 0)), yes, no)
}

// Maximum returns the greater of a and b. Where they are equal each has half of
// the gradient.
func Maximum(a, b *autograd.Var) *autograd.Var {
	notNil("Maximum", a, b)
	return apply("Maximum", choice{"ops.Maximum", tensor.Maximum, tensor.Greater}, a, b)[0]
}

// Minimum returns the smaller of a and b. Where they are equal each has half of
// the gradient.
func Minimum(a, b *autograd.Var) *autograd.Var {
	notNil("Minimum", a, b)
	return apply("Minimum", choice{"ops.Minimum", tensor.Minimum, tensor.Less}, a, b)[0]
}

// choice is the one of a and b that beats the other. It is no rule because its
// gradients are computed together: what one operand does not get is the other's.
type choice struct {
	name     string
	f, beats func(a, b *tensor.Tensor) *tensor.Tensor
}

func (c choice) String() string { return c.name }

func (c choice) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in...)
	return []*tensor.Tensor{c.f(in[0], in[1])}
}

func (c choice) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	g := grad[0]
	shape := g.Shape()
	a, b := tensor.BroadcastTo(ctx.Saved(0), shape...), tensor.BroadcastTo(ctx.Saved(1), shape...)
	tied := tensor.Where(tensor.Equal(a, b), tensor.MulScalar(g, 0.5), tensor.Like(g, 0))
	da := tensor.Where(c.beats(a, b), g, tied)
	out := make([]*tensor.Tensor, 2)
	if ctx.Needs(0) {
		out[0] = fitted(ctx, 0, da)
	}
	if ctx.Needs(1) {
		out[1] = fitted(ctx, 1, tensor.Sub(g, da))
	}
	return out
}

// LogAddExp returns log(e^a + e^b) without overflow. Where a and b are equal, and
// infinite ones too, each has half of the gradient.
func LogAddExp(a, b *autograd.Var) *autograd.Var {
	return binary("LogAddExp", tensor.LogAddExp, a, b,
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor { return tensor.Mul(g, softGreater(a, b)) }),
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor { return tensor.Mul(g, softGreater(b, a)) }))
}

// softGreater returns e^a/(e^a + e^b).
func softGreater(a, b *tensor.Tensor) *tensor.Tensor {
	difference := tensor.Sub(a, b)
	return tensor.Sigmoid(tensor.Where(tensor.Equal(a, b), tensor.Like(difference, 0), difference))
}

// AddScalar returns x + s in x's dtype.
func AddScalar(x *autograd.Var, s float64) *autograd.Var {
	return unary("AddScalar", func(x *tensor.Tensor) *tensor.Tensor { return tensor.AddScalar(x, s) }, x, linear(same))
}

// MulScalar returns s·x in x's dtype.
func MulScalar(x *autograd.Var, s float64) *autograd.Var {
	scale := func(t *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(t, s) }
	return unary("MulScalar", scale, x, linear(scale))
}

// Clip limits x to [low, high]. The gradient passes where low ≤ x ≤ high, the
// ends included.
func Clip(x *autograd.Var, low, high float64) *autograd.Var {
	clip := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Clip(x, low, high) }
	return unary("Clip", clip, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Where(tensor.Equal(x, clip(x)), g, tensor.Like(g, 0))
	}))
}

// Where returns x where cond is true and y elsewhere, all three broadcast.
func Where(cond *tensor.Tensor, x, y *autograd.Var) *autograd.Var {
	notNil("Where", x, y)
	return apply("Where", where{}, constant("Where", cond, x), x, y)[0]
}

// where keeps the condition. A rule takes more time to record.
type where struct{}

func (where) String() string { return "ops.Where" }

func (where) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in[0])
	return []*tensor.Tensor{tensor.Where(in[0], in[1], in[2])}
}

func (where) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	cond, g := ctx.Saved(0), grad[0]
	zero := tensor.Like(g, 0)
	out := make([]*tensor.Tensor, 3)
	if ctx.Needs(1) {
		out[1] = fitted(ctx, 1, tensor.Where(cond, g, zero))
	}
	if ctx.Needs(2) {
		out[2] = fitted(ctx, 2, tensor.Where(cond, zero, g))
	}
	return out
}
