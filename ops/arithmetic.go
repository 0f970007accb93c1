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
	return binary("Maximum", tensor.Maximum, a, b,
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor { return towardsGreater(g, a, b) }),
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor { return towardsGreater(g, b, a) }))
}

// Minimum returns the smaller of a and b. Where they are equal each has half of
// the gradient.
func Minimum(a, b *autograd.Var) *autograd.Var {
	return binary("Minimum", tensor.Minimum, a, b,
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor { return towardsGreater(g, b, a) }),
		withTwo(readA|readB, func(g, a, b *tensor.Tensor) *tensor.Tensor { return towardsGreater(g, a, b) }))
}

// towardsGreater returns g where a > b, half of it where a = b, and 0 elsewhere.
func towardsGreater(g, a, b *tensor.Tensor) *tensor.Tensor {
	tied := tensor.Where(tensor.Equal(a, b), tensor.MulScalar(g, 0.5), tensor.Like(g, 0))
	return tensor.Where(tensor.Greater(a, b), g, tied)
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
	return ternary("Where", tensor.Where, constant("Where", cond, x), x, y, none,
		with(readA, func(g, cond *tensor.Tensor) *tensor.Tensor { return tensor.Where(cond, g, tensor.Like(g, 0)) }),
		with(readA, func(g, cond *tensor.Tensor) *tensor.Tensor { return tensor.Where(cond, tensor.Like(g, 0), g) }))
}
