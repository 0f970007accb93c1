package gateddelta

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// gradients are those of the operands, in the same order and form.
type gradients = operands

// chunkBackward returns the gradients of all operands from those of the outputs,
// either of which may be nil. The segments go from the last to the first; each
// is computed again from the operands and the state at its start. What is
// recomputed hangs on the gradient that flows into the segment, so that it is
// not computed any earlier.
func (z geometry) chunkBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor) gradients {
	dS := z.state(dht, in.v)
	arrived := present(do, dht)
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.v, 0), in.v.Shape()...)
	}
	var dq, dk, dv, dg, dβ []*tensor.Tensor // parts, from the last
	for i := len(starts); i >= 0; i-- {
		start := z.state(in.h0, in.v)
		if i > 0 {
			start = starts[i-1]
		}
		tied := tensor.Depends([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β, do, start}, arrived)
		again := operands{q: tied[0], k: tied[1], v: tied[2], g: tied[3], β: tied[4]}

		s := z.segmentAt(again, i*z.L)
		var part gradients
		part, dS = s.backward(tied[6], tied[5], dS)
		arrived = append(present(part.q, part.k, part.v, part.g, part.β), dS)

		valid := min(s.n*z.C, z.T-s.lo*z.C)
		keep := func(parts *[]*tensor.Tensor, x, like *tensor.Tensor) {
			*parts = append(*parts, tensor.AsType(tensor.SliceAxis(x, 1, 0, valid), like.Dtype()))
		}
		keep(&dq, part.q, in.q)
		keep(&dk, part.k, in.k)
		keep(&dv, part.v, in.v)
		keep(&dg, part.g, in.g)
		keep(&dβ, part.β, in.β)
	}
	return gradients{q: inOrder(dq), k: inOrder(dk), v: inOrder(dv), g: inOrder(dg), β: inOrder(dβ), h0: z.fromState(dS)}
}

// backward returns the segment's gradients as tokens of whole chunks, and the
// gradient of the state at its start, from that of O (tokens [B, T, Hv, V]) and
// that of the state at its end.
func (s *segment) backward(start, do, dS *tensor.Tensor) (grads gradients, dStart *tensor.Tensor) {
	passes := make([]pass, s.n)
	S := start
	for i, c := range s.chunks {
		passes[i], S = c.run(S)
	}
	dO := tensor.Unstack(s.z.valueRows(s.z.tokens(do, s.lo, s.lo+s.n)), 0)
	parts := make([]contribution, s.n)
	for i := s.n - 1; i >= 0; i-- {
		parts[i], dS = s.chunks[i].backward(passes[i], dO[i], dS)
	}
	return s.finish(parts), dS
}

// contribution is what one chunk gives to the gradients that are finished for
// all chunks of the segment at once, by finish.
type contribution struct {
	dOVn, dBVn *tensor.Tensor // square: dO Vnᵀ and dB Vnᵀ
	dQ, dK     *tensor.Tensor // [B, Hk, C, K], the part that goes through the states
	dV         *tensor.Tensor // tokens [B, C, Hk, r, V], finished
	dBE        *tensor.Tensor // gates: rowwise dB·E
	past       *tensor.Tensor // gates: for each row, what it takes from S
	future     *tensor.Tensor // gates: for each row, what it leaves in S⁺
	through    *tensor.Tensor // [B, Hk, r]: <S, e^{G_C} dS⁺>, what goes through the chunk
}

// backward goes through one chunk: from dO (value rows) and the gradient dS⁺ of
// the state at its end to its contribution and the gradient of the state at its
// start. dB = Tᵀ dVn is the gradient of β∘E, so that w, u and the inverse need
// no gradients of their own.
func (c chunk) backward(p pass, dO, dNext *tensor.Tensor) (contribution, *tensor.Tensor) {
	z := c.z
	dO = tensor.Contiguous(dO)
	γdO := z.wideScaled(c.γ, dO)

	// dVn = Pᵀ dO + ρ∘(K dS⁺)
	ρKdS := tensor.Mul(c.ρ, z.byHead(tensor.MatMul(c.K, dNext)))
	dVn := tensor.Add(tensor.MatMul(transposed(c.P), dO), ρKdS)
	dB := tensor.MatMul(transposed(c.T), dVn)
	dV := z.wideScaled(c.β, dB)
	γdV := z.wideScaled(c.γ, z.byHead(dV))

	// dS = e^{G_C} dS⁺ + Qᵀ(γ∘dO) − Kᵀ(βγ∘dB)
	decayed := tensor.Mul(c.γC, dNext)
	dS := tensor.AddMM(decayed, transposed(c.Q), γdO, 1, 1)
	dS = tensor.AddMM(dS, transposed(c.K), γdV, -1, 1)

	St, dNextT := transposed(p.S), transposed(dNext)
	QS := tensor.MatMul(c.Q, p.S)
	past := tensor.Sub(tensor.Mul(γdO, QS), tensor.Mul(γdV, p.KS))
	return contribution{
		dOVn:    tensor.MatMul(dO, transposed(p.Vn)),
		dBVn:    tensor.MatMul(dB, transposed(p.Vn)),
		dQ:      tensor.MatMul(γdO, St),
		dK:      tensor.AddMM(tensor.MatMul(p.ρVn, dNextT), γdV, St, -1, 1),
		dV:      tensor.Transpose(tensor.Reshape(dV, z.B, z.Hk, z.C, z.R, z.V), 0, 2, 1, 3, 4),
		dBE:     rowDot(dB, p.E),
		past:    tensor.SwapAxes(tensor.Sum(tensor.Reshape(past, z.B, z.Hk, z.C, z.R, z.V), false, -1), -1, -2),
		future:  rowDot(p.Vn, ρKdS),
		through: z.perHead(tensor.Sum(tensor.Mul(p.S, decayed), false, -2)),
	}, dS
}

