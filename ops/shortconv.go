package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// ShortConv convolves each channel of x [B, T, C] with its own short filter,
// causally: y[b, t, c] = Σ_i w[c, i]·x[b, t−W+1+i, c] with w [C, W], so that
// w[:, W−1] meets the current position; before the start x is zero. Half
// precision is added up in float32.
//
// It costs W multiply-adds of x's size, which suits W = 4.
func ShortConv(x, w *autograd.Var) *autograd.Var {
	notNil("ShortConv", x, w)
	return apply("ShortConv", shortConv{}, x, w)[0]
}

// ShortConvSiLU returns SiLU(ShortConv(x, w)). On a GPU it is one kernel for filters
// of up to 8 taps.
func ShortConvSiLU(x, w *autograd.Var) *autograd.Var {
	defer rename("ShortConvSiLU")
	notNil("ShortConvSiLU", x, w)
	if canFuse() && metal.ConvRefusal(x.Value(), w.Value()) == "" {
		return apply("ShortConvSiLU", fusedConvSiLU{}, x, w)[0]
	}
	return SiLU(ShortConv(x, w))
}

// shortConv keeps x and the filters.
type shortConv struct{}

func (shortConv) String() string { return "ops.ShortConv" }

func (shortConv) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, w := in[0], in[1]
	checkShortConv(x, w)
	ctx.Save(x, w)
	past := tensor.Pad(widen(x), [][2]int{{0, 0}, {w.Dim(1) - 1, 0}, {0, 0}}, 0)
	return []*tensor.Tensor{fit(correlate(past, taps(w)), x)}
}

func (shortConv) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, w, g := ctx.Saved(0), ctx.Saved(1), widen(grad[0])
	steps, width := x.Dim(1), w.Dim(1)
	out := make([]*tensor.Tensor, 2)
	if ctx.Needs(0) { // the same, back in time
		future := tensor.Pad(g, [][2]int{{0, 0}, {0, width - 1}, {0, 0}}, 0)
		out[0] = fit(correlate(future, tensor.Flip(taps(w), 0)), x)
	}
	if ctx.Needs(1) {
		wide := widen(x)
		columns := make([]*tensor.Tensor, width)
		for i := range columns {
			lag := min(width-1-i, steps)
			now, then := tensor.SliceAxis(g, 1, lag, steps), tensor.SliceAxis(wide, 1, 0, steps-lag)
			columns[i] = tensor.Sum(tensor.Mul(now, then), false, 0, 1)
		}
		out[1] = fit(tensor.Stack(1, columns...), w)
	}
	return out
}

func checkShortConv(x, w *tensor.Tensor) {
	if x.NDim() != 3 || w.NDim() != 2 || x.Dim(2) != w.Dim(0) || w.Dim(1) == 0 {
		panic(tensor.NewError("ops.ShortConv", []*tensor.Tensor{x, w}, "want x [B, T, C] and w [C, W]"))
	}
}

// taps returns filters [C, W] as rows [W, C].
func taps(w *tensor.Tensor) *tensor.Tensor { return tensor.Contiguous(tensor.Transpose(widen(w))) }

// correlate returns Σ_i taps[i]·x[:, t+i] for all t for which x has every term.
func correlate(x, taps *tensor.Tensor) *tensor.Tensor {
	width := taps.Dim(0)
	steps := x.Dim(1) - width + 1
	var y *tensor.Tensor
	for i := range width {
		term := tensor.Mul(tensor.SliceAxis(x, 1, i, i+steps), tensor.SliceAxis(taps, 0, i, i+1))
		if y == nil {
			y = term
		} else {
			y = tensor.Add(y, term)
		}
	}
	return y
}
