package gateddelta

import (
	"iter"
	"runtime"

	"github.com/deltatape/deltatape/tensor"
)

// The engine works through one list of operations on one core. Where a CPU has
// more of them and the operations are large, the work is cut into two halves
// that have nothing to do with each other, and one of them goes aside. They stay
// abreast of each other, for the engine starts operations in one order.

// halvesFrom is the size of one step's arrays from which halves pay. Below, the
// time goes into calling twice as many operations.
const halvesFrom = 5 << 16

// chooseThreads returns how many cores to work on, and why.
func (opt Options) chooseThreads(z geometry) (threads int, why string) {
	if opt.Threads < 0 || opt.Threads > 2 {
		panic(mistake(nil, "Threads is %d, want 1 or 2, or 0 to choose", opt.Threads))
	}
	switch {
	case opt.Threads == 1:
		return 1, asked
	case z.implementation == Recurrent:
		return 1, "a token's work is too little to part"
	case z.implementation == Metal:
		return 1, "the kernels work on all heads at once"
	case onGPU(z.dtype):
		return 1, "a GPU works on all heads at once"
	case z.compile != CompileOff:
		return 1, "a compiled graph is one list of operations"
	case !tensor.CanAside():
		return 1, "a function that is traced has one list of operations"
	case z.Hk == 1 && z.lanes() == 1:
		return 1, "neither key heads nor rows of a batch can be parted"
	case opt.Threads == 2:
		return 2, asked
	case runtime.GOMAXPROCS(0) < 2:
		return 1, "there is only one core to work on"
	case z.lanes()*z.chunkBytes(true) < halvesFrom:
		return 1, "a step takes no longer than calling its operations twice would"
	}
	return 2, "two halves of the heads keep two cores busy"
}

// half is the geometry of one half, and what it takes: key heads lo to hi-1, or
// rows.
type half struct {
	geometry
	rows   bool
	lo, hi int
}

// halves parts the work, by key heads if these make equal halves or there are no
// rows. Both halves have the chunks and segments of the whole.
func (z geometry) halves() [2]half {
	rows := z.cuSeqlens == nil && z.B > 1 && (z.Hk == 1 || z.Hk%2 == 1 && z.B%2 == 0)
	n := z.Hk
	if rows {
		n = z.B
	}
	var list [2]half
	for i, bounds := range [][2]int{{0, n / 2}, {n / 2, n}} {
		h := half{geometry: z, rows: rows, lo: bounds[0], hi: bounds[1]}
		h.threads = 1
		if rows {
			h.B = h.hi - h.lo
			h.sequences = h.B
			h.plan = z.plan.ofRows(h.B)
		} else {
			h.Hk = h.hi - h.lo
		}
		list[i] = h
	}
	return list
}

// ofRows is the plan for n rows of a batch.
func (p plan) ofRows(n int) plan {
	segments := make([]span, len(p.segments))
	for i, s := range p.segments {
		segments[i] = s
		segments[i].active = make([]int, len(s.active))
		for j := range s.active {
			segments[i].active[j] = n
		}
	}
	p.segments = segments
	return p
}

// axis is the one that is parted, of tokens [B, T, heads, ...] or of states.
func (h half) axis(state bool) int {
	switch {
	case h.rows:
		return 0
	case state:
		return 1
	}
	return 2
}

// of returns the half's part of x, which may be nil; n is the number of parts in
// the whole, heads or rows.
func (h half) of(x *tensor.Tensor, state bool, n int) *tensor.Tensor {
	if x == nil {
		return nil
	}
	axis := h.axis(state)
	r := x.Dim(axis) / n
	return tensor.SliceAxis(x, axis, h.lo*r, h.hi*r)
}

// operands returns the half's part of operands.
func (h half) operands(list []*tensor.Tensor, n int) operands {
	parts := make([]*tensor.Tensor, operandCount)
	for i := range parts {
		parts[i] = h.of(list[i], i == operandState, n)
	}
	return operandsOf(parts)
}

// inHalves calls f for both halves, with handles of xs that make the second go
// aside, and returns the results of each; n is that of half.of.
func (z geometry) inHalves(f func(h half, n int, xs []*tensor.Tensor) []*tensor.Tensor, xs []*tensor.Tensor) (h half, results [2][]*tensor.Tensor) {
	halves := z.halves()
	n := halves[1].hi
	abreast(func(m meeting) {
		halves[0].meet = m
		results[0] = f(halves[0], n, xs)
	}, func(m meeting) {
		halves[1].meet = m
		results[1] = tensor.Aside(func(xs []*tensor.Tensor) []*tensor.Tensor { return f(halves[1], n, xs) }, xs...)
	})
	return halves[0], results
}

// rejoined puts the two halves of a tensor together, nil if they are.
func (h half) rejoined(results [2][]*tensor.Tensor, i int, state bool) *tensor.Tensor {
	if results[0][i] == nil {
		return nil
	}
	return tensor.Concat(h.axis(state), results[0][i], results[1][i])
}

// forwardInHalves is forward on two cores. It returns the starts of one half, and
// then those of the other.
func (z geometry) forwardInHalves(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	h, results := z.inHalves(func(h half, n int, xs []*tensor.Tensor) []*tensor.Tensor {
		o, ht, starts := h.forward(h.operands(xs, n))
		return append([]*tensor.Tensor{o, ht}, starts...)
	}, in.list())
	starts = append(results[0][2:], results[1][2:]...)
	return h.rejoined(results, 0, false), h.rejoined(results, 1, true), starts
}

// backwardInHalves is backward on two cores.
func (z geometry) backwardInHalves(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor, needs func(operand int) bool) gradients {
	const given = operandCount + 2
	xs := append(in.list(), do, dht)
	h, results := z.inHalves(func(h half, n int, xs []*tensor.Tensor) []*tensor.Tensor {
		starts := xs[given:]
		if m := len(starts) / 2; h.lo == 0 {
			starts = starts[:m]
		} else {
			starts = starts[m:]
		}
		do, dht := h.of(xs[operandCount], false, n), h.of(xs[operandCount+1], true, n)
		return h.backward(h.operands(xs, n), starts, do, dht, needs).list()
	}, append(xs, starts...))
	list := make([]*tensor.Tensor, operandCount)
	for i := range list {
		list[i] = h.rejoined(results, i, i == operandState)
	}
	return operandsOf(list)
}

// meeting is where a half waits for the other: it returns x such that it is there
// only when the other half has come as far. nil waits for nothing.
type meeting func(x *tensor.Tensor) *tensor.Tensor

func (m meeting) with(x *tensor.Tensor) *tensor.Tensor {
	if m == nil {
		return x
	}
	return m(x)
}

// abreast calls both functions, which must meet equally often: at each meeting
// one is left for the other. It takes turns, so that what is built is the same
// each time.
func abreast(first, second func(m meeting)) {
	var firsts *tensor.Tensor // what the first came to
	next, stop := iter.Pull(func(yield func(*tensor.Tensor) bool) {
		second(func(x *tensor.Tensor) *tensor.Tensor {
			if !yield(x) { // the first has failed
				return x
			}
			return tensor.After(x, firsts)
		})
	})
	defer stop()
	first(func(x *tensor.Tensor) *tensor.Tensor {
		seconds, _ := next()
		firsts = x
		return tensor.After(x, seconds)
	})
	next() // to the end
}
