package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// RMSNorm returns x/√(mean x² + eps) over the last axis, times weight [D] if
// that is not nil. It computes in float32 or better; the result has x's dtype.
func RMSNorm(x, weight *autograd.Var, eps float64) *autograd.Var {
	return normalized("RMSNorm", x, weight, eps)
}

// RMSNormZeroCentered is RMSNorm with the factor 1 + weight, so that weights of
// zero are neutral.
func RMSNormZeroCentered(x, weight *autograd.Var, eps float64) *autograd.Var {
	defer rename("RMSNormZeroCentered")
	notNil("RMSNormZeroCentered", weight)
	if weight.Dtype().Size() < tensor.Float32.Size() {
		weight = AsType(weight, tensor.Float32)
	}
	return normalized("RMSNormZeroCentered", x, AddScalar(weight, 1), eps)
}

// GatedRMSNorm returns RMSNorm(x, weight, eps)·SiLU(gate), computed in float32
// or better: the norm comes before the gate. The result has x's dtype.
func GatedRMSNorm(x, gate, weight *autograd.Var, eps float64) *autograd.Var {
	defer rename("GatedRMSNorm")
	notNil("GatedRMSNorm", x, gate)
	dtype := x.Dtype()
	if gate.Dtype().Size() < tensor.Float32.Size() {
		gate = AsType(gate, tensor.Float32)
	}
	y := Mul(normalized("GatedRMSNorm", x, weight, eps), SiLU(gate))
	if y.Dtype() != dtype {
		y = AsType(y, dtype)
	}
	return y
}

func normalized(name string, x, weight *autograd.Var, eps float64) *autograd.Var {
	f := &rmsNorm{name: name, eps: eps}
	if weight == nil {
		return apply(name, f, x)[0]
	}
	return apply(name, f, x, weight)[0]
}

// rmsNorm keeps x, the weight, and the factor r = 1/√(mean x² + eps) of each
// row.
type rmsNorm struct {
	name     string
	eps      float64
	operands []operand
}

func (n *rmsNorm) Name() string { return "ops." + n.name }

func (n *rmsNorm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	checkNorm(n.name, n.eps, in)
	x := widen(in[0])
	r := tensor.Rsqrt(tensor.AddScalar(tensor.Mean(tensor.Square(x), true, -1), n.eps))
	y := tensor.Mul(x, r)
	if len(in) > 1 {
		y = tensor.Mul(y, in[1])
	}
	for _, t := range in {
		n.operands = append(n.operands, operandOf(t))
	}
	ctx.Save(append([]*tensor.Tensor{r}, in...)...)
	return []*tensor.Tensor{n.operands[0].fit(y)}
}

func (n *rmsNorm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	g, r, x := widen(grad[0]), ctx.Saved(0), widen(ctx.Saved(1))
	out := make([]*tensor.Tensor, len(n.operands))
	unit := tensor.Mul(x, r) // the rows without weight
	if len(out) > 1 {
		if ctx.Needs(1) {
			out[1] = n.operands[1].fit(tensor.Mul(g, unit))
		}
		g = tensor.Mul(g, ctx.Saved(2))
	}
	if ctx.Needs(0) {
		along := tensor.Mean(tensor.Mul(g, unit), true, -1)
		out[0] = n.operands[0].fit(tensor.Mul(r, tensor.Sub(g, tensor.Mul(unit, along))))
	}
	return out
}

// checkNorm checks the operands x and, if there is one, weight.
func checkNorm(name string, eps float64, in []*tensor.Tensor) {
	x := in[0]
	switch {
	case x.NDim() == 0:
		panic(tensor.NewError("ops."+name, in, "want x with at least one axis"))
	case len(in) > 1 && (in[1].NDim() != 1 || in[1].Dim(0) != x.Dim(-1)):
		panic(tensor.NewError("ops."+name, in, "want a weight of shape [%d]", x.Dim(-1)))
	case !(eps >= 0):
		panic(tensor.NewError("ops."+name, in, "want eps >= 0, got %v", eps))
	}
}

// L2Norm returns x/√(Σx² + eps) over the last axis, computed in float32 or
// better. With eps > 0 a zero vector stays zero, and its gradient is finite.
func L2Norm(x *autograd.Var, eps float64) *autograd.Var { return apply("L2Norm", &l2Norm{eps: eps}, x)[0] }

// l2Norm keeps the result y and the factor r = 1/√(Σx² + eps) of each row.
type l2Norm struct {
	eps float64
}

func (*l2Norm) Name() string { return "ops.L2Norm" }

func (n *l2Norm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	checkNorm("L2Norm", n.eps, in)
	x := widen(in[0])
	r := tensor.Rsqrt(tensor.AddScalar(tensor.Sum(tensor.Square(x), true, -1), n.eps))
	y := operandOf(in[0]).fit(tensor.Mul(x, r))
	ctx.Save(y, r)
	return []*tensor.Tensor{y}
}

func (n *l2Norm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	g, y, r := widen(grad[0]), widen(ctx.Saved(0)), ctx.Saved(1)
	along := tensor.Sum(tensor.Mul(g, y), true, -1)
	dx := tensor.Mul(r, tensor.Sub(g, tensor.Mul(y, along)))
	return []*tensor.Tensor{operandOf(grad[0]).fit(dx)}
}
