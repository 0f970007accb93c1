package gateddelta

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// gradients are those of the operands, in the same order and form.
type gradients = operands

// chunkBackward returns the gradients of those operands that need one from those
// of the outputs, either of which may be nil. The segments go from the last to
// the first; each is computed again from the operands and the states at its
// start. That hangs on what the segment before has left, so that no segment is
// computed any earlier than its turn.
func (z geometry) chunkBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor, needs func(operand int) bool) gradients {
	list := in.list()
	arrived := present(do, dht)
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.v, 0), in.v.Shape()...)
	}
	z, free := z.load()
	defer free()
	h0, after := z.state(in.h0, in.v), runs{all: z.state(dht, in.v)}
	var dS *tensor.Tensor
	next := len(starts)
	parts := make([][]*tensor.Tensor, len(list)) // from the last
	for i, span := range slices.Backward(z.plan.segments) {
		var start *tensor.Tensor
		if span.fresh {
			start = rows(h0, span.first, span.first+span.active[0])
		} else {
			next--
			start = starts[next]
		}
		tied := tensor.Depends([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β, do, start}, arrived)
		s := z.segmentAt(operands{q: tied[0], k: tied[1], v: tied[2], g: tied[3], β: tied[4]}, i)
		var chunks []contribution
		chunks, dS = s.backward(tied[6], tied[5], dS, &after)

		arrived = []*tensor.Tensor{dS}
		if span.fresh {
			after.end(span.first, dS)
			dS = nil
		}
		// keep takes the gradient x [B, n·C, ...] of an operand's tokens from a
		// step on, without what is beyond T.
		keep := func(operand, step int, x *tensor.Tensor) {
			if x != nil && needs(operand) {
				if z.plan.packing == nil {
					x = tensor.SliceAxis(x, 1, 0, z.T-(span.chunk+step)*z.C)
				}
				x = tensor.AsType(x, list[operand].Dtype())
				parts[operand] = append(parts[operand], x)
				arrived = append(arrived, x)
			}
		}
		for j, c := range slices.Backward(chunks) {
			keep(operandV, j, c.dV)
		}
		for operand, x := range s.finish(chunks).list() {
			keep(operand, 0, x)
		}
	}
	grads := make([]*tensor.Tensor, len(list))
	for operand, p := range parts {
		if operand < operandState && needs(operand) {
			slices.Reverse(p)
			grads[operand] = z.collect(p, list[operand])
		}
	}
	d := operandsOf(grads)
	d.h0 = z.fromState(after.result())
	return d
}

// backward goes through the chunks and back: from the gradient of O (tokens
// [B, T, Hv, V]) and that of the state at the segment's end to the chunks'
// contributions and the gradient of the state at the segment's start. Sequences
// that end within it take theirs from after.
func (s *segment) backward(start, do, dS *tensor.Tensor, after *runs) ([]contribution, *tensor.Tensor) {
	passes := make([]pass, len(s.chunks))
	S := start
	for i, c := range s.chunks {
		passes[i], S = c.run(rows(S, 0, c.n))
	}
	dO := s.z.steps(s.z.valueRows(s.z.tokens(do, s.index)), s.active)
	parts := make([]contribution, len(s.chunks))
	for i, c := range slices.Backward(s.chunks) {
		parts[i], dS = c.backward(passes[i], dO[i], after.widen(dS, s.first, c.n))
	}
	return parts, dS
}

// contribution is what one chunk gives to the gradients that are finished for
// all chunks of the segment at once, by finish.
type contribution struct {
	dOVn, dBVn *tensor.Tensor // square: dO Vnᵀ and dB Vnᵀ (the latter not with NoDelta)
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
// of its own. With NoDelta, T is I, and no gradient goes through E to K and S.
func (c chunk) backward(p pass, dO, dNext *tensor.Tensor) (contribution, *tensor.Tensor) {
	z := c.z
	dO = tensor.Contiguous(dO)
	γdO := z.wideScaled(c.γ, dO)

	// dVn = Pᵀ dO + ρ∘(K dS⁺)
	ρKdS := tensor.Mul(c.ρ, z.byHead(tensor.MatMul(c.K, dNext)))
	dVn := tensor.Add(tensor.MatMul(transposed(c.P), dO), ρKdS)
	dB := dVn
	if !z.noDelta {
		dB = tensor.MatMul(transposed(c.T), dVn)
	}
	dV := tensor.Mul(byToken(c.β), byToken(dB))

	// dS = e^{G_C} dS⁺ + Qᵀ(γ∘dO) − Kᵀ(γ∘dV)
	St := transposed(p.S)
	decayed := tensor.Mul(c.γC, dNext)
	dS := tensor.AddMM(decayed, transposed(c.Q), γdO, 1, 1)
	dK := tensor.MatMul(p.ρVn, transposed(dNext))
	past := tensor.Mul(γdO, tensor.MatMul(c.Q, p.S))
	var dBVn *tensor.Tensor
	if !z.noDelta {
		γdV := z.wideScaled(c.γ, tensor.Transpose(dV, 0, 2, 3, 1, 4))
		dS = tensor.AddMM(dS, transposed(c.K), γdV, -1, 1)
		dK = tensor.AddMM(dK, γdV, St, -1, 1)
		past = tensor.Sub(past, tensor.Mul(γdV, p.KS))
		dBVn = tensor.MatMul(dB, transposed(p.Vn))
	}
	return contribution{
		dOVn:    tensor.MatMul(dO, transposed(p.Vn)),
		dBVn:    dBVn,
		dQ:      tensor.MatMul(γdO, St),
		dK:      dK,
		dV:      tensor.Reshape(dV, z.B, -1, z.Hk*z.R, z.V),
		dBE:     rowDot(dB, p.E),
		past:    tensor.SwapAxes(tensor.Sum(tensor.Reshape(past, -1, z.Hk, z.C, z.R, z.V), false, -1), 2, 3),
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
		return z.fromSteps(list)
	}
	dOVn := stack(func(p contribution) *tensor.Tensor { return p.dOVn })
	dQ := stack(func(p contribution) *tensor.Tensor { return p.dQ })
	dK := stack(func(p contribution) *tensor.Tensor { return p.dK })
	dβ := stack(func(p contribution) *tensor.Tensor { return p.dBE })

	// Z is what passes between two rows.
	ds := tensor.Mul(s.Γ, dOVn)
	dsGroup := z.overGroup(ds)
	dQ = tensor.AddMM(dQ, dsGroup, s.K, 1, 1)
	dK = tensor.AddMM(dK, transposed(dsGroup), s.Q, 1, 1)
	Z := tensor.Mul(ds, s.QK)
	if !z.noDelta {
		// M is −Γ∘dA, since dA = −dB Vnᵀ below the diagonal.
		βRow := tensor.ExpandDims(s.β, -1)
		M := tensor.Mul(s.Γs, stack(func(p contribution) *tensor.Tensor { return p.dBVn }))
		N := z.overGroup(tensor.Mul(βRow, M))
		dK = tensor.AddMM(dK, tensor.Add(N, transposed(N)), s.K, -1, 1)
		MKK := tensor.Mul(M, s.KK)
		dβ = tensor.Sub(dβ, tensor.Sum(MKK, false, -1))
		Z = tensor.Sub(Z, tensor.Mul(βRow, MKK))
	}

	// dg counts each pair of a row r that reads or writes at or after i and a
	// row c that wrote before i: sums of Z over such pairs, never differences.
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
