package autograd

import "github.com/deltatape/deltatape/tensor"

// Gradients are the results of a backward pass. The tensors belong to the
// tape: what is to outlive it is moved out with Tape.Keep.
type Gradients struct {
	graph  *graph
	bySlot []*tensor.Tensor
	leaves map[*Param]leaf
}

// Of returns the gradient of v, a Var made by Tape.Var or Tape.Param, or nil if
// it got none. Gradients of Vars between those and the loss are not kept;
// Tape.Grad returns them.
func (g *Gradients) Of(v *Var) *tensor.Tensor {
	if v == nil || v.graph != g.graph || !v.requires || v.slot >= len(g.bySlot) {
		return nil
	}
	return g.bySlot[v.slot]
}

// OfParam returns the gradient of p, or nil if it got none.
func (g *Gradients) OfParam(p *Param) *tensor.Tensor { return g.Of(g.leaves[p].v) }
