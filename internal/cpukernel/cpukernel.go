package cpukernel

/*
#cgo CXXFLAGS: -std=c++17 -O3 -Wall
#cgo linux LDFLAGS: -lstdc++ -lm -lpthread
#include <stdlib.h>
#include "rule.h"
*/
import "C"

import (
	"fmt"
	"slices"
	"unsafe"
)

// MaxChunk is the largest chunk; a chunk has a multiple of 16 tokens.
const MaxChunk = C.CPUKERNEL_MAX_CHUNK

// Levels returns the number of sets of instructions that there are for this processor.
// Level 0 works everywhere, the last one is the fastest.
func Levels() int { return int(C.cpukernel_levels()) }

// Rule says what to compute.
type Rule struct {
	HK, R, DK, DV int     // key heads, value heads of each, sizes of keys and values
	Offsets       []int   // sequence n has tokens Offsets[n] to Offsets[n+1]-1
	Chunk         int     // tokens in a chunk
	Segment       int     // chunks in a segment, at whose start states are kept
	Scale         float32 // of the queries
	NoDelta       bool    // without the correction: gated linear attention
	Threads       int     // at most so many work
	Level         int     // below Levels
}

// Starts returns the number of states that the forward pass keeps for each value head.
func (r Rule) Starts() int {
	_, n := r.firstStarts()
	return n
}

// firstStarts returns which of the states is the first of each sequence, and the number
// of all.
func (r Rule) firstStarts() (first []C.int64_t, n int) {
	for i, end := range r.Offsets[1:] {
		first = append(first, C.int64_t(n))
		n += max(0, (end-r.Offsets[i]+r.Chunk*r.Segment-1)/(r.Chunk*r.Segment)-1)
	}
	return first, n
}

// WorkBytes is what the backward pass takes for its threads' own matrices.
func (r Rule) WorkBytes() int64 {
	c := r.BackwardCall(max(1, r.Offsets[len(r.Offsets)-1]), There{})
	defer c.free()
	return c.Workspace
}

// There says which of the arrays that may be nil there are.
type There struct{ H0, HT, GradO, GradHT bool }

// Call is a pass over arrays that come later: a function of C, what to tell it, and how
// to free that. It can run at any time, on any thread, and on several at once. It gets
// lists of what it reads and writes, without what is nil, and memory of Workspace bytes
// at a multiple of 64; see cpukernel_run in rule.h.
type Call struct {
	Run, Payload, Release unsafe.Pointer
	Workspace             int64
}

// ForwardCall returns the forward pass over arrays of so many tokens: it reads the
// Operands and writes the Results, each in the order of their fields. There are Starts
// if there is one.
func (r Rule) ForwardCall(tokens int, there There) Call { return r.call(tokens, there, 0) }

// BackwardCall returns the backward pass: it reads the Operands, the gradients of O and
// HT, and Starts, and writes the other Gradients.
func (r Rule) BackwardCall(tokens int, there There) Call { return r.call(tokens, there, 1) }

func (r Rule) call(tokens int, there There, backward C.int64_t) Call {
	r.check(tokens)
	sequences := len(r.Offsets) - 1
	first, starts := r.firstStarts()
	offsets := make([]C.int64_t, 0, 2*sequences+1)
	for _, offset := range r.Offsets {
		offsets = append(offsets, C.int64_t(offset))
	}
	offsets = append(offsets, first...)

	p := (*C.cpukernel_pass)(C.malloc(C.sizeof_cpukernel_pass + C.size_t(len(offsets))*C.sizeof_int64_t))
	kept := unsafe.Slice((*C.int64_t)(unsafe.Add(unsafe.Pointer(p), C.sizeof_cpukernel_pass)), len(offsets))
	copy(kept, offsets)
	*p = C.cpukernel_pass{
		rule: C.cpukernel_rule{
			tokens: C.int64_t(tokens), sequences: C.int64_t(sequences),
			begin: &kept[0], end: &kept[1], first_start: &kept[sequences+1],
			hk: C.int64_t(r.HK), r: C.int64_t(r.R), dk: C.int64_t(r.DK), dv: C.int64_t(r.DV),
			chunk: C.int64_t(r.Chunk), segment: C.int64_t(r.Segment), no_delta: flag(r.NoDelta), level: C.int64_t(r.Level),
			scale: C.float(r.Scale),
		},
		backward: backward, threads: C.int64_t(max(1, r.Threads)),
		h0: flag(there.H0), ht: flag(there.HT), starts: flag(starts > 0), grad_o: flag(there.GradO), grad_ht: flag(there.GradHT),
	}
	return Call{
		Run: C.cpukernel_run, Payload: unsafe.Pointer(p), Release: C.cpukernel_release,
		Workspace: int64(C.cpukernel_workspace(p)),
	}
}

func (c Call) free() { C.cpukernel_release(c.Payload) }

// check panics where a pass would read or write outside its arrays.
func (r Rule) check(tokens int) {
	if tokens < 1 || len(r.Offsets) < 2 || r.HK < 1 || r.R < 1 || r.DK < 1 || r.DV < 1 || r.Segment < 1 || r.Level < 0 || r.Level >= Levels() ||
		r.Chunk < 16 || r.Chunk%16 != 0 || r.Chunk > MaxChunk {
		panic(fmt.Sprintf("cpukernel: a size is out of range in %+v for %d tokens", r, tokens))
	}
	if !slices.IsSorted(r.Offsets) {
		panic(fmt.Sprintf("cpukernel: the offsets %v fall", r.Offsets))
	}
	if end := r.Offsets[len(r.Offsets)-1]; end > tokens || r.Offsets[0] < 0 {
		panic(fmt.Sprintf("cpukernel: the sequences have tokens %d to %d, and the arrays have %d", r.Offsets[0], end, tokens))
	}
}

func flag(b bool) C.int64_t {
	if b {
		return 1
	}
	return 0
}
