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
		return tensor.Mul(g, oneMinus(tensor.Square(y)))
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
