package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// Some ops are one kernel of package metal forward and one backward, where the op
// graph has many operations. They are autograd.Functions beside those of the op
// graph, and the public function chooses.

// fusedDevice is the default device on which kernels are chosen. Tests set it to
// tensor.CPU, where the kernels run in the emulator.
var fusedDevice = tensor.GPU

// canFuse reports whether ops may take kernels here. Functions that are traced keep
// the op graph: the engine fuses it itself for Compile, and can't differentiate a
// kernel for VJP.
func canFuse() bool { return tensor.DefaultDevice() == fusedDevice && !tensor.Tracing() }

// fusedL2Norm keeps x alone.
type fusedL2Norm struct{ eps float64 }

func (fusedL2Norm) String() string { return "ops.L2Norm" }

func (n fusedL2Norm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	checkNorm("L2Norm", in[0], nil, "", n.eps)
	ctx.Save(in[0])
	return []*tensor.Tensor{metal.L2Norm(in[0], n.eps)}
}

func (n fusedL2Norm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{metal.L2NormBackward(ctx.Saved(0), grad[0], n.eps)}
}

// fusedGatedNorm is GatedRMSNorm of x, the gate and a weight, and keeps these.
type fusedGatedNorm struct{ eps float64 }

func (fusedGatedNorm) String() string { return "ops.GatedRMSNorm" }

func (n fusedGatedNorm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, gate, weight := in[0], in[1], in[2]
	checkNorm("GatedRMSNorm", x, weight, "weight", n.eps)
	ctx.Save(x, gate, weight)
	return []*tensor.Tensor{metal.GatedNorm(x, widen(weight), gate, n.eps)}
}

func (n fusedGatedNorm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, gate, weight := ctx.Saved(0), ctx.Saved(1), ctx.Saved(2)
	dx, dw, dgate := metal.GatedNormBackward(x, widen(weight), gate, grad[0], n.eps)
	return []*tensor.Tensor{dx, dgate, narrow(dw, weight.Dtype())}
}

// fusedConvSiLU is ShortConvSiLU of x and filters, and keeps these.
type fusedConvSiLU struct{}

func (fusedConvSiLU) String() string { return "ops.ShortConvSiLU" }

func (fusedConvSiLU) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, w := in[0], in[1]
	checkShortConv(x, w)
	ctx.Save(x, w)
	return []*tensor.Tensor{metal.ConvSiLU(x, widen(w))}
}

func (fusedConvSiLU) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, w := ctx.Saved(0), ctx.Saved(1)
	dx, dw := metal.ConvSiLUBackward(x, widen(w), grad[0])
	return []*tensor.Tensor{dx, narrow(dw, w.Dtype())}
}
