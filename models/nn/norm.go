package nn

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// RMSNorm divides by the root mean square of the last axis and scales:
// y = x / √(mean(x²) + ε) · w. The zero-centred form scales by 1 + w, so that
// weight decay pulls towards no scaling.
type RMSNorm struct {
	Weight *autograd.Param `param:"weight"` // [dim]

	eps          float64
	zeroCentered bool
}

// NewRMSNorm makes the plain form, with w = 1.
func NewRMSNorm(dim int, eps float64) *RMSNorm {
	checkSizes("nn.NewRMSNorm", dim)
	return &RMSNorm{Weight: constant("weight", 1, dim), eps: eps}
}

// NewZeroCenteredRMSNorm makes the zero-centred form, with w = 0.
func NewZeroCenteredRMSNorm(dim int, eps float64) *RMSNorm {
	checkSizes("nn.NewZeroCenteredRMSNorm", dim)
	return &RMSNorm{Weight: constant("weight", 0, dim), eps: eps, zeroCentered: true}
}

// Forward normalises x [..., dim].
func (n *RMSNorm) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	checkFeatures("nn.RMSNorm", x, n.Weight)
	if n.zeroCentered {
		return ops.RMSNormZeroCentered(x, tape.Param(n.Weight), n.eps)
	}
	return ops.RMSNorm(x, tape.Param(n.Weight), n.eps)
}

// GatedRMSNorm is a plain RMSNorm whose result passes a gate:
// y = RMSNorm(x) · SiLU(gate).
type GatedRMSNorm struct {
	Weight *autograd.Param `param:"weight"` // [dim]

	eps float64
}

// NewGatedRMSNorm makes the layer with w = 1.
func NewGatedRMSNorm(dim int, eps float64) *GatedRMSNorm {
	checkSizes("nn.NewGatedRMSNorm", dim)
	return &GatedRMSNorm{Weight: constant("weight", 1, dim), eps: eps}
}

// Forward normalises x [..., dim] and gates it with gate, of the same shape.
func (n *GatedRMSNorm) Forward(tape *autograd.Tape, x, gate *autograd.Var) *autograd.Var {
	checkFeatures("nn.GatedRMSNorm", x, n.Weight)
	return ops.GatedRMSNorm(x, gate, tape.Param(n.Weight), n.eps)
}

// checkFeatures panics unless x's last axis fits a weight [dim].
func checkFeatures(op string, x *autograd.Var, weight *autograd.Param) {
	w := weight.Value()
	if x.NDim() == 0 || x.Dim(-1) != w.Dim(0) {
		panic(tensor.NewError(op, []*tensor.Tensor{x.Value(), w}, "want x [..., %d]", w.Dim(0)))
	}
}
