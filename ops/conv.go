package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Conv1DOptions are options of Conv1D. The zero value is a dense convolution in
// steps of 1 without padding.
type Conv1DOptions struct {
	Stride   int // between results; 0 means 1
	Padding  int // zeros at both ends
	Dilation int // distance of taps; 0 means 1
	Groups   int // into which channels are divided; 0 means 1
}

// Conv1D returns the cross-correlation of x [N, L, Cin] with w [Cout, W,
// Cin/groups], a tensor [N, L', Cout] with
// y[n, t, o] = Σ_{i,c} w[o, i, c]·x[n, t·stride + i·dilation − padding, c].
// Zeros pad both ends of L; L' = ⌊(L + 2·padding − dilation·(W−1) − 1)/stride⌋ + 1.
// The filter must not span more positions than there are, but for a width of 1
// over none, which gives none.
// Half precision is added up in float32. For short causal filters of single
// channels ShortConv is cheaper.
func Conv1D(x, w *autograd.Var, options Conv1DOptions) *autograd.Var {
	notNil("Conv1D", x, w)
	for _, n := range []*int{&options.Stride, &options.Dilation, &options.Groups} {
		if *n == 0 {
			*n = 1
		}
	}
	return apply("Conv1D", conv1D{options}, x, w)[0]
}

// conv1D keeps its operands.
type conv1D struct{ Conv1DOptions }

func (conv1D) String() string { return "ops.Conv1D" }

func (c conv1D) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, w := in[0], in[1]
	ctx.Save(x, w)
	y := tensor.Conv1D(widen(x), widen(w), c.Stride, c.Padding, c.Dilation, c.Groups)
	if x.Dtype() == w.Dtype() {
		y = narrow(y, x.Dtype())
	}
	return []*tensor.Tensor{y}
}

func (c conv1D) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, w, g := ctx.Saved(0), ctx.Saved(1), widen(grad[0])
	out := make([]*tensor.Tensor, 2)
	if ctx.Needs(0) {
		out[0] = fit(c.input(g, widen(w), x.Shape()), x)
	}
	if ctx.Needs(1) {
		out[1] = fit(c.filter(g, widen(x), w.Shape()), w)
	}
	return out
}

// input is the gradient of x: the results' gradients, a stride apart, meet the
// taps in reverse order.
func (c conv1D) input(g, w *tensor.Tensor, shape []int) *tensor.Tensor {
	cout, width, each := w.Dim(0), w.Dim(1), w.Dim(2)
	length, reach := shape[1]+2*c.Padding, c.Dilation*(width-1)
	g = spread(g, 1, c.Stride)
	g = tensor.Pad(g, [][2]int{{0, 0}, {reach, length - g.Dim(1)}, {0, 0}}, 0)
	w = tensor.Flip(tensor.Reshape(w, c.Groups, cout/c.Groups, width, each), 2)
	w = tensor.Reshape(tensor.Transpose(w, 0, 3, 2, 1), shape[2], width, cout/c.Groups)
	return tensor.SliceAxis(tensor.Conv1D(g, w, 1, 0, c.Dilation, c.Groups), 1, c.Padding, c.Padding+shape[1])
}

// filter is the gradient of w: for each tap, a product of what it met with the
// results' gradients.
func (c conv1D) filter(g, x *tensor.Tensor, shape []int) *tensor.Tensor {
	if x.Size() == 0 || g.Size() == 0 {
		return zeros(g, shape)
	}
	n, steps, cin := x.Dim(0), g.Dim(1), x.Dim(2)
	x = tensor.Pad(x, [][2]int{{0, 0}, {c.Padding, c.Padding}, {0, 0}}, 0)
	// [groups, Cout/groups, N·L'] by [groups, N·L', Cin/groups]
	g = tensor.Transpose(tensor.Reshape(g, n*steps, c.Groups, shape[0]/c.Groups), 1, 2, 0)
	taps := make([]*tensor.Tensor, shape[1])
	for i := range taps {
		from := i * c.Dilation
		met := tensor.Slice(x, []int{0, from, 0}, []int{n, from + (steps-1)*c.Stride + 1, cin}, 1, c.Stride, 1)
		met = tensor.Transpose(tensor.Reshape(met, n*steps, c.Groups, cin/c.Groups), 1, 0, 2)
		taps[i] = tensor.Reshape(tensor.MatMul(g, met), shape[0], shape[2])
	}
	return tensor.Stack(1, taps...)
}
