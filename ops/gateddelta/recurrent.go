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

	noDelta bool
}

// tokensOf cuts the operands into tokens.
func (z geometry) tokensOf(in operands) []token {
	ts := make([]token, len(z.active()))
	for i := range ts {
		ts[i].noDelta = z.noDelta
	}
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

// active is the number of sequences that have a token at each step.
func (z geometry) active() []int {
	if len(z.plan.segments) == 0 {
		return nil // all sequences are empty
	}
	return z.plan.segments[0].active
}

// perToken cuts x [B, T, heads, ...] into the rows of each step's tokens.
func (z geometry) perToken(x *tensor.Tensor, r, d int) []*tensor.Tensor {
	if z.plan.packing == nil {
		return z.unstacked(tensor.Reshape(x, z.B, z.T, z.Hk, r, 1, d), 1)
	}
	if len(z.active()) == 0 {
		return nil
	}
	return z.parted(tensor.Reshape(z.gather(x, 0), -1, z.Hk, r, 1, d), z.active())
}

// fromTokens is the inverse of perToken, for rows of any sizes.
func (z geometry) fromTokens(rows []*tensor.Tensor, like *tensor.Tensor) *tensor.Tensor {
	shape := like.Shape()
	for i, x := range rows {
		rows[i] = tensor.Reshape(x, append([]int{z.B, -1}, shape[2:]...)...)
	}
	return tensor.AsType(z.collect(rows, like), like.Dtype())
}

// headState lays out states [N, Hv, K, V] by groups and in the order of the plan;
// nil gives zeros.
func (z geometry) headState(h, x *tensor.Tensor) *tensor.Tensor {
	if h == nil {
		return tensor.BroadcastTo(z.constant(x, 0), z.sequences, z.Hk, z.R, z.K, z.V)
	}
	return tensor.Reshape(z.ordered(h), -1, z.Hk, z.R, z.K, z.V)
}

// fromHeadState is the inverse of headState.
func (z geometry) fromHeadState(S *tensor.Tensor) *tensor.Tensor {
	return z.restored(tensor.Reshape(S, -1, z.Hk*z.R, z.K, z.V))
}

// moment is what the backward pass needs of a token's step.
type moment struct {
	Sd *tensor.Tensor // the state after its decay
	e  *tensor.Tensor // the error v − Sdᵀk, a row; v with NoDelta
	d  *tensor.Tensor // what is written, β e
}

// step computes the state after a token:
//
//	Sd = e^g S;  e = v − Sdᵀk;  d = β e;  S' = Sd + k dᵀ
func (t token) step(S *tensor.Tensor) (m moment, next *tensor.Tensor) {
	m.Sd = tensor.Mul(t.a, S)
	m.e = t.v
	if !t.noDelta {
		m.e = tensor.Sub(t.v, tensor.MatMul(t.k, m.Sd))
	}
	m.d = tensor.Mul(t.β, m.e)
	return m, tensor.Add(m.Sd, tensor.Mul(transposed(t.k), m.d))
}

// recurrentForward computes the outputs o = s S'ᵀq and the final state. The
// constants of z must be loaded.
func (z geometry) recurrentForward(in operands) (o, ht *tensor.Tensor) {
	run := runs{all: z.headState(in.h0, in.v)}
	ts, active := z.tokensOf(in), z.active()
	outs := make([]*tensor.Tensor, len(ts))
	S := run.all
	for i, t := range ts {
		_, S = t.step(run.narrow(S, 0, active[i]))
		outs[i] = tensor.MatMul(t.q, S)
	}
	run.end(0, S)
	return z.fromTokens(outs, in.v), z.fromHeadState(run.result())
}

// recurrentBackward returns the gradients of all operands from those of the
// outputs, either of which may be nil. The constants of z must be loaded.
func (z geometry) recurrentBackward(in operands, do, dht *tensor.Tensor) gradients {
	tied := z.after(append([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β}, present(in.h0)...), present(do, dht))
	again := operands{q: tied[0], k: tied[1], v: tied[2], g: tied[3], β: tied[4]}
	if in.h0 != nil {
		again.h0 = tied[5]
	}
	ts, active := z.tokensOf(again), z.active()
	n := len(ts)
	moments := make([]moment, n)
	states := make([]*tensor.Tensor, n) // after each step
	S := z.headState(again.h0, in.v)
	for i, t := range ts {
		moments[i], S = t.step(rows(S, 0, active[i]))
		states[i] = S
	}
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.v, 0), in.v.Shape()...)
	}
	dos := z.perToken(tensor.AsType(do, z.dtype), z.R, z.V)

	overGroup := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Sum(x, true, 2) }
	dq, dk, dv := make([]*tensor.Tensor, n), make([]*tensor.Tensor, n), make([]*tensor.Tensor, n)
	dg, dβ := make([]*tensor.Tensor, n), make([]*tensor.Tensor, n)
	run := runs{all: z.headState(dht, in.v)}
	var dS *tensor.Tensor
	for i := n - 1; i >= 0; i-- {
		t, m := ts[i], moments[i]
		dS = tensor.Add(run.widen(dS, 0, active[i]), tensor.Mul(transposed(t.q), dos[i]))
		dq[i] = tensor.MulScalar(overGroup(tensor.MatMul(dos[i], transposed(states[i]))), z.scale)
		dd := tensor.MatMul(t.k, dS)
		dv[i] = tensor.Mul(t.β, dd)
		dβ[i] = rowDot(dd, m.e)
		dkRows, dSd := tensor.MatMul(m.d, transposed(dS)), dS
		if !z.noDelta { // through e
			dkRows = tensor.Sub(dkRows, tensor.MatMul(dv[i], transposed(m.Sd)))
			dSd = tensor.Sub(dS, tensor.Mul(transposed(t.k), dv[i]))
		}
		dk[i] = overGroup(dkRows)
		dg[i] = tensor.Sum(tensor.Mul(dSd, m.Sd), false, -2, -1)
		dS = tensor.Mul(t.a, dSd)
	}
	if dS != nil {
		run.end(0, dS)
	}
	return gradients{
		q: z.fromTokens(dq, in.q), k: z.fromTokens(dk, in.k), v: z.fromTokens(dv, in.v),
		g: z.fromTokens(dg, in.g), β: z.fromTokens(dβ, in.β),
		h0: z.fromHeadState(run.result()),
	}
}
