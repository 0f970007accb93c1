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
		return dtypeRefusal(x)
	case x.NDim() == 0 || x.Size() == 0 || x.Dim(-1) > MaxRow:
		return "the kernels take rows of at most 256 elements, and at least one"
	}
	return ""
}

// ConvRefusal says why there are no kernels for the convolution of x [B, T, channels]
// with w [channels, width]; "" means that there are, if the shapes go together.
func ConvRefusal(x, w *tensor.Tensor) string {
	for _, operand := range []*tensor.Tensor{x, w} {
		if _, ok := elementTypes[operand.Dtype()]; !ok {
			return dtypeRefusal(operand)
		}
	}
	if x.Size() == 0 || w.NDim() != 2 || w.Dim(1) > MaxWidth {
		return "the kernels take inputs of at least one element, and filters of at most 8"
	}
	return ""
}

func dtypeRefusal(x *tensor.Tensor) string {
	return "the kernels take float32, bfloat16 and float16, not " + x.Dtype().String()
}

// call is a launch with its operands.
type call struct {
	launch
	kernel *kernel
	in     []*tensor.Tensor
	made   []*tensor.Tensor // those of in that exist for it alone
	shapes [][]int
}

// run runs the kernel on the default device. It is for one time.
func (x call) run() []*tensor.Tensor {
	defer tensor.Free(x.made...)
	return x.launch.run(x.kernel, x.in, x.shapes...)
}

// with returns a call with params and a plan after other inputs, where the kernel has
// them.
func (l launch) with(k *kernel, params []float32, plan []int32, in []*tensor.Tensor, shapes ...[]int) call {
	x := call{launch: l, kernel: k, in: in, shapes: shapes}
	if slices.Contains(k.in, argParams) {
		x.made = append(x.made, tensor.FromSlice(slices.Concat(params, make([]float32, 8-len(params)))))
	}
	x.made = append(x.made, tensor.FromSlice(slices.Concat(plan, make([]int32, planChunks-len(plan)))))
	x.in = append(x.in, x.made...)
	return x
}

// rows is a launch over the rows of x.
func rows(x *tensor.Tensor) (l launch, plan []int32) {
	n, d := x.Size()/x.Dim(-1), x.Dim(-1)
	c := Config{Dtype: x.Dtype(), Chunk: 16, DK: d, DV: 8, HK: 1, HV: 1}
	return launch{config: c, chunks: ceilDiv(n, rowsEach*rowSimdgroups)}, []int32{int32(n)}
}

// L2Norm returns x / √(Σ x² + eps) over the last axis.
func L2Norm(x *tensor.Tensor, eps float64) *tensor.Tensor { return l2norm(x, eps).run()[0] }

func l2norm(x *tensor.Tensor, eps float64) call {
	l, plan := rows(x)
	return l.with(l2normKernel, []float32{float32(eps)}, plan, []*tensor.Tensor{x}, x.Shape())
}

// L2NormBackward returns the gradient of x from that of L2Norm(x, eps).
func L2NormBackward(x, dy *tensor.Tensor, eps float64) *tensor.Tensor {
	return l2normBack(x, dy, eps).run()[0]
}

func l2normBack(x, dy *tensor.Tensor, eps float64) call {
	l, plan := rows(x)
	return l.with(l2normBackKernel, []float32{float32(eps)}, plan, []*tensor.Tensor{x, dy}, x.Shape())
}

// GatedNorm returns x / √(mean x² + eps) ∘ w ∘ SiLU(z) over the last axis, of which
// w has the length.
func GatedNorm(x, w, z *tensor.Tensor, eps float64) *tensor.Tensor {
	return gatedNorm(x, w, z, eps).run()[0]
}

func gatedNorm(x, w, z *tensor.Tensor, eps float64) call {
	l, plan := rows(x)
	return l.with(gatedNormKernel, []float32{float32(eps)}, plan, []*tensor.Tensor{x, w, z}, x.Shape())
}

// GatedNormBackward returns the gradients of x, w and z from that of GatedNorm.
func GatedNormBackward(x, w, z, dy *tensor.Tensor, eps float64) (dx, dw, dz *tensor.Tensor) {
	made := gatedNormBack(x, w, z, dy, eps).run()
	return made[0], tensor.Sum(made[1], false, 0), made[2]
}

// gatedNormBack gives the gradient of w in parts.
func gatedNormBack(x, w, z, dy *tensor.Tensor, eps float64) call {
	l, plan := rows(x)
	return l.with(gatedNormBackKernel, []float32{float32(eps)}, plan, []*tensor.Tensor{x, w, z, dy},
		x.Shape(), []int{l.chunks * rowSimdgroups, x.Dim(-1)}, x.Shape())
}

// channels is a launch over the channels of x [B, T, channels].
func channels(x, w *tensor.Tensor) (l launch, plan []int32) {
	B, T, n := x.Dim(0), x.Dim(1), x.Dim(2)
	c := Config{Dtype: x.Dtype(), Chunk: 16, DK: 8, DV: w.Dim(1), HK: 1, HV: 1}
	return launch{config: c, chunks: ceilDiv(T, convTokens), runs: B * ceilDiv(n, 32*rowSimdgroups)}, []int32{int32(T), int32(n)}
}

// ConvSiLU returns the causal depthwise convolution of x [B, T, channels] with w
// [channels, width], of at most MaxWidth, and SiLU of it.
func ConvSiLU(x, w *tensor.Tensor) *tensor.Tensor { return convSiLU(x, w).run()[0] }

func convSiLU(x, w *tensor.Tensor) call {
	l, plan := channels(x, w)
	return l.with(shortConvKernel, nil, plan, []*tensor.Tensor{x, w}, x.Shape())
}

// ConvSiLUBackward returns the gradients of x and w from that of ConvSiLU.
func ConvSiLUBackward(x, w, dy *tensor.Tensor) (dx, dw *tensor.Tensor) {
	made := convSiLUBack(x, w, dy).run()
	return made[0], tensor.Sum(made[1], false, 0)
}

// convSiLUBack gives the gradient of w in parts.
func convSiLUBack(x, w, dy *tensor.Tensor) call {
	l, plan := channels(x, w)
	return l.with(shortConvBackKernel, nil, plan, []*tensor.Tensor{x, w, dy},
		x.Shape(), []int{x.Dim(0) * l.chunks, x.Dim(2), w.Dim(1)})
}
