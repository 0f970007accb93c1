package nn

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Linear is y = x·Wᵀ + b over the last axis.
type Linear struct {
	Weight *autograd.Param `param:"weight"` // [out, in]
	Bias   *autograd.Param `param:"bias"`   // [out], or nil
}

// NewLinear makes a layer from in to out features. Weights are normal with
// standard deviation 1/√in, so that unit inputs give unit outputs at any width
// (0.02, the usual choice of large models, is the same at 2,500 inputs and slow
// to learn from at 128); the bias is zero.
func NewLinear(key *tensor.Tensor, in, out int, bias bool) *Linear {
	checkSizes("nn.NewLinear", in, out)
	l := &Linear{Weight: normal("weight", key, lecun(in), out, in)}
	if bias {
		l.Bias = constant("bias", 0, out)
	}
	return l
}

// Forward maps x [..., in] to [..., out].
func (l *Linear) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	var bias *autograd.Var
	if l.Bias != nil {
		bias = tape.Param(l.Bias)
	}
	return autograd.Apply(linear{}, x, tape.Param(l.Weight), bias)[0]
}

// linear is y = x·wᵀ + b as one op; b may be nil. All leading axes are one axis of
// rows for it, which makes each product a single matrix multiplication, and the
// weight's gradient comes in the weight's own layout: with a transposed weight
// and a general product it would come transposed, and slow the optimiser down.
type linear struct{}

func (linear) String() string { return "nn.Linear" }

func (linear) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, w, b := in[0], in[1], in[2]
	if x.NDim() == 0 || w.NDim() != 2 || x.Dim(-1) != w.Dim(1) {
		panic(tensor.NewError("nn.Linear", []*tensor.Tensor{x, w}, "want x [..., in] and a weight [out, in]"))
	}
	ctx.Save(x, w, b)
	rows, wt := tensor.Reshape(x, rowCount(x), w.Dim(1)), tensor.Transpose(w)
	var y *tensor.Tensor
	if b == nil {
		y = tensor.MatMul(rows, wt)
	} else {
		y = tensor.AddMM(b, rows, wt, 1, 1)
	}
	shape := x.Shape()
	shape[len(shape)-1] = w.Dim(0)
	return []*tensor.Tensor{tensor.Reshape(y, shape...)}
}

func (linear) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, w, b := ctx.Saved(0), ctx.Saved(1), ctx.Saved(2)
	dy := tensor.Reshape(grad[0], rowCount(x), w.Dim(0))
	out := make([]*tensor.Tensor, 3)
	if ctx.Needs(0) {
		out[0] = tensor.Reshape(as(x, tensor.MatMul(dy, w)), x.Shape()...)
	}
	if ctx.Needs(1) {
		out[1] = as(w, tensor.MatMul(tensor.Transpose(dy), tensor.Reshape(x, rowCount(x), w.Dim(1))))
	}
	if ctx.Needs(2) {
		out[2] = as(b, tensor.Sum(dy, false, 0))
	}
	return out
}

// as returns a gradient in the dtype of its operand.
func as(operand, grad *tensor.Tensor) *tensor.Tensor {
	if grad.Dtype() == operand.Dtype() {
		return grad
	}
	return tensor.AsType(grad, operand.Dtype())
}

// rowCount is the product of all axes but the last.
func rowCount(x *tensor.Tensor) int {
	n := 1
	for i := range x.NDim() - 1 {
		n *= x.Dim(i)
	}
	return n
}
