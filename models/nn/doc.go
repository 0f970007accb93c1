// Package nn provides the layers that language models are built of, and the
// walk over their parameters.
//
// # Overview
//
// A module is a plain Go struct. Its parameters are fields of type
// *autograd.Param, its parts are fields that hold other modules:
//
//	type Head struct {
//		Norm *nn.RMSNorm `param:"norm"`
//		Out  *nn.Linear  `param:"out"`
//	}
//
//	func (h *Head) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
//		return h.Out.Forward(tape, h.Norm.Forward(tape, x))
//	}
//
// There is nothing to embed and nothing to register. Named walks a module and
// yields its parameters with dotted names such as "norm.weight", the names that
// PyTorch and Hugging Face files use; Count, State, Load and Cast build on it.
//
// Layers are made by constructors from a random key and sizes, and are applied
// by Forward. They compute in the dtype of their operands and parameters.
// Sequences are [B, T, features]; Linear, the norms and SwiGLU take any number
// of leading axes.
//
// # Lifetime
//
// Parameters live outside scopes, as long as the module does. What Forward
// computes belongs to the tape.
//
// # Errors
//
// Sizes and shapes that don't fit are a programmer's mistake and panic with
// *tensor.Error. Load reports what doesn't fit between a module and a file as
// one error.
package nn
