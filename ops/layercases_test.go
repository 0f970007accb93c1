package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func einsumOf(spec string) func(...*autograd.Var) []*autograd.Var {
	return func(v ...*autograd.Var) []*autograd.Var { return []*autograd.Var{Einsum(spec, v...)} }
}

func convOf(o Conv1DOptions) func(...*autograd.Var) []*autograd.Var {
	return f2(func(x, w *autograd.Var) *autograd.Var { return Conv1D(x, w, o) })
}

func ropeOf(o RoPEOptions) func(...*autograd.Var) []*autograd.Var {
	return f1(func(x *autograd.Var) *autograd.Var { return RoPE(x, o) })
}

func attentionOf(o AttentionOptions) func(...*autograd.Var) []*autograd.Var {
	return f3(func(q, k, v *autograd.Var) *autograd.Var { return ScaledDotProductAttention(q, k, v, o) })
}

// layerCases are those of ops that layers and losses are made of.
var layerCases = []gradCase{
	{op: "Einsum", f: einsumOf("ij,jk->ik"), in: list(normal(2, 3), normal(3, 4))},
	{op: "Einsum", name: "batch", f: einsumOf("bhtd,bhsd->bhts"), in: list(normal(2, 2, 3, 2), normal(2, 2, 4, 2))},
	{op: "Einsum", name: "three", f: einsumOf("bi,ij,bj->b"), in: list(normal(3, 2), normal(2, 4), normal(3, 4))},
	{op: "Einsum", name: "four", f: einsumOf("a,b,c,abc->"), in: list(normal(2), normal(3), normal(2), normal(2, 3, 2))},
	{op: "Einsum", name: "transpose", f: einsumOf("abc->cab"), in: list(normal(2, 3, 4))},
	{op: "Einsum", name: "sum", f: einsumOf("abc->b"), in: list(normal(2, 3, 4))},
	{op: "Einsum", name: "diagonal", f: einsumOf("ii->i"), in: list(normal(3, 3))},
	{op: "Einsum", name: "trace", f: einsumOf("bii"), in: list(normal(2, 3, 3))},
	{op: "Einsum", name: "threefold", f: einsumOf("ibici,i->bc"), in: list(normal(2, 3, 2, 2, 2), normal(2))},
	{op: "Einsum", name: "outer", f: einsumOf("i,j"), in: list(normal(3), normal(2))},
	{op: "Einsum", name: "elementwise", f: einsumOf("ij,ij->ij"), in: list(normal(3, 2), normal(3, 2))},
	{op: "Einsum", name: "dot", f: einsumOf("bi,bi->b"), in: list(normal(3, 2), normal(3, 2))},
	{op: "Einsum", name: "lone letters", f: einsumOf("ijx,jky->ik"), in: list(normal(2, 3, 2), normal(3, 2, 3))},
	{op: "Einsum", name: "ellipsis", f: einsumOf("...ij,jk->...ik"), in: list(normal(2, 2, 2, 3), normal(3, 2))},
	{op: "Einsum", name: "ellipses broadcast", f: einsumOf("...i,...i->..."), in: list(normal(2, 1, 3), normal(4, 3))},
	{op: "Einsum", name: "ellipsis summed", f: einsumOf("i...,...->i"), in: list(normal(2, 3, 2), normal(3, 1))},
	{op: "Einsum", name: "scalars", f: einsumOf(",i,->i"), in: list(normal(), normal(3), normal())},
	{op: "Einsum", name: "empty", f: einsumOf("ij,jk->ik"), in: list(normal(2, 0), normal(0, 3))},
	{op: "Einsum", name: "no rows", f: einsumOf("ij,jk->ik"), in: list(normal(0, 2), normal(2, 3))},
	{op: "Einsum", name: "itself", f: f1(func(x *autograd.Var) *autograd.Var { return Einsum("ij,jk->ik", x, x) }), in: list(normal(3, 3))},
	{op: "Outer", f: f2(Outer), in: list(normal(2, 2), normal(3))},
	{op: "VecDot", f: f2(func(a, b *autograd.Var) *autograd.Var { return VecDot(a, b, -1) }), in: list(normal(2, 3, 4), normal(3, 4))},

	{op: "Conv1D", f: convOf(Conv1DOptions{}), in: list(normal(2, 5, 3), normal(4, 2, 3))},
	{op: "Conv1D", name: "padding", f: convOf(Conv1DOptions{Padding: 2}), in: list(normal(2, 4, 2), normal(3, 3, 2))},
	{op: "Conv1D", name: "stride", f: convOf(Conv1DOptions{Stride: 3, Padding: 1}), in: list(normal(2, 9, 2), normal(3, 4, 2))},
	{op: "Conv1D", name: "dilation", f: convOf(Conv1DOptions{Dilation: 2, Padding: 3}), in: list(normal(2, 5, 2), normal(2, 3, 2))},
	{op: "Conv1D", name: "groups", f: convOf(Conv1DOptions{Groups: 2, Padding: 1}), in: list(normal(2, 4, 4), normal(6, 3, 2))},
	{op: "Conv1D", name: "single channels", f: convOf(Conv1DOptions{Groups: 3}), in: list(normal(2, 4, 3), normal(3, 2, 1))},
	{op: "Conv1D", name: "all", f: convOf(Conv1DOptions{Stride: 2, Padding: 3, Dilation: 2, Groups: 2}), in: list(normal(2, 8, 4), normal(2, 3, 2))},
	{op: "Conv1D", name: "one position", f: convOf(Conv1DOptions{}), in: list(normal(2, 3, 2), normal(1, 3, 2))},
	{op: "Conv1D", name: "no positions", f: convOf(Conv1DOptions{Stride: 2, Dilation: 3, Groups: 2}), in: list(normal(2, 0, 4), normal(2, 1, 2))},
	{op: "Conv1D", name: "no channels", f: convOf(Conv1DOptions{Stride: 2}), in: list(normal(2, 5, 0), normal(3, 2, 0))},
	{op: "Conv1D", name: "no rows", f: convOf(Conv1DOptions{Padding: 1}), in: list(normal(0, 3, 2), normal(1, 3, 2))},

	{op: "RoPE", f: ropeOf(RoPEOptions{}), in: list(normal(2, 3, 4))},
	{op: "RoPE", name: "traditional", f: ropeOf(RoPEOptions{Traditional: true}), in: list(normal(2, 2, 3, 4))},
	{op: "RoPE", name: "partial", f: ropeOf(RoPEOptions{Dims: 4, Base: 100, Offset: 5, Scale: 0.5}), in: list(normal(2, 3, 6))},
	{op: "RoPE", name: "traditional and partial", f: ropeOf(RoPEOptions{Dims: 2, Offset: -1, Traditional: true}), in: list(normal(2, 3, 5))},
	{op: "RoPE", name: "no steps", f: ropeOf(RoPEOptions{}), in: list(normal(2, 0, 4))},

	{op: "ScaledDotProductAttention", f: attentionOf(AttentionOptions{}), in: list(normal(2, 2, 3, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 3))},
	{op: "ScaledDotProductAttention", name: "causal", f: attentionOf(AttentionOptions{Causal: true}),
		in: list(normal(2, 2, 3, 2), normal(2, 2, 3, 2), normal(2, 2, 3, 2))},
	{op: "ScaledDotProductAttention", name: "causal with a past", f: attentionOf(AttentionOptions{Causal: true, Scale: 0.7}),
		in: list(normal(1, 2, 2, 2), normal(1, 2, 5, 2), normal(1, 2, 5, 2))},
	{op: "ScaledDotProductAttention", name: "shared heads", f: attentionOf(AttentionOptions{Causal: true}),
		in: list(normal(2, 6, 3, 2), normal(2, 2, 4, 2), normal(2, 2, 4, 3))},
	{op: "ScaledDotProductAttention", name: "mask", f: attentionOf(AttentionOptions{Mask: tensor.FromSlice([]bool{true, false, true, false, true, true}, 2, 3)}),
		in: list(normal(2, 4, 2, 2), normal(2, 2, 3, 2), normal(2, 2, 3, 2))},
	{op: "ScaledDotProductAttention", name: "mask of a row", noEngine: "is not a number where no key is seen",
		f:  attentionOf(AttentionOptions{Mask: tensor.FromSlice([]bool{false, false, false, true, false, true}, 2, 3)}),
		in: list(normal(2, 2, 2, 2), normal(2, 2, 3, 2), normal(2, 2, 3, 2))},
	{op: "ScaledDotProductAttention", name: "added mask", f: attentionOf(AttentionOptions{Causal: true, Mask: normal(2, 1, 3, 3)}),
		in: list(normal(2, 2, 3, 2), normal(2, 1, 3, 2), normal(2, 1, 3, 2))},
	{op: "ScaledDotProductAttention", name: "no queries", f: attentionOf(AttentionOptions{}), in: list(normal(2, 2, 0, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 3))},

	{op: "Dropout", f: f1(func(x *autograd.Var) *autograd.Var { return Dropout(x, tensor.Key(7), 0.4) }), in: list(normal(4, 5))},
	{op: "Dropout", name: "none", f: f1(func(x *autograd.Var) *autograd.Var { return Dropout(x, nil, 0) }), in: list(normal(3))},
	{op: "Dropout", name: "empty", f: f1(func(x *autograd.Var) *autograd.Var { return Dropout(x, tensor.Key(7), 0.4) }), in: list(normal(0, 3))},

	{op: "CrossEntropy", f: f1(func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, ints(2, 0, 3)) }), in: list(normal(3, 4))},
	{op: "CrossEntropy", name: "batch and ignored", f: f1(func(x *autograd.Var) *autograd.Var {
		return CrossEntropy(x, tensor.FromSlice([]int64{1, IgnoreLabel, 0, 2}, 2, 2))
	}), in: list(normal(2, 2, 3))},
	{op: "CrossEntropy", name: "one position", f: f1(func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, tensor.Scalar(uint8(1))) }), in: list(normal(3))},
	{op: "CrossEntropy", name: "no positions", f: f1(func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, ints()) }), in: list(normal(0, 3))},
	{op: "CrossEntropyWith", name: "smoothing", f: f1(func(x *autograd.Var) *autograd.Var {
		return CrossEntropyWith(x, ints(2, 0, 3), CrossEntropyOptions{Smoothing: 0.1})
	}), in: list(normal(3, 4))},
	{op: "CrossEntropyWith", name: "sum", f: f1(func(x *autograd.Var) *autograd.Var {
		return CrossEntropyWith(x, ints(2, 0, 3), CrossEntropyOptions{Reduction: ReduceSum})
	}), in: list(normal(3, 4))},
	{op: "CrossEntropyWith", name: "no reduction", f: f1(func(x *autograd.Var) *autograd.Var {
		return CrossEntropyWith(x, tensor.FromSlice([]int32{2, 0, 3, 1}, 2, 2), CrossEntropyOptions{Reduction: ReduceNone, Smoothing: 0.2})
	}), in: list(normal(2, 2, 4))},

	{op: "CrossEntropyWith", name: "no positions", f: f1(func(x *autograd.Var) *autograd.Var {
		return CrossEntropyWith(x, ints(), CrossEntropyOptions{Reduction: ReduceNone, Smoothing: 0.2})
	}), in: list(normal(0, 4))},

	{op: "RMSNorm", f: f2(func(x, w *autograd.Var) *autograd.Var { return RMSNorm(x, w, 1e-5) }), in: list(normal(2, 3, 4), positive(4))},
	{op: "RMSNorm", name: "no weight", f: f1(func(x *autograd.Var) *autograd.Var { return RMSNorm(x, nil, 0.1) }), in: list(normal(3, 4))},
	{op: "RMSNorm", name: "empty", f: f2(func(x, w *autograd.Var) *autograd.Var { return RMSNorm(x, w, 1e-5) }), in: list(normal(0, 4), positive(4))},
	{op: "RMSNormZeroCentered", f: f2(func(x, w *autograd.Var) *autograd.Var { return RMSNormZeroCentered(x, w, 1e-6) }), in: list(normal(3, 4), normal(4))},
	{op: "GatedRMSNorm", f: f3(func(x, gate, w *autograd.Var) *autograd.Var { return GatedRMSNorm(x, gate, w, 1e-6) }),
		in: list(normal(2, 3, 4), normal(2, 3, 4), positive(4))},
	{op: "LayerNorm", f: f3(func(x, w, b *autograd.Var) *autograd.Var { return LayerNorm(x, w, b, 1e-5) }), in: list(normal(2, 3, 4), positive(4), normal(4))},
	{op: "LayerNorm", name: "plain", f: f1(func(x *autograd.Var) *autograd.Var { return LayerNorm(x, nil, nil, 0.1) }), in: list(normal(3, 4))},
	{op: "L2Norm", f: f1(func(x *autograd.Var) *autograd.Var { return L2Norm(x, 1e-6) }), in: list(normal(2, 3, 4))},
	{op: "L2Norm", name: "zero vector", f: f1(func(x *autograd.Var) *autograd.Var { return L2Norm(x, 0.5) }),
		in: list(tensor.FromSlice([]float64{0, 0, 0, 1, 2, 3}, 2, 3))},

	{op: "ShortConv", f: f2(ShortConv), in: list(normal(2, 5, 3), normal(3, 4))},
	{op: "ShortConv", name: "shorter than the filter", f: f2(ShortConv), in: list(normal(2, 2, 3), normal(3, 4))},
	{op: "ShortConv", name: "one tap", f: f2(ShortConv), in: list(normal(1, 3, 2), normal(2, 1))},
	{op: "ShortConv", name: "no steps", f: f2(ShortConv), in: list(normal(2, 0, 3), normal(3, 4))},
	{op: "ShortConvSiLU", f: f2(ShortConvSiLU), in: list(normal(2, 5, 3), normal(3, 4))},
	{op: "ShortConvSiLU", name: "no steps", f: f2(ShortConvSiLU), in: list(normal(2, 0, 3), normal(3, 4))},
}
