package gateddelta

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// validTokens returns bools [B, T] on the tape, false for padding and for tokens
// beyond the last packed sequence, or nil if there are none of these.
func (z geometry) validTokens(in Inputs) *tensor.Tensor {
	var valid *tensor.Tensor
	if in.Mask != nil {
		valid = tensor.AsType(in.Q.Tape().Const(in.Mask).Value(), tensor.Bool)
	}
	if n := len(z.cuSeqlens); n > 0 && z.cuSeqlens[n-1] < z.T {
		packed := make([]bool, z.T)
		for t := range z.cuSeqlens[n-1] {
			packed[t] = true
		}
		tail := tensor.FromSlice(packed, 1, z.T)
		defer tensor.Free(tail)
		inside := in.Q.Tape().Const(tail).Value()
		if valid == nil {
			return inside
		}
		valid = tensor.LogicalAnd(valid, inside)
	}
	return valid
}

// masked puts zeros in place of the padding in all inputs with tokens. A token of
// zeros neither decays (g = 0) nor writes (k = 0) nor reads (q = 0). Values are
// chosen, not multiplied, forward and backward: NaNs stay where they are.
func masked(in Inputs, valid *tensor.Tensor) Inputs {
	for _, x := range []**autograd.Var{&in.Q, &in.K, &in.V, &in.LogDecay, &in.GateInput, &in.Beta, &in.BetaLogits} {
		if *x != nil {
			*x = whereValid(valid, *x)
		}
	}
	return in
}

// whereValid puts zeros in place of the padding in x [B, T, ...]; valid is that
// of validTokens.
func whereValid(valid *tensor.Tensor, x *autograd.Var) *autograd.Var {
	if valid == nil {
		return x
	}
	return ops.Where(overTokens(valid, x.NDim()), x, x.Tape().Const(tensor.Like(x.Value(), 0)))
}

// overTokens gives valid [B, T] n axes, to go with an input [B, T, ...].
func overTokens(valid *tensor.Tensor, n int) *tensor.Tensor {
	for valid.NDim() < n {
		valid = tensor.ExpandDims(valid, -1)
	}
	return valid
}
