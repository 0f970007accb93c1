package ops

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// AttentionOptions are options of ScaledDotProductAttention. The zero value
// lets every query see every key.
type AttentionOptions struct {
	// Scale multiplies the scores; 0 means 1/√D.
	Scale float64

	// Causal lets no query see a later key. The T queries are the last of S
	// tokens; T is at most S.
	Causal bool

	// Mask broadcasts to [B, H, T, S]; nil means none. A boolean one is true for
	// the keys that a query sees, others are added to the scores. It has no
	// gradient.
	Mask *tensor.Tensor
}

// ScaledDotProductAttention returns softmax(scale·q·kᵀ + mask)·v for q
// [B, H, T, D], k [B, Hkv, S, D] and v [B, Hkv, S, V], a tensor [B, H, T, V].
// H is a multiple of Hkv: H/Hkv query heads in a row share a head of k and v. The
// result for a query that causality and a boolean mask leave no key, and its
// gradient, are 0. The softmax is computed in float32 or better.
//
// On GPUs the forward pass is MLX's fused kernel. Only operands and the result
// are kept; the backward pass computes the weights again and takes the memory of
// some [B, H, T, S].
func ScaledDotProductAttention(q, k, v *autograd.Var, options AttentionOptions) *autograd.Var {
	const name = "ScaledDotProductAttention"
	notNil(name, q, k, v)
	if options.Scale == 0 && q.NDim() > 0 {
		options.Scale = 1 / math.Sqrt(float64(max(1, q.Dim(-1))))
	}
	var mask *autograd.Var
	if options.Mask != nil {
		mask = constant(name, options.Mask, q)
	}
	return apply(name, attention{options.Scale, options.Causal}, q, k, v, mask)[0]
}

// attention keeps operands and result.
type attention struct {
	scale  float64
	causal bool
}

func (attention) String() string { return "ops.ScaledDotProductAttention" }

func (a attention) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	q, k, v, mask := in[0], in[1], in[2], in[3]
	y := tensor.ScaledDotProductAttention(q, k, v, a.scale, a.causal, mask)
	ctx.Save(q, k, v, mask, y)
	return []*tensor.Tensor{y}
}

// Backward follows from the weights P = softmax(S): dv = Pᵀ·dy, and with
// dP = dy·vᵀ, dS = P ∘ (dP − Σ dy∘y), dq = scale·dS·k and dk = scale·dSᵀ·q. The
// query heads that share a key head are rows of one matrix.
func (a attention) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	mask := ctx.Saved(3)
	tied := tensor.Depends([]*tensor.Tensor{ctx.Saved(0), ctx.Saved(1), ctx.Saved(2), ctx.Saved(4)}, grad)
	q, k, v := tied[0], tied[1], tied[2]
	dtype := q.Dtype()
	dy, y := widen(grad[0]), widen(tied[3])
	heads := k.Dim(1)
	rows := func(x *tensor.Tensor) *tensor.Tensor { return groupHeads(x, heads) }

	wideQ, wideK, wideV := tensor.MulScalar(rows(widen(q)), a.scale), widen(k), widen(v)
	scores := tensor.MatMul(wideQ, tensor.SwapAxes(wideK, -1, -2))
	shape := []int{q.Dim(0), q.Dim(1), q.Dim(2), k.Dim(2)}
	weights := rows(a.weights(tensor.Reshape(scores, shape...), mask))

	out := make([]*tensor.Tensor, 4)
	if ctx.Needs(2) {
		out[2] = narrow(tensor.MatMul(tensor.SwapAxes(weights, -1, -2), rows(dy)), dtype)
	}
	if !ctx.Needs(0) && !ctx.Needs(1) {
		return out
	}
	slope := tensor.MatMul(rows(dy), tensor.SwapAxes(wideV, -1, -2))
	along := rows(tensor.Sum(tensor.Mul(dy, y), true, -1))
	slope = tensor.Mul(weights, tensor.Sub(slope, along))
	if ctx.Needs(0) {
		dq := tensor.MulScalar(tensor.MatMul(slope, wideK), a.scale)
		out[0] = narrow(tensor.Reshape(dq, q.Shape()...), dtype)
	}
	if ctx.Needs(1) {
		out[1] = narrow(tensor.MatMul(tensor.SwapAxes(slope, -1, -2), wideQ), dtype)
	}
	return out
}

// groupHeads puts the heads of x [B, H, T, N] that share a key head together:
// [B, Hkv, H/Hkv·T, N].
func groupHeads(x *tensor.Tensor, heads int) *tensor.Tensor {
	return tensor.Reshape(x, x.Dim(0), heads, x.Dim(1)/heads*x.Dim(2), x.Dim(3))
}

// unseen is the score of a key that a query does not see. It is finite, so that a
// query without any key has weights to set to 0.
const unseen = -1e30

// weights is the softmax of scores [B, H, T, S] among the keys that are seen, and
// 0 for the others.
func (a attention) weights(scores, mask *tensor.Tensor) *tensor.Tensor {
	zero, never := tensor.Like(scores, 0), tensor.Like(scores, unseen)
	boolean := mask != nil && mask.Dtype() == tensor.Bool
	if mask != nil && !boolean {
		scores = tensor.Add(scores, tensor.AsType(mask, scores.Dtype()))
	}
	seen := mask
	if a.causal {
		queries, keys := scores.Dim(2), scores.Dim(3)
		past := tensor.BroadcastTo(tensor.AsType(tensor.Like(scores, 1), tensor.Bool), queries, keys)
		past = tensor.Tril(past, keys-queries)
		if !boolean { // every query sees a key, and adding costs less than choosing
			return tensor.Softmax(tensor.Add(scores, tensor.Where(past, zero, never)), -1)
		}
		seen = tensor.LogicalAnd(mask, past)
	} else if !boolean {
		return tensor.Softmax(scores, -1)
	}
	weights := tensor.Softmax(tensor.Where(seen, scores, never), -1)
	return tensor.Where(seen, weights, zero)
}
