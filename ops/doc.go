// Package ops provides differentiable operations on autograd.Var.
//
// # Overview
//
// Names and arguments are those of package tensor, so that a formula and its
// gradient read alike:
//
//	h := ops.SiLU(ops.Add(ops.MatMul(x, w), b))
//
// On top of these there are the operations that language models are made of,
// with handwritten gradients: norms (RMSNorm, GatedRMSNorm, L2Norm), ShortConv,
// Embedding, CrossEntropy. Operands broadcast and promote types as in package
// tensor; a gradient has the shape and dtype of its operand. Conditions,
// indices and labels have no gradient and are plain tensors.
//
// What is summed over many elements is summed in float32 or better, also for
// operands in half precision: softmax, norms, losses, convolutions, and the
// gradients of indexing.
//
// # Gradients
//
// Most operations are a row of a table: the forward function and, for each
// operand, a function of the gradient and of what it reads. Only what the
// gradients that are needed read is kept for the backward pass. Operations with
// more to keep are an autograd.Function each, like those that users write.
//
// Where a function has no derivative the gradient is that of a central
// difference if nothing else is said: 0 for Abs at 0, an even share for each of
// the elements that tie in a maximum. Gradients are of first order: they can't
// be differentiated again.
//
// # Lifetime
//
// Results belong to the tape of the operands. Tensors that are given to an
// operation, such as indices, may be closed right after it.
//
// # Errors
//
// Misuse of shapes, dtypes and axes panics with *tensor.Error, which names the
// operation: "ops.MatMul: inner dimensions differ: [2 3] x [4 2]".
package ops
