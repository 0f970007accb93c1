package tensor

import (
	"math"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Conv1D returns the cross-correlation of x [N, L, Cin] with w [Cout, W,
// Cin/groups], a tensor [N, L', Cout]. Zeros pad both ends of L, padding many. The
// filter must not span more positions than there are, but for a width of 1 over
// none, which gives none.
func Conv1D(x, w *Tensor, stride, padding, dilation, groups int) *Tensor {
	hx, hw := x.handle("Conv1D"), w.handle("Conv1D")
	bad := func(format string, args ...any) {
		panic(NewError("tensor.Conv1D", []*Tensor{x, w}, format, args...))
	}
	if x.NDim() != 3 || w.NDim() != 3 {
		bad("want x [N, L, Cin] and w [Cout, W, Cin/groups]")
	}
	if min(stride, dilation, groups) < 1 || padding < 0 || max(stride, dilation, padding, groups) > math.MaxInt32 {
		bad("want stride, dilation and groups from 1 and padding from 0 to %d, got %d, %d, %d and %d", math.MaxInt32, stride, dilation, groups, padding)
	}
	if !x.dtype.IsFloat() || !w.dtype.IsFloat() {
		bad("want floating-point operands, got %s and %s", x.dtype, w.dtype)
	}
	if w.shape[2]*groups != x.shape[2] || w.shape[0]%groups != 0 {
		bad("%d groups don't fit the channels", groups)
	}
	span, positions := dilation*(w.shape[1]-1)+1, x.shape[1]+2*padding
	if w.shape[1] == 0 || span > max(positions, 1) {
		bad("the kernel spans %d of %d positions", span, positions)
	}
	if x.Size() == 0 || w.Size() == 0 {
		zero := Add(Like(x, 0), Like(w, 0))
		return BroadcastTo(zero, x.shape[0], (positions-span+stride)/stride, w.shape[0])
	}
	if x.dtype == Float64 || w.dtype == Float64 {
		return conv1DByTaps(x, w, stride, padding, dilation, groups)
	}
	unfolded := float64(x.shape[0]) * float64(positions) / float64(stride) * float64(w.shape[1]) * float64(x.shape[2])
	if unfolded *= float64(x.dtype.Size()); unfolded > largest() {
		bad("the convolution takes %.3g bytes on the way, more than this machine's memory of %.3g", unfolded, largest())
	}
	m, err := mlxc.Conv1d(deviceOf2(x, w), hx, hw, stride, padding, dilation, groups)
	return madeOf("Conv1D", &m, err, x, w)
}

// conv1DByTaps adds up one shifted product for each tap: MLX convolves float64
// only in float32.
func conv1DByTaps(x, w *Tensor, stride, padding, dilation, groups int) *Tensor {
	n, taps, cin, cout := x.shape[0], w.shape[1], x.shape[2], w.shape[0]
	x = Pad(x, [][2]int{{0, 0}, {padding, padding}, {0, 0}}, 0)
	steps := (x.shape[1]-dilation*(taps-1)-1)/stride + 1
	// [groups, taps, cin/groups, cout/groups]
	w = Transpose(Reshape(w, groups, cout/groups, taps, cin/groups), 0, 2, 3, 1)
	var y *Tensor
	for i := range taps {
		from := i * dilation
		part := Slice(x, []int{0, from, 0}, []int{n, from + (steps-1)*stride + 1, cin}, 1, stride, 1)
		part = Reshape(part, n, steps, groups, 1, cin/groups)
		tap := Reshape(SliceAxis(w, 1, i, i+1), groups, cin/groups, cout/groups)
		term := Reshape(MatMul(part, tap), n, steps, cout)
		if y == nil {
			y = term
		} else {
			y = Add(y, term)
		}
	}
	return y
}
