package autograd

import (
	"slices"
	"sync"

	"github.com/deltatape/deltatape/tensor"
)

// Tape records operations and owns the tensors that they make. It serves one
// goroutine at a time.
type Tape struct {
	scope *tensor.Scope
	root  *graph // what Backward walks
	graph *graph // where Apply records: root, or the graph of a running Checkpoint

	leaves  map[*Param]leaf
	inOrder []*Param // the keys of leaves, oldest first

	retain, anomaly, closed bool

	slabs []*slab  // hold the Contexts
	used  int      // of the last slab
	spare *Context // given back by an operation that was not recorded

	// Made in numbers, since one at a time costs more. They are not used again: who
	// has one may keep it.
	vars  []Var
	lists []*Var

	// Memory that recording uses again and again.
	operands []*tensor.Tensor // a stack of argument lists
	fresh    []*tensor.Tensor
}

// slab is memory for Contexts that goes from closed tapes to new ones, so that
// training makes little work for the garbage collector.
type slab [64]Context

var slabs = sync.Pool{New: func() any { return new(slab) }}

// leaf is the Var of a parameter and the version of the value that it took.
type leaf struct {
	v       *Var
	version uint64
}

// NewTape returns a tape that records.
func NewTape() *Tape { return newTape(recording) }

// NoGrad returns a tape that never records, for evaluation and generation. Its
// Vars require no gradient.
func NoGrad() *Tape { return newTape(off) }

func newTape(m mode) *Tape {
	t := &Tape{scope: tensor.NewScope(), leaves: make(map[*Param]leaf)}
	t.root = &graph{tape: t, mode: m}
	t.graph = t.root
	return t
}

// Recording reports whether operations on the tape are recorded.
func (t *Tape) Recording() bool { return t.graph.mode == recording }

// Retain makes the tape keep what Functions saved after a backward pass, so
// that there may be another one. Without it a second pass is an error.
func (t *Tape) Retain() { t.retain = true }

// DetectAnomaly makes the tape remember where operations are applied from now
// on, and makes the backward pass evaluate every value and gradient and stop at
// the first that fails, or that holds a NaN or an infinity. It is slow: for
// finding mistakes.
func (t *Tape) DetectAnomaly() { t.anomaly = true }

// Var puts x on the tape as a value whose gradient is wanted. x must be of a
// floating-point dtype. It stays the caller's.
func (t *Tape) Var(x *tensor.Tensor) *Var {
	t.mustBeOpen("Tape.Var")
	h := t.scope.Use(x)
	if !x.Dtype().IsFloat() {
		panic(tensor.NewError("autograd.Tape.Var", []*tensor.Tensor{x},
			"want a floating-point dtype, got %s; Const takes any", x.Dtype()))
	}
	return t.graph.newLeaf(h, true)
}

// Const puts x on the tape as a value without a gradient. It stays the
// caller's.
func (t *Tape) Const(x *tensor.Tensor) *Var {
	t.mustBeOpen("Tape.Const")
	return t.graph.newLeaf(t.scope.Use(x), false)
}

// Param returns the leaf of p on this tape. All uses of a parameter on a tape
// share it, so that their gradients add up. It requires a gradient if p is
// trainable at its first use.
func (t *Tape) Param(p *Param) *Var {
	t.mustBeOpen("Tape.Param")
	l, ok := t.leaves[p]
	if !ok {
		if p == nil {
			panic(tensor.NewError("autograd.Tape.Param", nil, "the parameter is nil"))
		}
		l = leaf{t.root.newLeaf(t.scope.Use(p.value), p.trainable), p.version}
		t.leaves[p] = l
		t.inOrder = append(t.inOrder, p)
	}
	if l.version != p.version {
		panic(tensor.NewError("autograd.Tape.Param", nil,
			"parameter %q was set after this tape took its value; use a new tape", p.name))
	}
	return l.v
}

// Params lists the parameters that have a leaf on the tape, in the order of
// their first use.
func (t *Tape) Params() []*Param { return slices.Clone(t.inOrder) }

// Keep moves tensors out of the tape, so that they outlive it.
func (t *Tape) Keep(ts ...*tensor.Tensor) { t.scope.Keep(ts...) }

// Close releases every tensor of the tape. Graphs that were built from them
// stay valid. Closing twice does nothing.
func (t *Tape) Close() {
	t.scope.Close()
	t.closed = true
	*t.root = graph{tape: t, mode: t.root.mode}
	t.graph = t.root
	t.leaves, t.inOrder = nil, nil
	for _, s := range t.slabs {
		clear(s[:])
		slabs.Put(s)
	}
	t.slabs, t.spare, t.operands, t.fresh = nil, nil, nil, nil
	t.vars, t.lists = nil, nil
}

func (t *Tape) mustBeOpen(op string) {
	if t.closed {
		panic(tensor.NewError("autograd."+op, nil, "the tape is closed"))
	}
}

// newContext returns the zero Context of an operation that starts.
func (t *Tape) newContext() *Context {
	if ctx := t.spare; ctx != nil {
		t.spare = nil
		return ctx
	}
	if len(t.slabs) == 0 || t.used == len(slab{}) {
		t.slabs = append(t.slabs, slabs.Get().(*slab))
		t.used = 0
	}
	ctx := &t.slabs[len(t.slabs)-1][t.used]
	t.used++
	return ctx
}

// spareVar returns a zero Var.
func (t *Tape) spareVar() *Var {
	if len(t.vars) == 0 {
		t.vars = make([]Var, 32)
	}
	v := &t.vars[0]
	t.vars = t.vars[1:]
	return v
}

// spareList returns a list for n Vars.
func (t *Tape) spareList(n int) []*Var {
	if n > len(t.lists) {
		t.lists = make([]*Var, max(n, 64))
	}
	list := t.lists[:n:n]
	t.lists = t.lists[n:]
	return list
}

// reuse takes back the Context of an operation that was not recorded.
func (t *Tape) reuse(ctx *Context) {
	*ctx = Context{}
	t.spare = ctx
}

// mark is a moment in the life of a tape.
type mark struct{ tensors, params int }

func (t *Tape) mark() mark { return mark{t.scope.Mark(), len(t.inOrder)} }

// since lists the tensors that were made since m, parameters excepted. The
// list is valid until the next call.
func (t *Tape) since(m mark) []*tensor.Tensor {
	clear(t.fresh)
	t.fresh = t.scope.AppendSince(t.fresh[:0], m.tensors)
	for _, p := range t.inOrder[m.params:] {
		take(t.fresh, t.leaves[p].v.value)
	}
	return t.fresh
}

// take replaces x in the list by nil and reports whether it was there.
func take(list []*tensor.Tensor, x *tensor.Tensor) bool {
	i := slices.Index(list, x)
	if i < 0 {
		return false
	}
	list[i] = nil
	return true
}
