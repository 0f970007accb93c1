package gateddelta

import "github.com/deltatape/deltatape/tensor"

// The recurrent form is the definition. A token's vectors are rows [.., 1, D] of
// arrays [B, Hk, r, 1, D], with 1 for r where the group shares them; S is
// [B, Hk, r, K, V].

// token holds one token's operands.
type token struct {
	q, k *tensor.Tensor // [B, Hk, 1, 1, K]; q carries the scale
	v    *tensor.Tensor // [B, Hk, r, 1, V]
	a, β *tensor.Tensor // [B, Hk, r, 1, 1]; a = e^g
}

// tokensOf cuts the operands into tokens.
func (z geometry) tokensOf(in operands) []token {
	ts := make([]token, z.T)
	fill := func(x *tensor.Tensor, field func(*token) **tensor.Tensor, r, d int) {
		for t, row := range z.perToken(tensor.AsType(x, z.dtype), r, d) {
			*field(&ts[t]) = row
		}
	}
	fill(tensor.MulScalar(tensor.AsType(in.q, z.dtype), z.scale), func(t *token) **tensor.Tensor { return &t.q }, 1, z.K)
	fill(in.k, func(t *token) **tensor.Tensor { return &t.k }, 1, z.K)
	fill(in.v, func(t *token) **tensor.Tensor { return &t.v }, z.R, z.V)
	fill(tensor.Exp(tensor.AsType(in.g, z.dtype)), func(t *token) **tensor.Tensor { return &t.a }, z.R, 1)
	fill(in.β, func(t *token) **tensor.Tensor { return &t.β }, z.R, 1)
	return ts
}

// perToken cuts x [B, T, heads, ...] into the rows of its tokens.
func (z geometry) perToken(x *tensor.Tensor, r, d int) []*tensor.Tensor {
	return tensor.Unstack(tensor.Reshape(x, z.B, z.T, z.Hk, r, 1, d), 1)
}

// fromTokens is the inverse of perToken, for rows of any sizes.
func (z geometry) fromTokens(rows []*tensor.Tensor, like *tensor.Tensor) *tensor.Tensor {
	return tensor.AsType(tensor.Reshape(tensor.Stack(1, rows...), like.Shape()...), like.Dtype())
}

// headState lays out a state [B, Hv, K, V] by groups; nil gives zeros.
func (z geometry) headState(h, x *tensor.Tensor) *tensor.Tensor {
	if h == nil {
		return tensor.BroadcastTo(z.constant(x, 0), z.B, z.Hk, z.R, z.K, z.V)
	}
	return tensor.Reshape(h, z.B, z.Hk, z.R, z.K, z.V)
}

// moment is what the backward pass needs of a token's step.
type moment struct {
	Sd *tensor.Tensor // the state after its decay
	e  *tensor.Tensor // the error v − Sdᵀk, a row
	d  *tensor.Tensor // what is written, β e
}

// step computes the state after a token:
//
//	Sd = e^g S;  e = v − Sdᵀk;  d = β e;  S' = Sd + k dᵀ
func (t token) step(S *tensor.Tensor) (m moment, next *tensor.Tensor) {
	m.Sd = tensor.Mul(t.a, S)
	m.e = tensor.Sub(t.v, tensor.MatMul(t.k, m.Sd))
	m.d = tensor.Mul(t.β, m.e)
	return m, tensor.Add(m.Sd, tensor.Mul(transposed(t.k), m.d))
}

// recurrentForward computes the outputs o = s S'ᵀq and the final state.
func (z geometry) recurrentForward(in operands) (o, ht *tensor.Tensor) {
	S := z.headState(in.h0, in.v)
	rows := make([]*tensor.Tensor, z.T)
	for i, t := range z.tokensOf(in) {
		_, S = t.step(S)
		rows[i] = tensor.MatMul(t.q, S)
	}
	return z.fromTokens(rows, in.v), tensor.Reshape(S, z.B, z.Hk*z.R, z.K, z.V)
}

// recurrentBackward returns the gradients of all operands from those of the
// outputs, either of which may be nil.
func (z geometry) recurrentBackward(in operands, do, dht *tensor.Tensor) gradients {
	tied := tensor.Depends(append([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β}, present(in.h0)...), present(do, dht))
	again := operands{q: tied[0], k: tied[1], v: tied[2], g: tied[3], β: tied[4]}
	if in.h0 != nil {
		again.h0 = tied[5]
	}
	ts := z.tokensOf(again)
	moments := make([]moment, z.T)
	states := make([]*tensor.Tensor, z.T) // after each token
	S := z.headState(again.h0, in.v)
	for i, t := range ts {
		moments[i], S = t.step(S)
		states[i] = S
	}
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.v, 0), in.v.Shape()...)
	}
	dos := z.perToken(tensor.AsType(do, z.dtype), z.R, z.V)

	overGroup := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Sum(x, true, 2) }
	n := z.T
	dq, dk, dv := make([]*tensor.Tensor, n), make([]*tensor.Tensor, n), make([]*tensor.Tensor, n)
	dg, dβ := make([]*tensor.Tensor, n), make([]*tensor.Tensor, n)
	dS := z.headState(dht, in.v)
	for i := n - 1; i >= 0; i-- {
		t, m := ts[i], moments[i]
		dS = tensor.Add(dS, tensor.Mul(transposed(t.q), dos[i]))
		dq[i] = tensor.MulScalar(overGroup(tensor.MatMul(dos[i], transposed(states[i]))), z.scale)
		dd := tensor.MatMul(t.k, dS)
		dv[i] = tensor.Mul(t.β, dd)
		dk[i] = overGroup(tensor.Sub(tensor.MatMul(m.d, transposed(dS)), tensor.MatMul(dv[i], transposed(m.Sd))))
		dβ[i] = rowDot(dd, m.e)
		dSd := tensor.Sub(dS, tensor.Mul(transposed(t.k), dv[i]))
		dg[i] = tensor.Sum(tensor.Mul(dSd, m.Sd), false, -2, -1)
		dS = tensor.Mul(t.a, dSd)
	}
	return gradients{
		q: z.fromTokens(dq, in.q), k: z.fromTokens(dk, in.k), v: z.fromTokens(dv, in.v),
		g: z.fromTokens(dg, in.g), β: z.fromTokens(dβ, in.β),
		h0: tensor.Reshape(dS, z.B, z.Hk*z.R, z.K, z.V),
	}
}
