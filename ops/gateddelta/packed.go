package gateddelta

import (
	"cmp"
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// Packed sequences take the form of a batch of one sequence, of all chunks in the
// order of the plan: the functions here gather tokens into that form and back,
// and take care of states as sequences begin and end.

// indices are a packing's arrays as tensors.
type indices struct {
	order, place *tensor.Tensor   // nil if they change nothing
	from         []*tensor.Tensor // for each segment the tokens of its rows
	real         []*tensor.Tensor // for each segment [1, rows, 1], false for padding
	scale        []*tensor.Tensor // for each segment [1, rows, 1, 1], the scale or 0 for padding
	to           *tensor.Tensor
}

// load returns z with its constants, the masks and the packing's indices, which
// belong to no scope, and what frees them.
func (z geometry) load() (geometry, func()) {
	var made []*tensor.Tensor
	keep := func(x *tensor.Tensor) *tensor.Tensor {
		made = append(made, x)
		return x
	}
	if z.implementation == Chunk {
		z.masks = masksOf(z.dtype, z.C)
		if onGPU(z.dtype) {
			z.masks.below = blocksBelow(z.dtype, z.C)
		}
		if z.scan.parallel() {
			z.masks.unit = maskOf(z.dtype, z.K, func(i, j int) bool { return i == j })
		}
		made = z.masks.list()
	}
	if k := z.plan.packing; k != nil && len(k.from) > 0 {
		ix := &indices{to: keep(tensor.FromSlice(k.to))}
		if !k.sorted {
			ix.order, ix.place = keep(tensor.FromSlice(k.order)), keep(tensor.FromSlice(k.place))
		}
		for _, s := range z.plan.segments {
			lo := s.chunk * z.plan.C
			hi := lo + z.plan.chunks(s)*z.plan.C
			real := k.real[lo:hi]
			ix.from = append(ix.from, keep(tensor.FromSlice(k.from[lo:hi])))
			ix.real = append(ix.real, keep(tensor.FromSlice(real, 1, len(real), 1)))
			ix.scale = append(ix.scale, keep(z.scales(real)))
		}
		z.indices = ix
	}
	z.levels = make([]*levels, len(z.plan.segments))
	if z.scan == ScanTwoLevel {
		for i, s := range z.plan.segments {
			if n, L := len(s.active), z.runLength(len(s.active)); L < n {
				z.levels[i] = z.levelsOf(z.rowCounts(s), L, keep)
			}
		}
	}
	return z, func() { tensor.Free(made...) }
}

// scales returns the scale for the rows that are tokens and 0 for padding,
// [1, rows, 1, 1].
func (z geometry) scales(real []bool) *tensor.Tensor {
	if z.dtype == tensor.Float64 {
		return tensor.FromSlice(chosen(real, z.scale), 1, len(real), 1, 1)
	}
	return tensor.FromSlice(chosen(real, float32(z.scale)), 1, len(real), 1, 1)
}

// gather returns the rows [1, rows, ...] of a segment from tokens [1, T, ...].
func (z geometry) gather(x *tensor.Tensor, segment int) *tensor.Tensor {
	return tensor.ExpandDims(tensor.Take(tensor.Squeeze(x, 0), z.indices.from[segment], 0), 0)
}

// collect joins arrays [B, tokens, ...] that a batch's tokens or the rows of the
// chunks of packed sequences were cut into. It puts the latter back in their
// places; tokens of no sequence get zeros. The result is shaped as like.
func (z geometry) collect(parts []*tensor.Tensor, like *tensor.Tensor) *tensor.Tensor {
	if len(parts) == 0 {
		return tensor.ZerosLike(like)
	}
	x := joined(1, parts)
	if z.plan.packing == nil {
		return x
	}
	x = tensor.ExpandDims(tensor.Take(tensor.Squeeze(x, 0), z.indices.to, 0), 0)
	if rest := z.T - x.Dim(1); rest > 0 {
		widths := make([][2]int, x.NDim())
		widths[1][1] = rest
		x = tensor.Pad(x, widths, 0)
	}
	return x
}

// ordered puts states [N, ...] of the input's sequences in the order of the plan.
func (z geometry) ordered(h *tensor.Tensor) *tensor.Tensor {
	if h == nil || z.indices == nil || z.indices.order == nil {
		return h
	}
	return tensor.Take(h, z.indices.order, 0)
}

// restored is the inverse of ordered.
func (z geometry) restored(h *tensor.Tensor) *tensor.Tensor {
	if z.indices == nil || z.indices.place == nil {
		return h
	}
	return tensor.Take(h, z.indices.place, 0)
}

// states are those of consecutive places from first on.
type states struct {
	first int
	S     *tensor.Tensor
}

// runs follows states through a plan: from all, those before the sequences, in
// the order of the plan (nil if they are zero), to those that sequences leave, in
// either direction.
type runs struct {
	all  *tensor.Tensor
	done []states
}

// begin returns the states of places lo to hi-1 before their sequences, nil if
// they are zero.
func (r *runs) begin(lo, hi int) *tensor.Tensor {
	if r.all == nil {
		return nil
	}
	return rows(r.all, lo, hi)
}

// end takes states from place first on after their sequences.
func (r *runs) end(first int, S *tensor.Tensor) { r.done = append(r.done, states{first, S}) }

// narrow ends those but the first n of the states S from place first on, and
// returns these.
func (r *runs) narrow(S *tensor.Tensor, first, n int) *tensor.Tensor {
	if m := S.Dim(0); m > n {
		r.end(first+n, tensor.Contiguous(rows(S, n, m))) // lest it keep all of S
	}
	return rows(S, 0, n)
}

// widen is narrow backwards: it begins states up to the n-th from place first on.
// S is nil before the first, or zero like them.
func (r *runs) widen(S *tensor.Tensor, first, n int) *tensor.Tensor {
	if S == nil {
		return r.begin(first, first+n)
	}
	m := S.Dim(0)
	switch {
	case m == n:
		return S
	case r.all == nil:
		return tensor.Concat(0, S, zeroRows(S, n-m))
	}
	return tensor.Concat(0, S, r.begin(first+m, first+n))
}

// result returns all states at the end, in the order of the plan. Places at
// which none ended had no tokens.
func (r *runs) result() *tensor.Tensor {
	slices.SortFunc(r.done, func(a, b states) int { return cmp.Compare(a.first, b.first) })
	var parts []*tensor.Tensor
	n := 0
	for _, s := range r.done {
		parts = append(parts, s.S)
		n += s.S.Dim(0)
	}
	if r.all != nil && n < r.all.Dim(0) {
		parts = append(parts, r.begin(n, r.all.Dim(0)))
	}
	return joined(0, parts)
}

// rows returns x[lo:hi].
func rows(x *tensor.Tensor, lo, hi int) *tensor.Tensor {
	if lo == 0 && hi == x.Dim(0) {
		return x
	}
	return tensor.SliceAxis(x, 0, lo, hi)
}
