package gateddelta

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// gradients are those of the operands, in the same order and form.
type gradients = operands

// chunkBackward returns the gradients of those operands that need one from those
// of the outputs, either of which may be nil. The segments go from the last to
// the first; each is computed again from the operands and the state at its
// start. That hangs on what the segment before has left, so that no segment is
// computed any earlier than its turn.
func (z geometry) chunkBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor, needs func(operand int) bool) gradients {
	list := in.list()
	arrived := present(do, dht)
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.v, 0), in.v.Shape()...)
	}
	dS := z.state(dht, in.v)
	parts := make([][]*tensor.Tensor, len(list)) // from the last
	for i := len(starts); i >= 0; i-- {
		start := z.state(in.h0, in.v)
		if i > 0 {
			start = starts[i-1]
		}
		tied := tensor.Depends([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β, do, start}, arrived)
		s := z.segmentAt(operands{q: tied[0], k: tied[1], v: tied[2], g: tied[3], β: tied[4]}, i*z.L)
		var chunks []contribution
		chunks, dS = s.backward(tied[6], tied[5], dS)

		arrived = []*tensor.Tensor{dS}
		// keep takes the gradient x [B, n·C, ...] of an operand's tokens from
		// chunk lo on, without what is beyond T.
		keep := func(operand, lo int, x *tensor.Tensor) {
			if x != nil && needs(operand) {
				x = tensor.AsType(tensor.SliceAxis(x, 1, 0, z.T-lo*z.C), list[operand].Dtype())
				parts[operand] = append(parts[operand], x)
				arrived = append(arrived, x)
			}
		}
		for j, c := range slices.Backward(chunks) {
			keep(operandV, s.lo+j, c.dV)
		}
		for operand, x := range s.finish(chunks).list() {
			keep(operand, s.lo, x)
		}
	}
	grads := make([]*tensor.Tensor, len(list))
	for operand, p := range parts {
		if len(p) > 0 {
			slices.Reverse(p)
			grads[operand] = joined(1, p)
		}
	}
	d := operandsOf(grads)
	d.h0 = z.fromState(dS)
	return d
}

// backward goes through the chunks and back: from the gradient of O (tokens
// [B, T, Hv, V]) and that of the state at the segment's end to the chunks'
// contributions and the gradient of the state at the segment's start.
func (s *segment) backward(start, do, dS *tensor.Tensor) ([]contribution, *tensor.Tensor) {
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
	return parts, dS
}

// contribution is what one chunk gives to the gradients that are finished for
// all chunks of the segment at once, by finish.
type contribution struct {
	dOVn, dBVn *tensor.Tensor // square: dO Vnᵀ and dB Vnᵀ
	dQ, dK     *tensor.Tensor // [B, Hk, C, K], the part that goes through the states
	dV         *tensor.Tensor // tokens [B, C, Hv, V], finished
	dBE        *tensor.Tensor // gates: rowwise dB·E
	past       *tensor.Tensor // gates: for each row, what it takes from S
	future     *tensor.Tensor // gates: for each row, what it leaves in S⁺
	through    *tensor.Tensor // [B, Hk, r]: <S, e^{G_C} dS⁺>, what goes through the chunk
}

