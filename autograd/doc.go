// Package autograd computes gradients of functions of tensors by recording
// them on a tape and walking the tape backwards.
//
// # Overview
//
// A Tape records; a *Var is a value on a tape. Var(t) is a value whose gradient
// is wanted, Const(t) one without, and Param(p) the one leaf of a parameter.
// Functions of Vars (package ops, or Apply with a Function of your own) give
// Vars. A result requires a gradient if an operand does; otherwise nothing is
// recorded.
//
//	tape := autograd.NewTape()
//	defer tape.Close()
//	x := tape.Var(xt)
//	loss := ops.Sum(ops.Square(x), false)
//	grads, err := tape.Backward(loss)
//	dx := grads.Of(x)
//
// A Function is the one way to define an operation, inside this module and
// outside it: a forward pass on tensors that saves what its backward pass
// needs, and a backward pass that turns gradients of the outputs into gradients
// of the inputs. Package gradcheck proves that the two agree; docs/custom-ops.md
// shows the way from a formula to a tested operation. Checkpoint trades time for
// memory: it forgets what its function computed and computes it again in the
// backward pass. Tape.Stats says what each kind of operation keeps.
//
// Derivatives are of the first order: the backward pass is not recorded.
//
// # Lifetime
//
// The backward pass only builds more of the lazy graph; nothing is computed
// until something is evaluated. The tape owns every tensor that is made on it:
// values, what was saved, gradients. What is neither output nor saved is
// released when the Function returns, saved tensors are released as the
// backward pass leaves them behind, and the rest when the tape is closed. So
// the best order for memory is: forward, Backward, update, Keep what stays,
// Close, and then evaluate.
//
// A tape, its values included, serves one goroutine at a time. Tapes of
// different goroutines are independent and may share parameters, as long as
// none of them sets one.
//
// # Errors
//
// Misuse while recording (Vars of two tapes, a closed tape, wrong shapes) panics
// with *tensor.Error, as in package tensor. The backward pass returns errors
// that name the operation: a gradient of the wrong shape or dtype, a second
// pass over what was freed, a loss that is not one number or depends on nothing.
// An error that arises when a graph is evaluated names the file or kernel that
// failed and the result that was asked for, but not the operation between them.
// DetectAnomaly makes a tape evaluate step by step: it names the operation whose
// evaluation fails or gives values that are not finite, where it was applied, and
// the input concerned.
//
// # Caveats
//
// A parameter must not be set between the forward and the backward pass: the
// gradient would belong to its old value, and Backward refuses.
package autograd
