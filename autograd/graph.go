package autograd

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// mode says what becomes of the operations of a graph.
type mode int

const (
	off       mode = iota // not recorded, and no Var requires a gradient
	tracking              // not recorded, but it is known which Vars require one
	recording             // recorded
)

// graph is a recording: that of a tape, or within it that of a Checkpoint while
// its function runs.
type graph struct {
	tape  *Tape
	outer *graph // nil for a tape's own
	mode  mode

	last  *Context // the newest node; nodes are a list, in the order of their application, which is topological
	slots int      // gradients that a sweep may meet
	hooks map[int][]hook

	// Vars of outer that the function of a Checkpoint reached without having
	// them as arguments, and what stands for them here.
	captured []*Var
	standIns map[*Var]*Var
}

// record adds a node.
func (g *graph) record(ctx *Context) { ctx.before, g.last = g.last, ctx }

// nodes lists the nodes, oldest first.
func (g *graph) nodes() []*Context {
	var list []*Context
	for ctx := g.last; ctx != nil; ctx = ctx.before {
		list = append(list, ctx)
	}
	slices.Reverse(list)
	return list
}

func (g *graph) newVar(value *tensor.Tensor, requires bool) *Var {
	v := g.tape.spareVar()
	v.graph, v.value, v.requires = g, value, requires && g.mode != off
	if v.requires {
		v.slot = g.slots
		g.slots++
	}
	return v
}

func (g *graph) newLeaf(value *tensor.Tensor, requires bool) *Var {
	v := g.newVar(value, requires)
	v.leaf = true
	return v
}

// enter starts a graph inside the current one, which leave goes back to.
func (t *Tape) enter(m mode) *graph {
	t.graph = &graph{tape: t, outer: t.graph, mode: m, standIns: make(map[*Var]*Var)}
	return t.graph
}

func (g *graph) leave() { g.tape.graph = g.outer }

// local returns what stands for v in g. A Var of a graph around g is captured,
// level by level, so that its gradient finds the way back.
func (g *graph) local(op Function, v *Var) *Var {
	if v.graph == g {
		return v
	}
	if g.outer == nil {
		panic(foreign(op, g, v))
	}
	outer := g.outer.local(op, v)
	if !outer.requires {
		return outer
	}
	in, ok := g.standIns[outer]
	if !ok {
		if g.mode == recording {
			panic(tensor.NewError("autograd.Checkpoint", []*tensor.Tensor{v.value},
				"the function reaches a value that it did not reach in the forward pass: it must do the same each time"))
		}
		in = g.newVar(outer.value, true)
		g.standIns[outer] = in
		g.captured = append(g.captured, outer)
	}
	return in
}

// foreign is the error of an operand that is on no graph around g.
func foreign(op Function, g *graph, v *Var) *tensor.Error {
	msg := "an operand is on another tape"
	if v.graph.tape == g.tape {
		msg = "an operand was made inside a Checkpoint that has ended; its function has to return what is used after it"
	}
	return tensor.NewError("autograd.Apply("+nameOf(op)+")", []*tensor.Tensor{v.value}, "%s", msg)
}
