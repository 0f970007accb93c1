package ops

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Sigmoid returns 1/(1 + e^−x).
func Sigmoid(x *autograd.Var) *autograd.Var {
	return unary("Sigmoid", tensor.Sigmoid, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Mul(y, oneMinus(y)))
	}))
}

// Tanh returns the hyperbolic tangent.
func Tanh(x *autograd.Var) *autograd.Var {
	return unary("Tanh", tensor.Tanh, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Sub(g, tensor.Mul(g, tensor.Square(y)))
	}))
}

// ReLU returns max(x, 0); its gradient at 0 is 0.
func ReLU(x *autograd.Var) *autograd.Var {
	relu := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Maximum(x, tensor.Like(x, 0)) }
	return unary("ReLU", relu, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Sign(y))
	}))
}

// Softplus returns log(1 + e^x) without overflow.
func Softplus(x *autograd.Var) *autograd.Var {
	return unary("Softplus", tensor.Softplus, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Sigmoid(x))
	}))
}

// LogSigmoid returns log(sigmoid(x)) without underflow.
func LogSigmoid(x *autograd.Var) *autograd.Var {
	logSigmoid := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Neg(tensor.Softplus(tensor.Neg(x))) }
	return unary("LogSigmoid", logSigmoid, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(g, tensor.Sigmoid(tensor.Neg(x)))
	}))
}

// LeakyReLU returns max(x, 0) + slope·min(x, 0); its gradient at 0 is the mean of
// 1 and slope.
func LeakyReLU(x *autograd.Var, slope float64) *autograd.Var {
	leaky := func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.Where(tensor.Less(x, tensor.Like(x, 0)), tensor.MulScalar(x, slope), x)
	}
	return unary("LeakyReLU", leaky, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		sign := tensor.Sign(x) // 1 where x > 0, slope below
		return tensor.Mul(g, tensor.AddScalar(tensor.MulScalar(sign, (1-slope)/2), (1+slope)/2))
	}))
}

// ELU returns x where x > 0 and alpha·(e^x − 1) elsewhere. Its gradient at 0 is
// alpha. ELU(x, 1) + 1 is a feature map of linear attention.
func ELU(x *autograd.Var, alpha float64) *autograd.Var {
	elu := func(x *tensor.Tensor) *tensor.Tensor {
		below := tensor.MulScalar(tensor.Expm1(tensor.Minimum(x, tensor.Like(x, 0))), alpha)
		return tensor.Where(tensor.Greater(x, tensor.Like(x, 0)), x, below)
	}
	return unary("ELU", elu, x, with(readA, func(g, x *tensor.Tensor) *tensor.Tensor {
		below := tensor.MulScalar(tensor.Exp(tensor.Minimum(x, tensor.Like(x, 0))), alpha)
		return tensor.Where(tensor.Greater(x, tensor.Like(x, 0)), g, tensor.Mul(g, below))
	}))
}

// SiLU returns x·sigmoid(x).
func SiLU(x *autograd.Var) *autograd.Var {
	notNil("SiLU", x)
	return apply("SiLU", silu{}, x)[0]
}

// silu keeps the sigmoid s and the result y, whose slope is s + y·(1−s).
type silu struct{}

func (silu) String() string { return "ops.SiLU" }

func (silu) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	s := tensor.Sigmoid(in[0])
	y := tensor.Mul(in[0], s)
	ctx.Save(s, y)
	return []*tensor.Tensor{y}
}

func (silu) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	s, y := ctx.Saved(0), ctx.Saved(1)
	slope := tensor.Add(s, tensor.Mul(y, oneMinus(s)))
	return []*tensor.Tensor{tensor.Mul(grad[0], slope)}
}

// GELU returns x·Φ(x) with Φ the standard normal distribution, by the error
// function.
func GELU(x *autograd.Var) *autograd.Var {
	notNil("GELU", x)
	return apply("GELU", gelu{}, x)[0]
}

// gelu keeps x and Φ(x); the slope is Φ(x) + x·φ(x), φ the normal density.
type gelu struct{}

func (gelu) String() string { return "ops.GELU" }

func (gelu) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x := in[0]
	phi := tensor.MulScalar(tensor.AddScalar(tensor.Erf(tensor.MulScalar(x, 1/math.Sqrt2)), 1), 0.5)
	ctx.Save(x, phi)
	return []*tensor.Tensor{tensor.Mul(x, phi)}
}

func (gelu) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, phi := ctx.Saved(0), ctx.Saved(1)
	gauss := tensor.Exp(tensor.MulScalar(tensor.Square(x), -0.5))
	density := tensor.MulScalar(gauss, 1/math.Sqrt(2*math.Pi))
	return []*tensor.Tensor{tensor.Mul(grad[0], tensor.Add(phi, tensor.Mul(x, density)))}
}

// GELUApprox returns x·(1 + tanh(√(2/π)·(x + 0.044715x³)))/2, which is GELU to
// 5e-4.
func GELUApprox(x *autograd.Var) *autograd.Var {
	notNil("GELUApprox", x)
	return apply("GELUApprox", geluApprox{}, x)[0]
}

// geluApprox keeps x and t, the hyperbolic tangent. With u its argument the slope
// is (1 + t + x·(1 − t²)·u′)/2.
type geluApprox struct{}

const geluCubic = 0.044715

func (geluApprox) String() string { return "ops.GELUApprox" }

func (geluApprox) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x := in[0]
	cubic := tensor.AddScalar(tensor.MulScalar(tensor.Square(x), geluCubic), 1)
	t := tensor.Tanh(tensor.MulScalar(tensor.Mul(x, cubic), math.Sqrt(2/math.Pi)))
	ctx.Save(x, t)
	return []*tensor.Tensor{tensor.Mul(x, tensor.MulScalar(tensor.AddScalar(t, 1), 0.5))}
}

func (geluApprox) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, t := ctx.Saved(0), ctx.Saved(1)
	inner := tensor.AddScalar(tensor.MulScalar(tensor.Square(x), 3*geluCubic), 1)
	inner = tensor.MulScalar(inner, math.Sqrt(2/math.Pi))
	rise := tensor.Mul(tensor.Mul(x, inner), oneMinus(tensor.Square(t)))
	slope := tensor.MulScalar(tensor.Add(tensor.AddScalar(t, 1), rise), 0.5)
	return []*tensor.Tensor{tensor.Mul(grad[0], slope)}
}
