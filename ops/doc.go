// Package ops provides differentiable operations on autograd.Var.
//
// # Overview
//
// Names and arguments are those of package tensor, so that a formula and its
// gradient read alike:
//
//	h := ops.SiLU(ops.Add(ops.MatMul(x, w), b))
//
// On top of these there are the operations that language models are made of.
// By family, in files of the same names:
//
//	arithmetic  Add Sub Mul Div Pow Maximum Minimum LogAddExp Clip Where AddScalar MulScalar
//	unary       Neg Abs Exp Expm1 Log Log1p Log2 Log10 Sqrt Rsqrt Square Reciprocal Erf
//	            Sin Cos Tan ArcSin ArcCos ArcTan Sinh Cosh
//	activation  Sigmoid Tanh ReLU LeakyReLU ELU SiLU GELU GELUApprox Softplus LogSigmoid
//	softmax     Softmax LogSoftmax
//	matmul      MatMul AddMM
//	einsum      Einsum Outer VecDot
//	reduce      Sum Mean Var Std Norm Max Min Prod LogSumExp
//	scan        CumSum CumProd
//	sort        Sort TopK
//	norm        RMSNorm RMSNormZeroCentered GatedRMSNorm LayerNorm L2Norm
//	conv        Conv1D, and ShortConv, ShortConvSiLU for causal filters of single channels
//	attention   ScaledDotProductAttention
//	rope        RoPE
//	dropout     Dropout
//	loss        CrossEntropy CrossEntropyWith
//	index       Take TakeAlong Embedding ScatterAdd ScatterAddAlong
//	shape       Reshape Flatten ExpandDims Squeeze Transpose SwapAxes MoveAxis BroadcastTo
//	            Repeat Tile Flip Roll Tril Triu AsType Detach
//	slice       Slice SliceAxis SliceUpdate Pad PadEdge
//	join        Concat Stack SplitAt SplitEqual Unstack
//
// The gated delta rule is in package gateddelta. Operands broadcast and promote
// types as in package tensor; a gradient has the shape and dtype of its operand.
// Conditions, indices, masks, keys and labels have no gradient and are plain
// tensors, and so is what is computed without one: comparisons, rounding,
// tensor.ArgMax, tensor.OneHot.
//
// What is summed over many elements is summed in float32 or better, also for
// operands in half precision: softmax, norms, losses, convolutions, attention,
// and the gradients of indexing. In float64 every operation and its gradient are
// accurate to double precision.
//
// # Gradients
//
// Most operations are a row of a table: the forward function and, for each
// operand, a function of the gradient and of what it reads. Only what the
// gradients that are needed read is kept for the backward pass. Operations with
// more to keep are an autograd.Function each, like those that users write.
//
// Where a function has no derivative the gradient is that of a central
// difference if nothing else is said:
//
//	Abs, ReLU at 0                      0
//	LeakyReLU at 0; ELU at 0            the mean of both slopes; alpha
//	Maximum, Minimum, LogAddExp, ties   half for each
//	Max, Min, ties                      an even share for each
//	Sort, TopK, ties                    that of the element that was taken
//	Clip at its ends                    passes
//	Norm of zeros, Std of equals        0
//	Sqrt, Log at 0                      +Inf
//	Rsqrt at 0                          −Inf
//	Prod, CumProd with zeros            exact
//	LogSumExp of −Inf alone             0
//	Softmax, attention, masked          0 for what is masked
//
// Gradients are of first order: they can't be differentiated again.
//
// # GPUs
//
// On a GPU L2Norm, GatedRMSNorm and ShortConvSiLU are one kernel of package metal
// each way, if it serves their operands. The op graph, which differs by rounding
// only, remains inside functions that are traced (tensor.VJP, tensor.Compile).
//
// # Lifetime
//
// Results belong to the tape of the operands. Tensors that are given to an
// operation, such as indices, may be closed right after it.
//
// # Errors
//
// Misuse of shapes, dtypes and axes panics with *tensor.Error, which names the
// operation: "ops.MatMul: inner dimensions differ: [2 3] x [4 2]". Axes of length
// 0 are fine wherever the result is defined.
package ops
