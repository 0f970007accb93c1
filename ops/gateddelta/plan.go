package gateddelta

import (
	"cmp"
	"slices"
)

// plan says in what order the tokens are worked on. Sequences are cut into
// chunks of C tokens, the last one padded; a step takes the next chunk of all
// sequences that have one left, and steps are worked on in segments.
//
// A batch has as many sequences at each step as at the first. Packed sequences
// are put in order, those with the most chunks first, so that the ones that go
// on are always the first rows of the state. In this order they are dealt into
// waves, one after the other, so that the states of a wave don't fill the
// memory. Sequences of one chunk that need no states are in waves by themselves,
// larger ones.
type plan struct {
	C        int
	segments []span
	packing  *packing // nil for a batch
}

// span is the part of a plan that is one segment.
type span struct {
	// active is the number of sequences at each step, which never rises.
	active []int

	first int  // place of its first sequence in the order
	chunk int  // number of chunks before it, one for each step of a batch
	fresh bool // it begins with the start of its sequences

	// stateless says that its sequences are of one chunk, with neither a state
	// before it nor one after it that anybody asks for.
	stateless bool
}

// packing is where the tokens of packed sequences go.
type packing struct {
	order  []int32 // the sequence at each place of the order, those without tokens last
	place  []int32 // inverse of order
	from   []int32 // for each row of each chunk its token; padding repeats a sequence's last one
	real   []bool  // whether a row is a token and not padding
	to     []int32 // inverse of from: for each token its row
	sorted bool    // order is that of the input
}

// planOf lays out the steps of the implementation, and says why the segments are
// as long as they are; segment is Options.Segment.
func (z geometry) planOf(segment int) (p plan, why string) {
	p.C = z.C
	switch {
	case z.implementation == Recurrent:
		p.C, segment = 1, z.T
		why = "the recurrent form keeps no states between tokens, whatever Segment is"
	case segment > 0:
		why = asked + ", or sequences end sooner"
	case onGPU(z.dtype):
		why = "enough to fill a GPU, and for the states kept to take at most half of what V takes"
	default:
		why = "enough to fill the processor's cache, and for the states kept to take at most half of what V takes"
	}
	if z.cuSeqlens == nil {
		active := slices.Repeat([]int{z.B}, (z.T+p.C-1)/p.C)
		for step := 0; step < len(active); {
			n := z.segmentSteps(active[step:], segment)
			p.segments = append(p.segments, span{active: active[step : step+n], chunk: step, fresh: step == 0})
			step += n
		}
		return p, why
	}
	p.pack(z.cuSeqlens)
	for first := 0; first < z.sequences; {
		next, stateless := z.waveFrom(p, first)
		active := p.packing.wave(z.cuSeqlens, p.C, first, next)
		for step := 0; step < len(active); {
			n := z.segmentSteps(active[step:], segment)
			s := span{active: active[step : step+n], first: first, chunk: len(p.packing.from) / p.C, fresh: step == 0, stateless: stateless}
			p.packing.add(z.cuSeqlens, p.C, s, step)
			p.segments = append(p.segments, s)
			step += n
		}
		first = next
	}
	return p, why
}

// waveFrom returns the place after the last of the wave that begins at place first.
func (z geometry) waveFrom(p plan, first int) (next int, stateless bool) {
	if z.implementation == Recurrent {
		return z.sequences, false
	}
	next = first + max(1, z.waveBytes()/z.chunkBytes(true))
	if !z.initial && !z.final {
		// Those of at most one chunk are last in the order.
		short, _ := slices.BinarySearchFunc(p.packing.order, 1, func(sequence int32, n int) int {
			return cmp.Compare(n, chunksOf(z.cuSeqlens, p.C, sequence))
		})
		if stateless = first >= short; stateless {
			next = first + max(1, z.waveBytes()/z.chunkBytes(false))
		} else {
			next = min(next, short)
		}
	}
	return min(next, z.sequences), stateless
}

// segmentSteps returns how many of the steps to come make a segment: enough to
// fill segmentBytes, and enough for the states that the tape keeps, one for each
// segment, to take at most half of what V takes; or as many as are asked for.
func (z geometry) segmentSteps(active []int, want int) int {
	if want > 0 {
		return min(want, len(active))
	}
	chunks := 0
	for i, n := range active {
		if i > 0 && (chunks+n)*z.chunkBytes(true) > z.segmentBytes() && chunks*z.C >= 2*z.K*n {
			return i
		}
		chunks += n
	}
	return len(active)
}