// finish adds what happens inside the chunks and lays the gradients out as
// tokens.
func (s *segment) finish(parts []contribution) gradients {
	z := s.z
	stack := func(field func(contribution) *tensor.Tensor) *tensor.Tensor {
		list := make([]*tensor.Tensor, len(parts))
		for i, p := range parts {
			list[i] = field(p)
		}
		return tensor.Stack(0, list...)
	}
	dOVn := stack(func(p contribution) *tensor.Tensor { return p.dOVn })
	dBVn := stack(func(p contribution) *tensor.Tensor { return p.dBVn })
	dQ := stack(func(p contribution) *tensor.Tensor { return p.dQ })
	dK := stack(func(p contribution) *tensor.Tensor { return p.dK })
	βRow := tensor.ExpandDims(s.β, -1)

	// ds = Γ∘(dO Vnᵀ) and, with dA = −tril₋₁(dB Vnᵀ), M = dA∘Γ.
	ds := tensor.Mul(s.Γ, dOVn)
	M := tensor.Mul(s.masks.negated, tensor.Mul(s.Γ, dBVn))
	dsGroup, MGroup := z.overGroup(ds), z.overGroup(tensor.Mul(βRow, M))
	dQ = tensor.AddMM(dQ, dsGroup, s.K, 1, 1)
	dK = tensor.AddMM(dK, transposed(dsGroup), s.Q, 1, 1)
	dK = tensor.AddMM(dK, tensor.Add(MGroup, transposed(MGroup)), s.K, 1, 1)

	MKK := tensor.Mul(M, s.KK)
	dβ := tensor.Add(stack(func(p contribution) *tensor.Tensor { return p.dBE }), tensor.Sum(MKK, false, -1))

	// dg counts each pair of a row r that reads or writes at or after i and a
	// row c that wrote before i: sums of Z over such pairs, never differences.
	Z := tensor.Add(tensor.Mul(ds, s.QK), tensor.Mul(βRow, MKK))
	inside := tensor.Mul(s.masks.strict, tensor.CumSum(Z, -2, true, false))
	dg := tensor.ExpandDims(stack(func(p contribution) *tensor.Tensor { return p.through }), -1)
	dg = tensor.Add(dg, tensor.CumSum(stack(func(p contribution) *tensor.Tensor { return p.past }), -1, true, false))
	dg = tensor.Add(dg, tensor.CumSum(stack(func(p contribution) *tensor.Tensor { return p.future }), -1, false, true))
	dg = tensor.Add(dg, tensor.Sum(inside, false, -1))

	dV := make([]*tensor.Tensor, len(parts))
	for i, p := range parts {
		dV[i] = p.dV
	}
	return gradients{
		q: z.fromKeyRows(tensor.MulScalar(dQ, z.scale)),
		k: z.fromKeyRows(dK),
		v: tensor.Reshape(joined(1, dV), z.B, -1, z.Hk*z.R, z.V),
		g: z.fromGates(dg),
		β: z.fromGates(dβ),
	}
}

// rowDot returns the dot products of the rows of a and b.
func rowDot(a, b *tensor.Tensor) *tensor.Tensor { return tensor.Sum(tensor.Mul(a, b), false, -1) }

// inOrder joins parts of tokens that were made from the last to the first.
func inOrder(parts []*tensor.Tensor) *tensor.Tensor {
	slices.Reverse(parts)
	return joined(1, parts)
}

// present returns those of its arguments that are not nil.
func present(ts ...*tensor.Tensor) []*tensor.Tensor {
	return slices.DeleteFunc(ts, func(t *tensor.Tensor) bool { return t == nil })
}
