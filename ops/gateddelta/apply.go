package gateddelta

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Apply applies the gated delta rule (see the package documentation) on the tape
// of the inputs, of which all but Q, K and V may be nil. All gradients are
// computed by a backward pass of its own.
//
// Inputs that don't fit together and options that don't exist panic with
// *tensor.Error. Values are looked at with Options.Validate alone: otherwise a
// NaN, or a gate above 0, gives what the arithmetic gives.
func Apply(in Inputs, opt Options) Output {
	z := resolve(in, opt)
	in, valid := z.prepared(in, opt)
	out := autograd.Apply(rule{z: z, finalState: opt.FinalState}, in.vars()...)
	result := Output{O: whereValid(valid, out[0])}
	if opt.FinalState {
		result.FinalState = opt.StateLayout.turned(out[1])
	}
	return result
}

// resolve checks the inputs and options, without their values, and makes all
// choices that the options leave.
func resolve(in Inputs, opt Options) geometry {
	if in.Q == nil || in.K == nil || in.V == nil {
		panic(mistake(nil, "Q, K and V must be given"))
	}
	z := geometryOf(operandsOf(in.tensors()), opt)
	z.checkFrontend(in, opt)
	return z
}

// prepared turns the inputs into those of the rule; valid is that of validTokens.
func (z geometry) prepared(in Inputs, opt Options) (_ Inputs, valid *tensor.Tensor) {
	valid = z.validTokens(in)
	if opt.Validate {
		validate(in, valid)
	}
	return z.frontend(in, valid, opt), valid
}

// rule is the gated delta rule as an autograd.Function of q, k, v, g, β and h0.
type rule struct {
	z          geometry
	finalState bool
}

// String names the operation in errors.
func (r rule) String() string { return "gateddelta." + string(r.z.implementation) }

// Forward saves the operands and, for the chunk form, the states at the starts
// of the segments after the first.
func (r rule) Forward(ctx *autograd.Context, ts ...*tensor.Tensor) []*tensor.Tensor {
	ctx.AllowNilGrads()
	ctx.Save(ts...)
	in := operandsOf(ts).withDefaults()
	var o, ht *tensor.Tensor
	if r.z.implementation == Recurrent {
		o, ht = r.z.recurrentForward(in)
	} else {
		var starts []*tensor.Tensor
		o, ht, starts = r.z.chunkForward(in)
		ctx.Save(starts...)
	}
	if !r.finalState {
		return []*tensor.Tensor{o}
	}
	return []*tensor.Tensor{o, ht}
}

// Backward implements autograd.Function.
func (r rule) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	saved := make([]*tensor.Tensor, operandCount)
	for i := range saved {
		saved[i] = ctx.Saved(i)
	}
	in := operandsOf(saved).withDefaults()
	do := grad[0]
	var dht *tensor.Tensor
	if r.finalState {
		dht = grad[1]
	}
	var d gradients
	if r.z.implementation == Recurrent {
		d = r.z.recurrentBackward(in, do, dht)
	} else {
		starts := make([]*tensor.Tensor, r.z.plan.starts())
		for i := range starts {
			starts[i] = ctx.Saved(operandCount + i)
		}
		d = r.z.chunkBackward(in, starts, do, dht, ctx.Needs)
	}
	out := d.list()
	for i := range out {
		if !ctx.Needs(i) {
			out[i] = nil
		}
	}
	return out
}

// withDefaults stands in for absent gates: no decay, and β = 1.
func (in operands) withDefaults() operands {
	fill := func(v float64) *tensor.Tensor {
		return tensor.BroadcastTo(tensor.Like(in.v, v), in.v.Shape()[:3]...)
	}
	if in.g == nil {
		in.g = fill(0)
	}
	if in.β == nil {
		in.β = fill(1)
	}
	return in
}
