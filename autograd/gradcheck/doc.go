// Package gradcheck proves that the gradients of a function are right.
//
// # Overview
//
// Check compares the gradients that a function's backward pass computes with
// central differences of its forward pass, in float64 on the CPU:
//
//	func TestScaleBy(t *testing.T) {
//		x, a := tensor.Normal(tensor.Key(1), 4, 8), tensor.Normal(tensor.Key(2), 8)
//		f := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(scaleBy{}, v...) }
//		gradcheck.Run(t, f, []*tensor.Tensor{x, a}, gradcheck.Options{})
//	}
//
// Every element of every output is compared with respect to every element of
// every floating-point input, or with Options.Fast one random direction of each;
// where that disagrees, halving finds the element. Inputs of other dtypes go to
// the function as they are. Parameters that the function uses are checked when
// Options.Params names them, or all with Options.AllParams.
//
// Besides, the backward pass has to be the same each time it runs, also when
// the function was called with other values in between. Gradients have to be
// linear in the seeds, and zero for zero seeds: for seeds of everything together
// they are the sum of those for one output, or one element, at a time. An absent
// gradient of an output has to act as zeros. Whether other inputs are constants,
// whether the tape records, and how inputs and seeds lie in memory must not matter.
//
// At last the function runs once with inputs and parameters in the dtypes that they
// came in. There the gradients must have those dtypes, and be those of float64 but
// for rounding, of which what the inputs' own rounding does to the gradient is a
// measure: in float32 a fault of 1 % in any element of weight shows, in half
// precision a wrong factor or sign. Where the outputs come out differently in that
// dtype, that says nothing, and the report has it among what was skipped.
//
// A function that rounds to float32 inside is checked with coarser steps, by what
// its rounding allows. One that rounds to half precision can't be checked.
//
// Report says what was covered; Run logs it.
//
// Parity compares two implementations of one function, outputs and gradients,
// in the dtype of the inputs: the tool for fused kernels and low precision,
// where differences are too coarse to say anything.
//
// # Choice of inputs
//
// The function is evaluated twice for each input element, so inputs should be
// small, but larger than 1 along every axis that means something, batches
// included: a mistake that needs two rows is not found with one, and one that
// needs 65 tokens not with 64. Points must keep away from kinks (|x| near 0, ties
// in a maximum), where central differences and derivatives disagree.
//
// # Errors
//
// Check returns an error, Run reports it to a test. A wrong gradient is a
// *Mismatch, which names the input, the index, both values and a likely cause; at
// a kink or a jump, that one.
package gradcheck
