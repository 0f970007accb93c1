package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
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
	if isHalf(weight.Dtype()) {
		weight = AsType(weight, tensor.Float32)
	}
	return normalized("RMSNormZeroCentered", x, AddScalar(weight, 1), eps)
}

// GatedRMSNorm returns RMSNorm(x, weight, eps)·SiLU(gate), computed in float32
// or better: the norm comes before the gate, which has x's shape. The result
// has x's dtype. On a GPU it is one kernel for rows of up to 256 elements, if the
// gate has x's dtype and there is a weight.
func GatedRMSNorm(x, gate, weight *autograd.Var, eps float64) *autograd.Var {
	defer rename("GatedRMSNorm")
	notNil("GatedRMSNorm", x, gate)
	if !sameShape(x.Value(), gate.Value()) {
		panic(tensor.NewError("ops.GatedRMSNorm", []*tensor.Tensor{x.Value(), gate.Value()}, "want x and gate of one shape"))
	}
	if canFuse() && weight != nil && gate.Dtype() == x.Dtype() && metal.RowsRefusal(x.Value()) == "" && metal.RowsRefusal(weight.Value()) == "" {
		return apply("GatedRMSNorm", fusedGatedNorm{eps}, x, gate, weight)[0]
	}
	if isHalf(gate.Dtype()) {
		gate = AsType(gate, tensor.Float32)
	}
	y := Mul(normalized("GatedRMSNorm", x, weight, eps), SiLU(gate))
	if y.Dtype() != x.Dtype() {
		y = AsType(y, x.Dtype())
	}
	return y
}

func normalized(name string, x, weight *autograd.Var, eps float64) *autograd.Var {
	notNil(name, x)
	return apply(name, rmsNorm{name, eps}, x, weight)[0]
}

// rmsNorm keeps x, the weight, and the factor r = 1/√(mean x² + eps) of each
// row.
type rmsNorm struct {
	name string
	eps  float64
}

func (n rmsNorm) String() string { return "ops." + n.name }

func (n rmsNorm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	weight := in[1]
	checkNorm(n.name, in[0], weight, "weight", n.eps)
	x := widen(in[0])
	r := tensor.Rsqrt(tensor.AddScalar(tensor.Mean(tensor.Square(x), true, -1), n.eps))
	y := tensor.Mul(x, r)
	if weight != nil {
		y = tensor.Mul(y, weight)
	}
	ctx.Save(in[0], weight, r)
	return []*tensor.Tensor{fit(y, in[0])}
}

func (n rmsNorm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, weight, r := ctx.Saved(0), ctx.Saved(1), ctx.Saved(2)
	g := widen(grad[0])
	unit := tensor.Mul(widen(x), r) // the result without weight
	out := make([]*tensor.Tensor, 2)
	if ctx.Needs(1) {
		out[1] = fit(tensor.Mul(g, unit), weight)
	}
	if ctx.Needs(0) {
		if weight != nil {
			g = tensor.Mul(g, weight)
		}
		along := tensor.Mean(tensor.Mul(g, unit), true, -1)
		out[0] = fit(tensor.Mul(r, tensor.Sub(g, tensor.Mul(unit, along))), x)
	}
	return out
}

// checkNorm checks the operands of a norm; weight may be nil. what is its name.
func checkNorm(name string, x, weight *tensor.Tensor, what string, eps float64) {
	bad := func(format string, args ...any) {
		panic(tensor.NewError("ops."+name, []*tensor.Tensor{x, weight}, format, args...))
	}
	switch {
	case x.NDim() == 0:
		bad("want x with at least one axis")
	case !x.Dtype().IsFloat():
		bad("want a floating-point x, got %s", x.Dtype())
	case weight != nil && (weight.NDim() != 1 || weight.Dim(0) != x.Dim(-1)):
		bad("want a %s of shape [%d]", what, x.Dim(-1))
	case !(eps >= 0):
		bad("want eps >= 0, got %v", eps)
	}
}

