package nn

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// SwiGLU is the gated feed-forward layer of Shazeer, arXiv 2002.05202:
// y = Down(SiLU(Gate(x)) · Up(x)).
type SwiGLU struct {
	Gate *Linear `param:"gate_proj"` // dim to hidden
	Up   *Linear `param:"up_proj"`   // dim to hidden
	Down *Linear `param:"down_proj"` // hidden to dim
}

// NewSwiGLU makes the layer without biases.
func NewSwiGLU(key *tensor.Tensor, dim, hidden int) *SwiGLU {
	checkSizes("nn.NewSwiGLU", dim, hidden)
	keys := tensor.Split(key, 3)
	defer tensor.Free(keys...)
	return &SwiGLU{
		Gate: NewLinear(keys[0], dim, hidden, false),
		Up:   NewLinear(keys[1], dim, hidden, false),
		Down: NewLinear(keys[2], hidden, dim, false),
	}
}

// Forward maps x [..., dim] to [..., dim].
func (m *SwiGLU) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	gate := ops.SiLU(m.Gate.Forward(tape, x))
	return m.Down.Forward(tape, ops.Mul(gate, m.Up.Forward(tape, x)))
}