// pack puts the sequences in order.
func (p *plan) pack(cu []int) {
	n := len(cu) - 1
	k := &packing{order: make([]int32, n), place: make([]int32, n), to: make([]int32, cu[n])}
	for i := range k.order {
		k.order[i] = int32(i)
	}
	slices.SortStableFunc(k.order, func(a, b int32) int { return cmp.Compare(chunksOf(cu, p.C, b), chunksOf(cu, p.C, a)) })
	k.sorted = slices.IsSorted(k.order)
	for i, sequence := range k.order {
		k.place[sequence] = int32(i)
	}
	p.packing = k
}

// chunksOf returns the number of chunks of a sequence.
func chunksOf(cu []int, C int, sequence int32) int {
	return (cu[sequence+1] - cu[sequence] + C - 1) / C
}

// wave returns how many of the sequences in places lo to hi-1 there are at each
// step.
func (k *packing) wave(cu []int, C, lo, hi int) []int {
	var active []int
	for n := hi - lo; ; {
		for n > 0 && chunksOf(cu, C, k.order[lo+n-1]) <= len(active) {
			n--
		}
		if n == 0 {
			return active
		}
		active = append(active, n)
	}
}

// add gives the tokens of a segment, which begins with a step of its wave, their
// rows.
func (k *packing) add(cu []int, C int, s span, step int) {
	for i, n := range s.active {
		for _, sequence := range k.order[s.first : s.first+n] {
			start, end := cu[sequence]+(step+i)*C, cu[sequence+1]
			for t := start; t < start+C; t++ {
				if t < end {
					k.to[t] = int32(len(k.from))
				}
				k.real = append(k.real, t < end)
				k.from = append(k.from, int32(min(t, end-1)))
			}
		}
	}
}

// size returns the number of its chunks.
func (s span) size() int {
	n := 0
	for _, a := range s.active {
		n += a
	}
	return n
}

// chunks returns the length of the first axis of a segment's arrays.
func (p plan) chunks(s span) int {
	if p.packing == nil {
		return len(s.active)
	}
	return s.size()
}

// sequences returns the number of sequences in the widest step.
func (p plan) sequences() int {
	n := 0
	for _, s := range p.segments {
		n = max(n, s.active[0])
	}
	return n
}

// steps returns the number of steps in the longest segment.
func (p plan) steps() int {
	n := 0
	for _, s := range p.segments {
		n = max(n, len(s.active))
	}
	return n
}

// starts returns the number of segments that begin within sequences.
func (p plan) starts() int {
	n := 0
	for _, s := range p.segments {
		if !s.fresh {
			n++
		}
	}
	return n
}

// checkPacked checks CuSeqlens.
func (z geometry) checkPacked(cu []int) {
	switch {
	case z.B != 1:
		panic(mistake(nil, "B is %d with CuSeqlens, want 1: packed sequences share one row", z.B))
	case len(cu) < 2:
		panic(mistake(nil, "CuSeqlens is %v, want N+1 numbers for N >= 1 sequences, from 0 to at most T = %d", cu, z.T))
	case cu[0] != 0:
		panic(mistake(nil, "CuSeqlens begins with %d, want 0", cu[0]))
	}
	for i, end := range cu[1:] {
		if end < cu[i] {
			panic(mistake(nil, "CuSeqlens[%d] is %d, want at least CuSeqlens[%d] = %d: the numbers never fall", i+1, end, i, cu[i]))
		}
	}
	if end := cu[len(cu)-1]; end > z.T {
		panic(mistake(nil, "CuSeqlens ends with %d, want at most T = %d", end, z.T))
	}
}

// longest returns the length of the longest sequence.
func (z geometry) longest() int {
	if z.cuSeqlens == nil {
		return z.T
	}
	n := 0
	for i, end := range z.cuSeqlens[1:] {
		n = max(n, end-z.cuSeqlens[i])
	}
	return n
}

// padded returns the number of tokens of packed sequences with their padding to
// chunks of C.
func (z geometry) padded(C int) int {
	n := 0
	for i := range z.sequences {
		n += chunksOf(z.cuSeqlens, C, int32(i)) * C
	}
	return n
}
