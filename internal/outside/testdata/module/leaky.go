// Package leaky is a leaky integrator: an operation with its own gradient, and a
// layer around it.
package leaky

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// integrate is y[t] = a·y[t−1] + x[t] along axis 1, for x [B, T, D] and a [D].
type integrate struct{}

func (integrate) String() string { return "leaky.Integrate" }

func (integrate) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, a := in[0], in[1]
	if x.NDim() != 3 || a.NDim() != 1 || a.Dim(0) != x.Dim(2) {
		panic(tensor.NewError("leaky.Integrate", in, "want x [B, T, D] and a [D]"))
	}
	var y *tensor.Tensor
	steps := make([]*tensor.Tensor, x.Dim(1))
	for t := range steps {
		xt := tensor.SliceAxis(x, 1, t, t+1)
		if y == nil {
			y = xt
		} else {
			y = tensor.Add(tensor.Mul(a, y), xt)
		}
		steps[t] = y
	}
	out := tensor.Concat(1, steps...)
	ctx.Save(a, out)
	return []*tensor.Tensor{out}
}

// Backward runs through time the other way: g[t] = dy[t] + a·g[t+1] is the
// gradient of x[t], and that of a is Σ g[t+1]·y[t].
func (integrate) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, y, dy := ctx.Saved(0), ctx.Saved(1), grad[0]
	n := y.Dim(1)
	steps := make([]*tensor.Tensor, n)
	var g *tensor.Tensor
	for t := n - 1; t >= 0; t-- {
		dyt := tensor.SliceAxis(dy, 1, t, t+1)
		if g == nil {
			g = dyt
		} else {
			g = tensor.Add(dyt, tensor.Mul(a, g))
		}
		steps[t] = g
	}
	dx := tensor.Concat(1, steps...)
	if !ctx.Needs(1) {
		return []*tensor.Tensor{dx, nil}
	}
	if n == 1 {
		return []*tensor.Tensor{dx, tensor.ZerosLike(a)}
	}
	da := tensor.Mul(tensor.SliceAxis(dx, 1, 1, n), tensor.SliceAxis(y, 1, 0, n-1))
	return []*tensor.Tensor{dx, tensor.SumTo(da, a.Shape())}
}

// Integrate returns the leaky sums of x [B, T, D] along axis 1, with decays a
// [D].
func Integrate(x, a *autograd.Var) *autograd.Var { return autograd.Apply(integrate{}, x, a)[0] }

// Layer mixes tokens by leaky sums with learned decays, one for each channel.
type Layer struct {
	In    *nn.Linear      `param:"in"`
	Decay *autograd.Param `param:"decay"` // before the sigmoid
	Out   *nn.Linear      `param:"out"`
}

// NewLayer makes a layer of the given width.
func NewLayer(key *tensor.Tensor, width int) *Layer {
	keys := tensor.Split(key, 3)
	return &Layer{
		In:    nn.NewLinear(keys[0], width, width, false),
		Decay: autograd.NewParam("decay", tensor.Normal(keys[1], width)),
		Out:   nn.NewLinear(keys[2], width, width, true),
	}
}

// Forward maps x [B, T, D] to the same shape.
func (l *Layer) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	h := Integrate(l.In.Forward(tape, x), ops.Sigmoid(tape.Param(l.Decay)))
	return l.Out.Forward(tape, ops.SiLU(h))
}
