package gateddelta

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// decayGate is g = −exp(A_log)·softplus(a + dt_bias) as an autograd.Function of
// a [B, T, Hv], A_log [Hv] and dt_bias [Hv], which may be nil. It computes in
// dtype, which is g's.
type decayGate struct{ dtype tensor.Dtype }

// String names the operation in errors.
func (decayGate) String() string { return "gateddelta.gate" }

// Forward saves its operands alone.
func (d decayGate) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in...)
	rate, x := d.parts(in[0], in[1], in[2])
	return []*tensor.Tensor{tensor.Mul(rate, tensor.Softplus(x))}
}

// parts returns −exp(A_log) and a + dt_bias.
func (d decayGate) parts(a, aLog, dtBias *tensor.Tensor) (rate, x *tensor.Tensor) {
	rate, x = tensor.Neg(tensor.Exp(tensor.AsType(aLog, d.dtype))), tensor.AsType(a, d.dtype)
	if dtBias != nil {
		x = tensor.Add(x, tensor.AsType(dtBias, d.dtype))
	}
	return rate, x
}

// Backward implements autograd.Function.
func (d decayGate) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	in := []*tensor.Tensor{ctx.Saved(0), ctx.Saved(1), ctx.Saved(2)}
	rate, x := d.parts(in[0], in[1], in[2])
	da := tensor.Mul(grad[0], tensor.Mul(rate, tensor.Sigmoid(x)))
	daLog := tensor.Mul(grad[0], tensor.Mul(rate, tensor.Softplus(x)))
	out := make([]*tensor.Tensor, len(in))
	for i, dx := range []*tensor.Tensor{da, daLog, da} {
		if ctx.Needs(i) {
			out[i] = tensor.AsType(tensor.SumTo(dx, in[i].Shape()), in[i].Dtype())
		}
	}
	return out
}
