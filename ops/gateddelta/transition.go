package gateddelta

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// The scans of this file know of each chunk, before any state, by which matrices
// it changes one: S⁺ = M S + N and, backwards, dS = Mᵀ dS⁺ + E. Their arrays lie
// by value head, with the sequences of a batch in lanes: rows of
// [lanes, Hk, r, K, K] or [.., K, V], one row for each step of a batch, whose
// lanes are B, and one for each sequence of a step where sequences are packed,
// whose lanes are 1.

// moves are what steps one after the other do to the rows of a state. No step has
// more rows than the one before it.
type moves struct {
	M []*tensor.Tensor // the last two axes are [1, 1] for a number
	N []*tensor.Tensor // nil for products of M alone
}

// step applies step i to S. A nil S is zero, or one for products alone.
func (m moves) step(i int, S *tensor.Tensor) *tensor.Tensor {
	switch {
	case S == nil && m.N == nil:
		return m.M[i]
	case S == nil:
		return m.N[i]
	case m.N == nil:
		return product(m.M[i], S)
	}
	return plusMove(m.N[i], m.M[i], S)
}

// product returns M S.
func product(M, S *tensor.Tensor) *tensor.Tensor {
	if M.Dim(-1) == 1 {
		return tensor.Mul(M, S)
	}
	return tensor.MatMul(M, S)
}

// plusMove returns M S + N.
func plusMove(N, M, S *tensor.Tensor) *tensor.Tensor {
	if M.Dim(-1) == 1 {
		return tensor.Add(tensor.Mul(M, S), N)
	}
	return tensor.AddMM(N, M, S, 1, 1)
}

// through takes S through the steps, from the last if backward is set, and
// returns what meets each of them, and what is left. fit gives S the rows of the
// step to come.
func (m moves) through(backward bool, S *tensor.Tensor, fit func(S *tensor.Tensor, rows int) *tensor.Tensor) (meets []*tensor.Tensor, left *tensor.Tensor) {
	meets = make([]*tensor.Tensor, len(m.M))
	for i := range m.M {
		if backward {
			i = len(m.M) - 1 - i
		}
		S = fit(S, m.M[i].Dim(0))
		meets[i] = S
		S = m.step(i, S)
	}
	return meets, S
}

// scanForward takes the wide state at the segment's start (nil for zero) through
// its chunks, and returns the wide states at the chunks' starts, of all chunks,
// and the one at the segment's end. Sequences that end within it leave theirs in
// run.
func (s *segment) scanForward(S *tensor.Tensor, run *runs) (starts, next *tensor.Tensor) {
	z := s.z
	var ended runs
	narrow := func(S *tensor.Tensor, n int) *tensor.Tensor {
		if S == nil {
			return nil
		}
		return ended.narrow(S, 0, n)
	}
	M, N := s.moves()
	starts, last := s.scan(false, M, N, z.byValueHead(S), narrow)
	for _, e := range ended.done {
		run.end(s.first+e.first, z.wide(e.S))
	}
	return z.wide(starts), z.wide(last)
}

// scanBackward takes the gradient of the wide state at the segment's end through
// its chunks, and returns the gradients of those at the chunks' ends, of all
// chunks, and of the one at the segment's start. Sequences that end within the
// segment take theirs from after.
func (s *segment) scanBackward(l local, dS *tensor.Tensor, after *runs) (ends, dStart *tensor.Tensor) {
	z := s.z
	widen := func(dS *tensor.Tensor, n int) *tensor.Tensor {
		m := 0
		if dS != nil {
			if m = dS.Dim(0); m == n {
				return dS
			}
		}
		began := z.byValueHead(after.begin(s.first+m*z.lanes(), s.first+n*z.lanes()))
		switch {
		case m == 0:
			return began
		case began == nil:
			began = zeroRows(dS, n-m)
		}
		return tensor.Concat(0, dS, began)
	}
	M, _ := s.moves()
	ends, dStart = s.scan(true, transposed(M), s.chunks[0].sources(l), z.byValueHead(dS), widen)
	return z.wide(ends), z.wide(dStart)
}