// L2Norm returns x/√(Σx² + eps) over the last axis, computed in float32 or
// better. With eps > 0 a zero vector stays zero, and its gradient is finite. On a
// GPU it is one kernel for rows of up to 256 elements.
func L2Norm(x *autograd.Var, eps float64) *autograd.Var {
	notNil("L2Norm", x)
	if canFuse() && metal.RowsRefusal(x.Value()) == "" {
		return apply("L2Norm", fusedL2Norm{eps}, x)[0]
	}
	return apply("L2Norm", l2Norm{eps}, x)[0]
}

// l2Norm keeps the result y and the factor r = 1/√(Σx² + eps) of each row.
type l2Norm struct{ eps float64 }

func (l2Norm) String() string { return "ops.L2Norm" }

func (n l2Norm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	checkNorm("L2Norm", in[0], nil, "", n.eps)
	x := widen(in[0])
	r := tensor.Rsqrt(tensor.AddScalar(tensor.Sum(tensor.Square(x), true, -1), n.eps))
	y := fit(tensor.Mul(x, r), in[0])
	ctx.Save(y, r)
	return []*tensor.Tensor{y}
}

func (l2Norm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	y, r := ctx.Saved(0), ctx.Saved(1)
	g, wide := widen(grad[0]), widen(y)
	along := tensor.Sum(tensor.Mul(g, wide), true, -1)
	dx := tensor.Mul(r, tensor.Sub(g, tensor.Mul(wide, along)))
	return []*tensor.Tensor{fit(dx, y)}
}

// LayerNorm returns (x − mean)/√(var + eps) over the last axis, times weight [D]
// and plus bias [D] if those are not nil. It computes in float32 or better; the
// result has x's dtype. With eps > 0 a row of equal elements becomes zeros, and
// its gradient is finite.
func LayerNorm(x, weight, bias *autograd.Var, eps float64) *autograd.Var {
	notNil("LayerNorm", x)
	return apply("LayerNorm", layerNorm{eps}, x, weight, bias)[0]
}

// layerNorm keeps its operands, and of each row the mean and the factor
// r = 1/√(var + eps).
type layerNorm struct{ eps float64 }

func (layerNorm) String() string { return "ops.LayerNorm" }

func (n layerNorm) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	weight, bias := in[1], in[2]
	checkNorm("LayerNorm", in[0], weight, "weight", n.eps)
	checkNorm("LayerNorm", in[0], bias, "bias", n.eps)
	x := widen(in[0])
	mean := tensor.Mean(x, true, -1)
	centered := tensor.Sub(x, mean)
	r := tensor.Rsqrt(tensor.AddScalar(tensor.Mean(tensor.Square(centered), true, -1), n.eps))
	y := tensor.Mul(centered, r)
	if weight != nil {
		y = tensor.Mul(y, weight)
	}
	if bias != nil {
		y = tensor.Add(y, bias)
	}
	ctx.Save(in[0], weight, bias, mean, r)
	return []*tensor.Tensor{fit(y, in[0])}
}

func (layerNorm) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, weight, bias, mean, r := ctx.Saved(0), ctx.Saved(1), ctx.Saved(2), ctx.Saved(3), ctx.Saved(4)
	g := widen(grad[0])
	unit := tensor.Mul(tensor.Sub(widen(x), mean), r) // the result without weight and bias
	out := make([]*tensor.Tensor, 3)
	if ctx.Needs(1) {
		out[1] = fit(tensor.Mul(g, unit), weight)
	}
	if ctx.Needs(2) {
		out[2] = fit(g, bias)
	}
	if ctx.Needs(0) {
		if weight != nil {
			g = tensor.Mul(g, weight)
		}
		level, along := tensor.Mean(g, true, -1), tensor.Mean(tensor.Mul(g, unit), true, -1)
		out[0] = fit(tensor.Mul(r, tensor.Sub(tensor.Sub(g, level), tensor.Mul(unit, along))), x)
	}
	return out
}
