package ops

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Neg returns −x.
func Neg(x *autograd.Var) *autograd.Var { return unary("Neg", tensor.Neg, x, linear(tensor.Neg)) }

// Abs returns |x|; its gradient at 0 is 0.
func Abs(x *autograd.Var) *autograd.Var {
	return unary("Abs", tensor.Abs, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Sign(x))
	}))
}

// Exp returns e^x.
func Exp(x *autograd.Var) *autograd.Var {
	return unary("Exp", tensor.Exp, x, with(readY, tensor.Mul))
}

// Expm1 returns e^x − 1, accurate near 0.
func Expm1(x *autograd.Var) *autograd.Var {
	return unary("Expm1", tensor.Expm1, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.AddScalar(y, 1))
	}))
}

// Log returns the natural logarithm.
func Log(x *autograd.Var) *autograd.Var {
	return unary("Log", tensor.Log, x, with(readA, tensor.Div))
}

// Log1p returns log(1 + x), accurate near 0.
func Log1p(x *autograd.Var) *autograd.Var {
	return unary("Log1p", tensor.Log1p, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Div(g, tensor.AddScalar(x, 1))
	}))
}

// Log2 returns the logarithm to base 2.
func Log2(x *autograd.Var) *autograd.Var {
	return unary("Log2", tensor.Log2, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Div(tensor.MulScalar(g, math.Log2E), x)
	}))
}

// Log10 returns the logarithm to base 10.
func Log10(x *autograd.Var) *autograd.Var {
	return unary("Log10", tensor.Log10, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Div(tensor.MulScalar(g, math.Log10E), x)
	}))
}

// Sqrt returns the square root. Its slope at 0 is +Inf.
func Sqrt(x *autograd.Var) *autograd.Var {
	return unary("Sqrt", tensor.Sqrt, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Div(tensor.MulScalar(g, 0.5), y)
	}))
}

// Rsqrt returns 1/√x. Its slope at 0 is −Inf.
func Rsqrt(x *autograd.Var) *autograd.Var {
	return unary("Rsqrt", tensor.Rsqrt, x, withTwo(readA|readY, func(g, x, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(tensor.MulScalar(g, -0.5), tensor.Div(y, x))
	}))
}

// Square returns x².
func Square(x *autograd.Var) *autograd.Var {
	return unary("Square", tensor.Square, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Add(x, x))
	}))
}

// Reciprocal returns 1/x.
func Reciprocal(x *autograd.Var) *autograd.Var {
	return unary("Reciprocal", tensor.Reciprocal, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Neg(tensor.Mul(g, tensor.Square(y)))
	}))
}

// Sin returns the sine of x in radians.
func Sin(x *autograd.Var) *autograd.Var {
	return unary("Sin", tensor.Sin, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Cos(x))
	}))
}

// Cos returns the cosine of x in radians.
func Cos(x *autograd.Var) *autograd.Var {
	return unary("Cos", tensor.Cos, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Neg(tensor.Mul(g, tensor.Sin(x)))
	}))
}

// Tan returns the tangent of x in radians.
func Tan(x *autograd.Var) *autograd.Var {
	return unary("Tan", tensor.Tan, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.AddScalar(tensor.Square(y), 1))
	}))
}

// ArcSin returns the inverse sine in radians. Its slope at −1 and 1 is +Inf.
func ArcSin(x *autograd.Var) *autograd.Var {
	return unary("ArcSin", tensor.ArcSin, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Rsqrt(oneMinus(tensor.Square(x))))
	}))
}

// ArcCos returns the inverse cosine in radians. Its slope at −1 and 1 is −Inf.
func ArcCos(x *autograd.Var) *autograd.Var {
	return unary("ArcCos", tensor.ArcCos, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Neg(tensor.Mul(g, tensor.Rsqrt(oneMinus(tensor.Square(x)))))
	}))
}

// ArcTan returns the inverse tangent in radians.
func ArcTan(x *autograd.Var) *autograd.Var {
	return unary("ArcTan", tensor.ArcTan, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Div(g, tensor.AddScalar(tensor.Square(x), 1))
	}))
}

// Sinh returns the hyperbolic sine.
func Sinh(x *autograd.Var) *autograd.Var {
	return unary("Sinh", tensor.Sinh, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Cosh(x))
	}))
}

// Cosh returns the hyperbolic cosine.
func Cosh(x *autograd.Var) *autograd.Var {
	return unary("Cosh", tensor.Cosh, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Sinh(x))
	}))
}

// Erf returns the error function.
func Erf(x *autograd.Var) *autograd.Var {
	return unary("Erf", tensor.Erf, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		slope := tensor.MulScalar(tensor.Exp(tensor.Neg(tensor.Square(x))), 2/math.SqrtPi)
		return tensor.Mul(g, slope)
	}))
}
