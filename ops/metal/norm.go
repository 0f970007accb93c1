package metal

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// The kernels of this file work on rows or channels: see norm.metal and
// short_conv.metal. Arrays are float32, bfloat16 or float16, weights float32.

// rowsEach is ROWS_EACH, convTokens CONV_TOKENS.
const (
	rowsEach   = 16
	convTokens = 32
)

// MaxRow and MaxWidth are the longest rows of the norms and the widest
// convolution.
const (
	MaxRow   = mostElements
	MaxWidth = 8
)

// RowsRefusal says why there are no kernels for norms of x's rows; "" means that
// there are.
func RowsRefusal(x *tensor.Tensor) string {
	switch _, ok := elementTypes[x.Dtype()]; {
	case !ok:
		return "the kernels take float32, bfloat16 and float16, not " + x.Dtype().String()
	case x.NDim() == 0 || x.Size() == 0 || x.Dim(-1) > MaxRow:
		return "the kernels take rows of at most 256 elements, and at least one"
	}
	return ""
}

// rows is a launch over the rows of x.
func rows(x *tensor.Tensor) (l launch, plan []int32) {
	n, d := x.Size()/x.Dim(-1), x.Dim(-1)
	c := Config{Dtype: x.Dtype(), Chunk: 16, DK: d, DV: 8, HK: 1, HV: 1}
	plan = make([]int32, planChunks)
	plan[0] = int32(n)
	return launch{config: c, chunks: ceilDiv(n, rowsEach*rowSimdgroups)}, plan
}

// start runs a kernel with ε and a plan after other inputs.
func (l launch) start(k *kernel, eps float64, plan []int32, in []*tensor.Tensor, shapes ...[]int) []*tensor.Tensor {
	numbers := tensor.FromSlice(append([]float32{float32(eps)}, make([]float32, 7)...))
	table := tensor.FromSlice(plan)
	defer tensor.Free(numbers, table)
	if slices.Contains(k.in, argParams) {
		in = append(in, numbers)
	}
	return l.run(k, append(in, table), shapes...)
}

// L2Norm returns x / √(Σ x² + eps) over the last axis.
func L2Norm(x *tensor.Tensor, eps float64) *tensor.Tensor {
	l, plan := rows(x)
	return l.start(l2normKernel, eps, plan, []*tensor.Tensor{x}, x.Shape())[0]
}

// L2NormBackward returns the gradient of x from that of L2Norm(x, eps).
func L2NormBackward(x, dy *tensor.Tensor, eps float64) *tensor.Tensor {
	l, plan := rows(x)
	return l.start(l2normBackKernel, eps, plan, []*tensor.Tensor{x, dy}, x.Shape())[0]
}

// GatedNorm returns x / √(mean x² + eps) ∘ w ∘ SiLU(z) over the last axis, of which
// w has the length.
func GatedNorm(x, w, z *tensor.Tensor, eps float64) *tensor.Tensor {
	l, plan := rows(x)
	return l.start(gatedNormKernel, eps, plan, []*tensor.Tensor{x, w, z}, x.Shape())[0]
}

// GatedNormBackward returns the gradients of x, w and z from that of GatedNorm.
func GatedNormBackward(x, w, z, dy *tensor.Tensor, eps float64) (dx, dw, dz *tensor.Tensor) {
	l, plan := rows(x)
	made := l.start(gatedNormBackKernel, eps, plan, []*tensor.Tensor{x, w, z, dy},
		x.Shape(), []int{l.chunks * rowSimdgroups, x.Dim(-1)}, x.Shape())
	return made[0], tensor.Sum(made[1], false, 0), made[2]
}

// channels is a launch over the channels of x [B, T, channels].
func channels(x, w *tensor.Tensor) (l launch, plan []int32) {
	B, T, n := x.Dim(0), x.Dim(1), x.Dim(2)
	c := Config{Dtype: x.Dtype(), Chunk: 16, DK: 8, DV: w.Dim(1), HK: 1, HV: 1}
	plan = make([]int32, planChunks)
	plan[0], plan[1] = int32(T), int32(n)
	return launch{config: c, chunks: ceilDiv(T, convTokens), runs: B * ceilDiv(n, 32*rowSimdgroups)}, plan
}

// ConvSiLU returns the causal depthwise convolution of x [B, T, channels] with w
// [channels, width], of at most MaxWidth, and SiLU of it.
func ConvSiLU(x, w *tensor.Tensor) *tensor.Tensor {
	l, plan := channels(x, w)
	return l.start(shortConvKernel, 0, plan, []*tensor.Tensor{x, w}, x.Shape())[0]
}

// ConvSiLUBackward returns the gradients of x and w from that of ConvSiLU.
func ConvSiLUBackward(x, w, dy *tensor.Tensor) (dx, dw *tensor.Tensor) {
	l, plan := channels(x, w)
	made := l.start(shortConvBackKernel, 0, plan, []*tensor.Tensor{x, w, dy},
		x.Shape(), []int{x.Dim(0) * l.chunks, x.Dim(2), w.Dim(1)})
	return made[0], tensor.Sum(made[1], false, 0)
}