// backward goes through one chunk: from dO (value rows) and the gradient dS⁺ of
// the state at its end to its contribution and the gradient of the state at its
// start. dB = Tᵀ dVn is the gradient of β∘E, so that the inverse needs no gradient
// of its own.
func (c chunk) backward(p pass, dO, dNext *tensor.Tensor) (contribution, *tensor.Tensor) {
	z := c.z
	dO = tensor.Contiguous(dO)
	γdO := z.wideScaled(c.γ, dO)

	// dVn = Pᵀ dO + ρ∘(K dS⁺)
	ρKdS := tensor.Mul(c.ρ, z.byHead(tensor.MatMul(c.K, dNext)))
	dVn := tensor.Add(tensor.MatMul(transposed(c.P), dO), ρKdS)
	dB := tensor.MatMul(transposed(c.T), dVn)
	dV := tensor.Mul(byToken(c.β), byToken(dB))
	γdV := z.wideScaled(c.γ, tensor.Transpose(dV, 0, 2, 3, 1, 4))

	// dS = e^{G_C} dS⁺ + Qᵀ(γ∘dO) − Kᵀ(γ∘dV)
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
		dV:      tensor.Reshape(dV, z.B, z.C, z.Hk*z.R, z.V),
		dBE:     rowDot(dB, p.E),
		past:    tensor.SwapAxes(tensor.Sum(tensor.Reshape(past, z.B, z.Hk, z.C, z.R, z.V), false, -1), 2, 3),
		future:  rowDot(p.Vn, ρKdS),
		through: z.perHead(tensor.Sum(tensor.Mul(p.S, decayed), false, -2)),
	}, dS
}

// finish adds what happens inside the chunks and returns the segment's gradients
// as tokens, without those of v and h0.
func (s *segment) finish(parts []contribution) gradients {
	z := s.z
	stack := func(field func(contribution) *tensor.Tensor) *tensor.Tensor {
		list := make([]*tensor.Tensor, len(parts))
		for i, p := range parts {
			list[i] = field(p)
		}
		return tensor.Stack(0, list...)
	}
	βRow := tensor.ExpandDims(s.β, -1)
	dOVn := stack(func(p contribution) *tensor.Tensor { return p.dOVn })
	dBVn := stack(func(p contribution) *tensor.Tensor { return p.dBVn })
	dQ := stack(func(p contribution) *tensor.Tensor { return p.dQ })
	dK := stack(func(p contribution) *tensor.Tensor { return p.dK })

	// M is −Γ∘dA, since dA = −dB Vnᵀ below the diagonal.
	ds := tensor.Mul(s.Γ, dOVn)
	M := tensor.Mul(s.Γs, dBVn)
	dsGroup, N := z.overGroup(ds), z.overGroup(tensor.Mul(βRow, M))
	dQ = tensor.AddMM(dQ, dsGroup, s.K, 1, 1)
	dK = tensor.AddMM(dK, transposed(dsGroup), s.Q, 1, 1)
	dK = tensor.AddMM(dK, tensor.Add(N, transposed(N)), s.K, -1, 1)

	MKK := tensor.Mul(M, s.KK)
	dβ := tensor.Sub(stack(func(p contribution) *tensor.Tensor { return p.dBE }), tensor.Sum(MKK, false, -1))

	// dg counts each pair of a row r that reads or writes at or after i and a
	// row c that wrote before i: sums of Z over such pairs, never differences.
	Z := tensor.Sub(tensor.Mul(ds, s.QK), tensor.Mul(βRow, MKK))
	inside := tensor.Mul(s.masks.strict, tensor.CumSum(Z, -2, true, false))
	dg := tensor.ExpandDims(stack(func(p contribution) *tensor.Tensor { return p.through }), -1)
	dg = tensor.Add(dg, tensor.CumSum(stack(func(p contribution) *tensor.Tensor { return p.past }), -1, true, false))
	dg = tensor.Add(dg, tensor.CumSum(stack(func(p contribution) *tensor.Tensor { return p.future }), -1, false, true))
	dg = tensor.Add(dg, tensor.Sum(inside, false, -1))
	return gradients{
		q: z.fromKeyRows(tensor.MulScalar(dQ, z.scale)),
		k: z.fromKeyRows(dK),
		g: z.fromGates(dg),
		β: z.fromGates(dβ),
	}
}

// rowDot returns the dot products of the rows of a and b.
func rowDot(a, b *tensor.Tensor) *tensor.Tensor { return tensor.Sum(tensor.Mul(a, b), false, -1) }

// present returns those of its arguments that are not nil.
func present(ts ...*tensor.Tensor) []*tensor.Tensor {
	return slices.DeleteFunc(ts, func(t *tensor.Tensor) bool { return t == nil })
}
