package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Softmax returns exp(x)/Σexp(x) along an axis, computed in float32 or better.
// That of nothing is nothing.
func Softmax(x *autograd.Var, axis int) *autograd.Var {
	softmax := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Softmax(x, axis) }
	return unary("Softmax", softmax, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		y = widen(y)
		gy := tensor.Mul(g, y)
		return tensor.Sub(gy, tensor.Mul(y, tensor.Sum(gy, true, axis)))
	}))
}

// LogSoftmax returns x − log Σexp(x) along an axis, computed in float32 or
// better. That of nothing is nothing.
func LogSoftmax(x *autograd.Var, axis int) *autograd.Var {
	logSoftmax := func(x *tensor.Tensor) *tensor.Tensor {
		if x.Size() == 0 {
			return tensor.Softmax(x, axis) // which checks the axis
		}
		wide := widen(x)
		return tensor.AsType(tensor.Sub(wide, tensor.LogSumExp(wide, true, axis)), x.Dtype())
	}
	return unary("LogSoftmax", logSoftmax, x, with(readY, func(g, y *tensor.Tensor) *tensor.Tensor {
		g = widen(g)
		return tensor.Sub(g, tensor.Mul(tensor.Exp(widen(y)), tensor.Sum(g, true, axis)))
	}))
}
