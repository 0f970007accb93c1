package nn

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// ShortConv is a causal depthwise convolution over time, followed by SiLU:
//
//	y[b, t, c] = SiLU(Σ_i w[c, 0, i] · x[b, t−W+1+i, c])
//
// with zeros before the start, so that w[c, 0, W−1] meets the present token.
type ShortConv struct {
	Weight *autograd.Param `param:"weight"` // [C, 1, W]
}

// NewShortConv makes a layer of width taps for each of the channels, uniform in
// ±1/√width as PyTorch's convolution is.
func NewShortConv(key *tensor.Tensor, channels, width int) *ShortConv {
	checkSizes("nn.NewShortConv", channels, width)
	return &ShortConv{Weight: uniform("weight", key, 1/math.Sqrt(float64(width)), channels, 1, width)}
}

// Forward maps x [B, T, C] to [B, T, C].
func (c *ShortConv) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	c.check(x)
	return ops.ShortConvSiLU(x, c.taps(tape))
}

// Continue is Forward for a sequence that goes on: tail [B, W−1, C] holds the
// inputs before x (zeros at the start). It also returns the tail to go on with.
func (c *ShortConv) Continue(tape *autograd.Tape, x, tail *autograd.Var) (y, next *autograd.Var) {
	c.check(x)
	before := c.Weight.Value().Dim(2) - 1
	if tail.NDim() != 3 || tail.Dim(0) != x.Dim(0) || tail.Dim(1) != before || tail.Dim(2) != x.Dim(2) {
		panic(tensor.NewError("nn.ShortConv.Continue", []*tensor.Tensor{x.Value(), tail.Value()}, "want a tail [B, %d, C] for x [B, T, C]", before))
	}
	all := ops.Concat(1, tail, x)
	n := all.Dim(1)
	if x.Dim(1) == 1 { // a step of decoding, with no SiLU of what is cut off
		y = ops.SiLU(ops.SliceAxis(ops.ShortConv(all, c.taps(tape)), 1, before, n))
	} else {
		y = ops.SliceAxis(ops.ShortConvSiLU(all, c.taps(tape)), 1, before, n)
	}
	return y, ops.SliceAxis(all, 1, n-before, n)
}

// taps is the weight as [C, W].
func (c *ShortConv) taps(tape *autograd.Tape) *autograd.Var {
	return ops.Squeeze(tape.Param(c.Weight), 1)
}

func (c *ShortConv) check(x *autograd.Var) {
	w := c.Weight.Value()
	if x.NDim() != 3 || x.Dim(2) != w.Dim(0) {
		panic(tensor.NewError("nn.ShortConv", []*tensor.Tensor{x.Value(), w}, "want x [B, T, %d]", w.Dim(0)))
	}
}
