package cpukernel

/*
#include "rule.h"
#cgo noescape cpukernel_run
#cgo nocallback cpukernel_run
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Operands are dense arrays.
type Operands struct {
	Q, K    []float32 // [tokens, HK, DK]
	V       []float32 // [tokens, HK·R, DV]
	G, Beta []float32 // [tokens, HK·R]
	H0      []float32 // [sequences, HK·R, DK, DV]; nil means zeros
}

// Results are what the forward pass writes. Tokens in no sequence get zeros.
type Results struct {
	O      []float32 // [tokens, HK·R, DV]
	HT     []float32 // [sequences, HK·R, DK, DV], or nil
	Starts []float32 // [Rule.Starts, HK·R, DK, DV], for the backward pass
}

// Gradients are what comes into the backward pass, O and HT, either of which may be nil
// for zeros, and what it writes. Their shapes are those of the arrays that they belong
// to; H0 is nil where that of Operands is.
type Gradients struct {
	O, HT                []float32
	Q, K, V, G, Beta, H0 []float32
}

// Forward computes the outputs.
func (r Rule) Forward(in Operands, out Results) {
	z := r.sizes(len(in.G))
	do(r.ForwardCall(z.tokens, There{H0: in.H0 != nil, HT: out.HT != nil}), z.operands(in), []array{
		{"O", out.O, z.values}, {"HT", out.HT, optional(out.HT, z.states)}, {"Starts", out.Starts, z.starts},
	})
}

// Backward computes the gradients; starts are those of the forward pass.
func (r Rule) Backward(in Operands, starts []float32, grad Gradients) {
	z := r.sizes(len(in.G))
	do(r.BackwardCall(z.tokens, There{H0: in.H0 != nil, GradO: grad.O != nil, GradHT: grad.HT != nil}), append(z.operands(in), []array{
		{"the gradient of O", grad.O, optional(grad.O, z.values)}, {"the gradient of HT", grad.HT, optional(grad.HT, z.states)},
		{"Starts", starts, z.starts},
	}...), []array{
		{"the gradient of Q", grad.Q, z.keys}, {"the gradient of K", grad.K, z.keys}, {"the gradient of V", grad.V, z.values},
		{"the gradient of G", grad.G, z.gates}, {"the gradient of Beta", grad.Beta, z.gates}, {"the gradient of H0", grad.H0, len(in.H0)},
	})
}

// sizes are the numbers of elements of arrays.
type sizes struct{ tokens, keys, values, gates, states, starts int }

func (r Rule) sizes(gates int) sizes {
	hv, sequences := r.HK*r.R, len(r.Offsets)-1
	tokens := gates / max(1, hv)
	r.check(tokens)
	state := hv * r.DK * r.DV
	return sizes{
		tokens: tokens, keys: tokens * r.HK * r.DK, values: tokens * hv * r.DV, gates: tokens * hv,
		states: sequences * state, starts: r.Starts() * state,
	}
}

func (z sizes) operands(in Operands) []array {
	return []array{
		{"Q", in.Q, z.keys}, {"K", in.K, z.keys}, {"V", in.V, z.values},
		{"G", in.G, z.gates}, {"Beta", in.Beta, z.gates}, {"H0", in.H0, optional(in.H0, z.states)},
	}
}

// array is one of a pass, which has n elements.
type array struct {
	name string
	x    []float32
	n    int
}

// optional is n, or 0 for what is absent.
func optional(x []float32, n int) int {
	if x == nil {
		return 0
	}
	return n
}

// do runs a pass at once, and frees it.
func do(c Call, read, written []array) {
	defer c.free()
	var pinner runtime.Pinner
	defer pinner.Unpin()
	addresses := func(arrays []array) *unsafe.Pointer {
		list := make([]unsafe.Pointer, 0, len(arrays))
		for _, a := range arrays {
			if len(a.x) != a.n {
				panic(fmt.Sprintf("cpukernel: %s has %d elements, want %d", a.name, len(a.x), a.n))
			}
			if a.n > 0 {
				pinner.Pin(&a.x[0])
				list = append(list, unsafe.Pointer(&a.x[0]))
			}
		}
		return unsafe.SliceData(list)
	}
	from, to := addresses(read), addresses(written)
	const line = 64
	memory := make([]byte, c.Workspace+line)
	C.cpukernel_run(c.Payload, from, to, unsafe.Pointer(&memory[line-uintptr(unsafe.Pointer(&memory[0]))%line]))
}
