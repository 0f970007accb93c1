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
// computed any earlier than its turn. The constants of z must be loaded.
func (z geometry) chunkBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor, needs func(operand int) bool) gradients {
	list := in.list()
	arrived := present(do, dht)
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.v, 0), in.v.Shape()...)
	}
	var before, after runs
	if in.h0 != nil {
		before.all = z.state(in.h0, in.v)
	}
	if dht != nil {
		after.all = z.state(dht, in.v)
	}
	var dS *tensor.Tensor
	next := len(starts)
	parts := make([][]*tensor.Tensor, len(list)) // from the last
	for i, span := range slices.Backward(z.plan.segments) {
		var start *tensor.Tensor
		if span.fresh {
			start = before.begin(span.first, span.first+span.active[0])
		} else {
			next--
			start = starts[next]
		}
		tied := z.after(append([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β, do}, present(start)...), arrived)
		if start != nil {
			start = tied[6]
		}
		s := z.segmentAt(operands{q: tied[0], k: tied[1], v: tied[2], g: tied[3], β: tied[4]}, i)
		var chunks []contribution
		chunks, dS = s.backward(start, tied[5], dS, &after)

		arrived = nil
		if !span.fresh || needs(operandState) {
			arrived = append(arrived, dS)
		}
		if span.fresh {
			after.end(span.first, dS)
			dS = nil
		}
		// keep takes the gradient x [B, n·C, ...] of an operand's tokens from a
		// step on, without what is beyond T.
		keep := func(operand, step int, x *tensor.Tensor) {
			if needs(operand) {
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
			if x != nil {
				keep(operand, 0, x)
			}
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
	if needs(operandState) {
		d.h0 = z.fromState(z.resultOf(after, in.v))
	}
	return d
}

// backward goes through the chunks and back: from the gradient of O (tokens
// [B, T, Hv, V]) and that of the state at the segment's end to the chunks'
// contributions and the gradient of the state at the segment's start. Sequences
// that end within it take theirs from after.
func (s *segment) backward(start, do, dS *tensor.Tensor, after *runs) ([]contribution, *tensor.Tensor) {
	passes, _ := s.forward(start, &runs{}) // what ends on the way has been told before
	parts := make([]contribution, len(s.chunks))
	dO := s.parts(s.z.valueRows(s.z.tokens(do, s.index)))
	for i, c := range slices.Backward(s.chunks) {
		l := c.local(dO[i])
		var ends *tensor.Tensor
		if s.whole {
			ends, dS = s.scanBackward(l, dS, after)
			parts[i] = c.backward(passes[i], l, ends)
		} else {
			ends = after.widen(dS, s.first, c.n)
			parts[i] = c.backward(passes[i], l, ends)
			dS = s.z.meet.with(c.before(parts[i]))
		}
	}
	return parts, dS
}

// local is what the gradient of O gives to a chunk without those of states.
type local struct {
	dO  *tensor.Tensor // value rows
	γdO *tensor.Tensor // wide rows
	dVn *tensor.Tensor // value rows: Pᵀ dO
}

func (c chunk) local(dO *tensor.Tensor) local {
	dO = tensor.Contiguous(dO)
	return local{dO: dO, γdO: c.z.wideScaled(c.γ, dO), dVn: tensor.MatMul(transposed(c.P), dO)}
}

// contribution is what one chunk gives to the gradients that are finished for
// all chunks of the segment at once, by finish. What passes through states may be
// nil, for zero.
type contribution struct {
	dOVn, dBVn *tensor.Tensor // square: dO Vnᵀ and dB Vnᵀ (the latter not with NoDelta)
	dQ, dK     *tensor.Tensor // [B, Hk, C, K], the part that goes through the states
	dV         *tensor.Tensor // tokens [B, C, Hv, V], finished
	dBE        *tensor.Tensor // gates: rowwise dB·E
	past       *tensor.Tensor // gates: for each row, what it takes from S
	future     *tensor.Tensor // gates: for each row, what it leaves in S⁺
	through    *tensor.Tensor // [B, Hk, r]: <S, e^{G_C} dS⁺>, what goes through the chunk

	decayed  *tensor.Tensor // wide state: e^{G_C} dS⁺
	γdO, γdV *tensor.Tensor // wide rows (the latter not with NoDelta)
}

// backward goes through one chunk: from dO and the gradient dS⁺ of the state at
// its end (nil for zero) to its contribution. dB = Tᵀ dVn is the gradient of β∘E,
// so that the inverse needs no gradient of its own. With NoDelta, T is I, and no
// gradient goes through E to K and S.
func (c chunk) backward(p pass, l local, dNext *tensor.Tensor) contribution {
	z := c.z
	d := contribution{γdO: l.γdO, dOVn: tensor.MatMul(l.dO, transposed(p.Vn))}

	// dVn = Pᵀ dO + ρ∘(K dS⁺)
	dVn := l.dVn
	if dNext != nil {
		ρKdS := tensor.Mul(c.ρ, z.byHead(tensor.MatMul(c.K, dNext)))
		dVn = tensor.Add(dVn, ρKdS)
		d.future = rowDot(p.Vn, ρKdS)
		d.dK = tensor.MatMul(p.ρVn, transposed(dNext))
		d.decayed = tensor.Mul(c.γC, dNext)
	}
	dB := dVn
	if !z.noDelta {
		dB = tensor.MatMul(transposed(c.T), dVn)
		d.dBVn = tensor.MatMul(dB, transposed(p.Vn))
	}
	dV := tensor.Mul(byToken(c.β), byToken(dB))
	d.dV = z.fromRows(dV)
	d.dBE = rowDot(dB, p.E)
	if !z.noDelta {
		d.γdV = z.wideScaled(c.γ, tensor.Transpose(dV, 0, 2, 3, 1, 4))
	}
	if p.S == nil {
		return d
	}
	d.dQ = tensor.MatMul(l.γdO, transposed(p.S))
	past := tensor.Mul(l.γdO, p.QS)
	if !z.noDelta {
		d.dK = plusProduct(d.dK, d.γdV, transposed(p.S), -1)
		past = tensor.Sub(past, tensor.Mul(d.γdV, p.KS))
	}
	d.past = tensor.SwapAxes(tensor.Sum(tensor.Reshape(past, -1, z.Hk, z.C, z.R, z.V), false, -1), 2, 3)
	if dNext != nil {
		d.through = z.perHead(tensor.Sum(tensor.Mul(p.S, d.decayed), false, -2))
	}
	return d
}

// before returns the gradient of the state at the chunk's start,
// dS = e^{G_C} dS⁺ + Qᵀ(γ∘dO) − Kᵀ(γ∘dV).
func (c chunk) before(d contribution) *tensor.Tensor {
	dS := plusProduct(d.decayed, transposed(c.Q), d.γdO, 1)
	if d.γdV != nil {
		dS = tensor.AddMM(dS, transposed(c.K), d.γdV, -1, 1)
	}
	return dS
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
		return s.joined(list)
	}
	dOVn := stack(func(p contribution) *tensor.Tensor { return p.dOVn })
	dQ := stack(func(p contribution) *tensor.Tensor { return p.dQ })
	dK := stack(func(p contribution) *tensor.Tensor { return p.dK })
	dβ := stack(func(p contribution) *tensor.Tensor { return p.dBE })

	// Z is what passes between two rows.
	ds := tensor.Mul(s.Γ, dOVn)
	dsGroup := z.overGroup(ds)
	dQ = plusProduct(dQ, dsGroup, s.K, 1)
	dK = plusProduct(dK, transposed(dsGroup), s.Q, 1)
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
	dg := tensor.Sum(tensor.Mul(z.masks.strict, tensor.CumSum(Z, -2, true, false)), false, -1)
	if through := stack(func(p contribution) *tensor.Tensor { return p.through }); through != nil {
		dg = tensor.Add(dg, tensor.ExpandDims(through, -1))
	}
	if past := stack(func(p contribution) *tensor.Tensor { return p.past }); past != nil {
		dg = tensor.Add(dg, tensor.CumSum(past, -1, true, false))
	}
	if future := stack(func(p contribution) *tensor.Tensor { return p.future }); future != nil {
		dg = tensor.Add(dg, tensor.CumSum(future, -1, false, true))
	}
	return gradients{
		q: z.fromKeyRows(tensor.MulScalar(dQ, z.scale)),
		k: z.fromKeyRows(dK),
		g: z.fromGates(dg),
		β: z.fromGates(dβ),
	}
}

// joined puts the chunks' parts together, with zeros for those that are nil. It
// is nil if all are.
func (s *segment) joined(parts []*tensor.Tensor) *tensor.Tensor {
	given := present(parts...)
	if len(given) == 0 {
		return nil
	}
	for i, x := range parts {
		if x == nil {
			parts[i] = zeroRows(given[0], s.chunks[i].n)
		}
	}
	return s.fromParts(parts)
}

// zeroRows returns n rows of zeros like those of x along its first axis.
func zeroRows(x *tensor.Tensor, n int) *tensor.Tensor {
	return tensor.BroadcastTo(tensor.Like(x, 0), append([]int{n}, x.Shape()[1:]...)...)
}

// rowDot returns the dot products of the rows of a and b.
func rowDot(a, b *tensor.Tensor) *tensor.Tensor { return tensor.Sum(tensor.Mul(a, b), false, -1) }

// present returns those of its arguments that are not nil.
func present(ts ...*tensor.Tensor) []*tensor.Tensor {
	return slices.DeleteFunc(slices.Clone(ts), func(t *tensor.Tensor) bool { return t == nil })
}
