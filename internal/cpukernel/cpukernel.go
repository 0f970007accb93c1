package cpukernel

/*
#cgo CXXFLAGS: -std=c++17 -O3 -Wall
#cgo linux LDFLAGS: -lstdc++ -lm
#include "rule.h"
#cgo noescape cpukernel_forward
#cgo nocallback cpukernel_forward
#cgo noescape cpukernel_backward
#cgo nocallback cpukernel_backward
*/
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/pkg/errors"
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

// Operands are dense arrays in memory that is pinned, or not Go's.
type Operands struct {
	Q, K    []float32 // [tokens, HK, DK]
	V       []float32 // [tokens, HK·R, DV]
	G, Beta []float32 // [tokens, HK·R]
	H0      []float32 // [sequences, HK·R, DK, DV]; nil means zeros
}

// Results are what the forward pass writes, in memory as that of Operands. Tokens beyond
// the last sequence are left alone.
type Results struct {
	O      []float32 // [tokens, HK·R, DV]
	HT     []float32 // [sequences, HK·R, DK, DV], or nil
	Starts []float32 // [Rule.Starts, HK·R, DK, DV], for the backward pass
}

// Gradients are what comes into the backward pass, O and HT, either of which may be nil
// for zeros, and what it writes; H0 may be nil. Their shapes are those of the arrays
// that they belong to.
type Gradients struct {
	O, HT                []float32
	Q, K, V, G, Beta, H0 []float32
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

// WorkBytes is about what the backward pass takes for its threads' own matrices.
func (r Rule) WorkBytes() int64 {
	longest := 0
	for i, end := range r.Offsets[1:] {
		longest = max(longest, end-r.Offsets[i])
	}
	wide := func(n int) int { return (n+15)/16*16 + 16 }
	c, k, v := wide(r.Chunk), wide(r.DK), wide(r.DV)
	chunks := min(r.Segment, (longest+r.Chunk-1)/r.Chunk)
	each := chunks*r.R*(k*v+c*(c+v)) + (2*r.R+1)*k*v + c*(9*c+6*v+7*k)
	return int64(r.workers()) * int64(each) * 4
}

func (r Rule) workers() int { return max(1, min(r.Threads, (len(r.Offsets)-1)*r.HK)) }

// Forward computes the outputs.
func (r Rule) Forward(in Operands, out Results) error {
	c := r.call(in, out.Starts)
	c.want("O", out.O, c.values)
	c.want("HT", out.HT, optional(out.HT, c.states))
	c.rule.o, c.rule.ht = pointer(out.O), pointer(out.HT)
	return c.run(func(rule *C.cpukernel_rule) C.int { return C.cpukernel_forward(rule) })
}

// Backward computes the gradients; starts are those of the forward pass.
func (r Rule) Backward(in Operands, starts []float32, grad Gradients) error {
	c := r.call(in, starts)
	c.want("the gradient of O", grad.O, optional(grad.O, c.values))
	c.want("the gradient of HT", grad.HT, optional(grad.HT, c.states))
	c.want("the gradient of Q", grad.Q, c.keys)
	c.want("the gradient of K", grad.K, c.keys)
	c.want("the gradient of V", grad.V, c.values)
	c.want("the gradient of G", grad.G, c.gates)
	c.want("the gradient of Beta", grad.Beta, c.gates)
	c.want("the gradient of H0", grad.H0, optional(grad.H0, c.states))
	c.rule.grad_o, c.rule.grad_ht = pointer(grad.O), pointer(grad.HT)
	c.rule.dq, c.rule.dk_out, c.rule.dv_out = pointer(grad.Q), pointer(grad.K), pointer(grad.V)
	c.rule.dg, c.rule.dbeta, c.rule.dh0 = pointer(grad.G), pointer(grad.Beta), pointer(grad.H0)
	return c.run(func(rule *C.cpukernel_rule) C.int { return C.cpukernel_backward(rule) })
}

// call is a pass that is being prepared.
type call struct {
	rule                        *C.cpukernel_rule
	workers                     int
	keys, values, gates, states int // elements of the arrays
	pinner                      runtime.Pinner
}

func (r Rule) call(in Operands, starts []float32) *call {
	sequences := len(r.Offsets) - 1
	if sequences < 1 || r.HK < 1 || r.R < 1 || r.DK < 1 || r.DV < 1 || r.Segment < 1 || r.Level < 0 || r.Level >= Levels() ||
		r.Chunk < 16 || r.Chunk%16 != 0 || r.Chunk > MaxChunk {
		panic(fmt.Sprintf("cpukernel: a size is out of range in %+v", r))
	}
	hv := r.HK * r.R
	tokens := len(in.G) / hv
	if end := r.Offsets[sequences]; end > tokens || r.Offsets[0] < 0 {
		panic(fmt.Sprintf("cpukernel: the sequences have tokens %d to %d, and the gates have %d", r.Offsets[0], end, tokens))
	}
	if !slices.IsSorted(r.Offsets) {
		panic(fmt.Sprintf("cpukernel: the offsets %v fall", r.Offsets))
	}
	first, n := r.firstStarts()
	c := &call{
		rule: &C.cpukernel_rule{
			sequences: C.int64_t(sequences), hk: C.int64_t(r.HK), r: C.int64_t(r.R), dk: C.int64_t(r.DK), dv: C.int64_t(r.DV),
			chunk: C.int64_t(r.Chunk), segment: C.int64_t(r.Segment), level: C.int64_t(r.Level), scale: C.float(r.Scale),
			q: pointer(in.Q), k: pointer(in.K), v: pointer(in.V), g: pointer(in.G), beta: pointer(in.Beta), h0: pointer(in.H0),
			starts: pointer(starts),
		},
		workers: r.workers(),
		keys:    tokens * r.HK * r.DK, values: tokens * hv * r.DV, gates: tokens * hv, states: sequences * hv * r.DK * r.DV,
	}
	if r.NoDelta {
		c.rule.no_delta = 1
	}
	c.want("Q", in.Q, c.keys)
	c.want("K", in.K, c.keys)
	c.want("V", in.V, c.values)
	c.want("G", in.G, c.gates)
	c.want("Beta", in.Beta, c.gates)
	c.want("H0", in.H0, optional(in.H0, c.states))
	c.want("Starts", starts, n*hv*r.DK*r.DV)

	bounds := make([]C.int64_t, sequences+1)
	for i, offset := range r.Offsets {
		bounds[i] = C.int64_t(offset)
	}
	c.pinner.Pin(&bounds[0])
	c.pinner.Pin(&first[0])
	c.rule.begin, c.rule.end, c.rule.first_start = &bounds[0], &bounds[1], &first[0]
	return c
}

func (c *call) want(name string, x []float32, n int) {
	if len(x) != n {
		panic(fmt.Sprintf("cpukernel: %s has %d elements, want %d", name, len(x), n))
	}
}

// optional is n, or 0 for what is absent.
func optional(x []float32, n int) int {
	if x == nil {
		return 0
	}
	return n
}

func pointer(x []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(x))) }

// run lets the workers take their tasks.
func (c *call) run(work func(*C.cpukernel_rule) C.int) error {
	defer c.pinner.Unpin()
	failed := make([]bool, c.workers)
	var wait sync.WaitGroup
	for i := range failed[1:] {
		wait.Go(func() { failed[i+1] = work(c.rule) != 0 })
	}
	failed[0] = work(c.rule) != 0
	wait.Wait()
	for _, f := range failed {
		if f {
			return errors.New("there is not enough memory for the matrices of a chunk")
		}
	}
	return nil
}
