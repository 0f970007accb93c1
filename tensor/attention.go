package tensor

import (
	"math"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// ScaledDotProductAttention returns softmax(scale·q kᵀ + mask) v for q
// [B, H, T, D], k [B, Hkv, S, D] and v [B, Hkv, S, V], a tensor [B, H, T, V].
// H is a multiple of Hkv: H/Hkv query heads in a row share a head of k and v.
//
// With causal, of S keys the T queries are the last, and a query sees no later
// key; T is at most S. The mask, nil for none, broadcasts to [B, H, T, S]. A
// boolean one is true for the keys that a query sees, others are added. The
// result for a query that no key is left to by causal and a boolean mask is 0.
//
// The softmax is computed in float32 or better. On GPUs MLX has fused kernels for
// this; elsewhere the memory of H x T x S scores is needed.
func ScaledDotProductAttention(q, k, v *Tensor, scale float64, causal bool, mask *Tensor) *Tensor {
	const op = "ScaledDotProductAttention"
	hq, hk, hv := q.handle(op), k.handle(op), v.handle(op)
	checkAttention(op, q, k, v, causal, mask)
	T, S := q.shape[2], k.shape[2]
	var seen *Tensor // the queries that see a key, nil: all
	if mask != nil {
		if causal {
			order := causalOrder(op, scopeOf(q, k, v), T, S)
			if mask.dtype == Bool {
				mask = LogicalAnd(order, mask)
			} else {
				mask = Where(order, mask, Like(mask, math.Inf(-1)))
			}
			causal = false
		}
		if mask.dtype == Bool {
			seen = Any(BroadcastTo(mask, q.shape[0], q.shape[1], T, S), true, 3)
		}
	}
	var y *Tensor
	if q.dtype == Float64 || q.Size() == 0 || v.Size() == 0 {
		y = attentionByParts(op, q, k, v, scale, causal, mask)
	} else {
		mode, hm := "", mlxc.Array(0)
		switch {
		case causal:
			mode = "causal"
		case mask != nil:
			if mask.dtype != Bool {
				mask = AsType(mask, q.dtype)
			}
			mode, hm = "array", mask.h
		}
		m, err := mlxc.FastScaledDotProductAttention(deviceOf(q), hq, hk, hv, float32(scale), mlxc.NewCString(mode), hm, 0, false)
		y = madeOf(op, &m, err, q, k, v, mask)
	}
	if seen != nil {
		y = Where(seen, y, Like(y, 0))
	}
	return y
}

func checkAttention(op string, q, k, v *Tensor, causal bool, mask *Tensor) {
	operands := []*Tensor{q, k, v}
	bad := func(format string, args ...any) {
		panic(NewError("tensor."+op, operands, format, args...))
	}
	if q.NDim() != 4 || k.NDim() != 4 || v.NDim() != 4 {
		bad("want q [B, H, T, D], k [B, Hkv, S, D] and v [B, Hkv, S, V]")
	}
	if d := q.dtype; !d.IsFloat() || k.dtype != d || v.dtype != d {
		bad("want operands of one floating-point dtype, got %s, %s and %s", q.dtype, k.dtype, v.dtype)
	}
	if k.shape[0] != q.shape[0] || v.shape[0] != q.shape[0] || k.shape[3] != q.shape[3] {
		bad("q [B, H, T, D], k [B, Hkv, S, D] and v [B, Hkv, S, V] must agree in B and D")
	}
	if k.shape[1] != v.shape[1] || k.shape[2] != v.shape[2] {
		bad("k [B, Hkv, S, D] and v [B, Hkv, S, V] must agree in Hkv and S")
	}
	if k.shape[1] == 0 || q.shape[1]%k.shape[1] != 0 {
		bad("q has %d heads, want a multiple of the %d heads of k and v", q.shape[1], k.shape[1])
	}
	if k.shape[2] == 0 || k.shape[3] == 0 {
		bad("there are no keys")
	}
	if causal && q.shape[2] > k.shape[2] {
		bad("%d queries are more than the %d keys, which a causal order can't have", q.shape[2], k.shape[2])
	}
	scores := []int{q.shape[0], q.shape[1], q.shape[2], k.shape[2]}
	if mask != nil {
		mask.handle(op)
		operands = append(operands, mask)
		if mask.dtype != Bool && !mask.dtype.IsFloat() {
			bad("want a mask that is bool or floating-point, got %s", mask.dtype)
		}
		if shape, err := BroadcastShapes(mask.shape, scores); err != nil || !sameShape(shape, scores) {
			bad("the mask doesn't broadcast to [B, H, T, S] = %v", scores)
		}
	}
	n := float64(q.dtype.Size())
	for _, d := range scores {
		n *= float64(d)
	}
	if n > largest() {
		bad("the scores of shape %v take %.3g bytes, more than this machine's memory of %.3g", scores, n, largest())
	}
}

// causalOrder is the mask [T, S] of T queries that are the last of S tokens.
func causalOrder(op string, s *Scope, T, S int) *Tensor {
	return Tril(full(op, s, 1, Bool, []int{T, S}), S-T)
}

// attentionByParts is ScaledDotProductAttention in operations that are accurate
// for float64, as the engine's is not, and that take tensors without elements.
func attentionByParts(op string, q, k, v *Tensor, scale float64, causal bool, mask *Tensor) *Tensor {
	B, H, T, S := q.shape[0], q.shape[1], q.shape[2], k.shape[2]
	kv := k.shape[1]
	// A key head beside its query heads: [B, Hkv, H/Hkv, T, S].
	group := Reshape(MulScalar(q, scale), B, kv, H/kv, T, q.shape[3])
	scores := MatMul(group, SwapAxes(ExpandDims(k, 2), -1, -2))
	flat := Reshape(scores, B, H, T, S)
	if causal {
		mask = causalOrder(op, scopeOf(q, k, v), T, S)
	}
	switch {
	case mask == nil:
	case mask.dtype == Bool:
		flat = Where(mask, flat, Like(flat, math.Inf(-1)))
	default:
		flat = Add(flat, AsType(mask, flat.dtype))
	}
	weights := Reshape(Softmax(flat, -1), scores.shape...)
	return Reshape(MatMul(weights, ExpandDims(v, 2)), B, H, T, v.shape[3])
}