// moves returns M and N of all chunks. With Y = (T∘β_j)ᵀ (ρ∘K),
//
//	M = e^{G_C} I − Yᵀ (γ∘K);  N = Yᵀ V
//
// and with NoDelta M is the number e^{G_C} and N = Kᵀ(ρ∘β∘V).
func (s *segment) moves() (M, N *tensor.Tensor) {
	if s.M != nil {
		return s.M, s.N
	}
	z, c := s.z, s.chunks[0]
	K := tensor.ExpandDims(c.K, 2)
	M = tensor.ExpandDims(s.parts(s.γC)[0], -1, -2)
	Y := tensor.Mul(c.ρ, K)
	if z.noDelta {
		Y = tensor.Mul(c.β, Y)
	} else {
		Y = tensor.MatMul(transposed(c.Tβ), Y)
		M = tensor.AddMM(tensor.Mul(M, z.masks.unit), transposed(Y), tensor.Mul(c.γ, K), -1, 1)
	}
	s.M, s.N = z.inLanes(M), z.inLanes(tensor.MatMul(transposed(Y), c.V))
	return s.M, s.N
}

// sources returns E = Qᵀ(γ∘dO) − Kᵀ(γ∘β∘(Tᵀ Pᵀ dO)) of all chunks, what O gives to
// the gradient of the state at a chunk's start.
func (c chunk) sources(l local) *tensor.Tensor {
	z := c.z
	E := tensor.MatMul(transposed(c.Q), l.γdO)
	if !z.noDelta {
		γdV := z.wideScaled(c.γ, tensor.MatMul(transposed(c.Tβ), l.dVn))
		E = tensor.AddMM(E, transposed(c.K), γdV, -1, 1)
	}
	return z.byValueHead(E)
}

// scan takes S through all chunks of the segment, and returns what meets each
// chunk, and what is left.
func (s *segment) scan(backward bool, M, N, S *tensor.Tensor, fit func(S *tensor.Tensor, rows int) *tensor.Tensor) (meets, left *tensor.Tensor) {
	var list []*tensor.Tensor
	if r := s.z.levels[s.index]; r != nil {
		list, left = r.through(backward, r.cut(M), r.cut(N), S, fit)
		return r.uncut(joined(0, list)), left
	}
	counts := s.z.rowCounts(s.span)
	list, left = moves{s.z.parted(M, counts), s.z.parted(N, counts)}.through(backward, S, fit)
	return stacked(list, counts), left
}

// rowCounts returns the number of rows of each step in a scan.
func (z geometry) rowCounts(s span) []int {
	if z.plan.packing == nil {
		return slices.Repeat([]int{1}, len(s.active))
	}
	return s.active
}

// stacked joins the states that meet steps, some but not all of which may be nil,
// for zero.
func stacked(list []*tensor.Tensor, counts []int) *tensor.Tensor {
	like := present(list...)[0]
	for i, S := range list {
		if S == nil {
			list[i] = zeroRows(like, counts[i])
		}
	}
	return joined(0, list)
}

// byValueHead views wide states [rows·lanes, Hk, K, r·V] as [rows, lanes, Hk, r, K, V].
// nil stays nil.
func (z geometry) byValueHead(S *tensor.Tensor) *tensor.Tensor {
	if S == nil {
		return nil
	}
	return tensor.SwapAxes(tensor.Reshape(S, -1, z.lanes(), z.Hk, z.K, z.R, z.V), 3, 4)
}

// wide is the inverse of byValueHead.
func (z geometry) wide(S *tensor.Tensor) *tensor.Tensor {
	return tensor.Reshape(tensor.SwapAxes(S, 3, 4), -1, z.Hk, z.K, z.R*z.V)
}

// inLanes views matrices of chunks [rows·lanes, Hk, r, ...] as [rows, lanes, Hk, r, ...].
func (z geometry) inLanes(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Reshape(x, append([]int{-1, z.lanes()}, x.Shape()[1:]...)...)
}

// lanes is the number of sequences that go side by side in a row of a scan.
func (z geometry) lanes() int {
	if z.plan.packing == nil {
		return z.B
	}
	return 1
}
