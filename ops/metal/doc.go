// Package metal holds the gated delta rule's GPU kernels, forward and backward,
// and what starts them. Package gateddelta chooses them by Implementation Metal and
// is the way to use them in programs.
//
// # Kernels
//
// A kernel's body is written once, against a small layer of macros, and built three
// ways: as Metal and as CUDA text for MLX, which compiles it when a result is first
// evaluated, and as C++ for internal/emulator, where tests prove it. The bodies are
// files of package kernels; everything else about them (arguments, grid,
// threadgroup memory, cost) is in a registry here. docs/kernels.md goes through one
// of them from formula to code.
//
// A Config says what is compiled in: sizes and types. The number of tokens, the
// sequences and the scale come with each launch, so that nothing is compiled again
// for another length. Config.Refusal says what there are no kernels for.
//
// # Passes
//
// A Plan cuts the tokens into segments. The forward pass runs two kernels for each,
// the backward pass four, from the last segment to the first:
//
//	chunk_prepare  what needs no state: the inverses, Q Kᵀ, decays
//	chunk_forward  the scan over chunks: outputs and states
//	chunk_replay   the same again for the backward pass: states and written values
//	chunk_back     the scan back: gradients of states and values
//	chunk_grads    all other gradients
//
// Beside them are Plan.Sequential, the rule token by token; Config.Decode, all of a
// layer between its projections for one token; Solve, the inverse of unit triangular
// matrices; and norms and a short convolution with their gradients.
//
// Sums are made in one order and without atomic operations: results are equal, bit
// for bit, from run to run. Gradients of shared keys are summed over their value
// heads inside a threadgroup.
//
// # Devices
//
// On a GPU a pass of one segment is a lazy graph like any other. With several it
// evaluates its operands, and results as it goes, so that the temporaries of all
// segments never exist together: Plan.TemporaryBytes is the bound. On the CPU the
// operands are evaluated and the kernels run in the emulator at once, at about a hundredth of the
// speed of other implementations: for proof, not for work. Its seed changes with
// every launch, so that no order of threadgroups or simdgroups is special.
//
// # Errors
//
// Operands that don't fit the plan panic with *tensor.Error, and so does a fault
// that the emulator finds. A kernel that a GPU's compiler refuses, and an operand
// that can't be evaluated, is an error of the evaluation of results. CheckLayers and
// Config.CheckDecode find kernels that a machine computes wrong, as CheckKernels of
// package gateddelta does for the passes.
package metal
