// Package cpukernel computes the gated delta rule on the cores of a CPU, forward and
// backward, in C++.
//
// It is the chunk form of ops/gateddelta by the formulas of that package, in
// float32: per chunk of tokens the products of matrices, and between chunks a
// state. A key head of a sequence with all of its value heads is a task; threads
// take tasks until none is left. What a task computes depends on nothing else, so
// that results have the same bits on any number of threads. All that a chunk needs
// stays in a core's cache.
//
// # Instructions
//
// The sources are C++ with the vectors of GCC and Clang, compiled three times on
// x86-64: for SSE2, AVX2 and AVX-512. Which of these the processor has is found at run
// time; see Levels. On arm64 there is one, NEON. Results of different levels differ by
// rounding. Subnormal numbers count as zero, as in MLX's threads.
//
// # Calls
//
// Rule.Forward and Rule.Backward work at once. Rule.ForwardCall and Rule.BackwardCall
// return the same function of C, to be called when an engine's arrays are there; it
// makes its threads itself, and where the system has none to give those that it has do
// the work of the others.
//
// # Memory and errors
//
// Arrays are read and written in place. Each thread has memory of its own for the time
// of a call: for the backward pass mostly the states at the starts of a segment's chunks
// (see Rule.WorkBytes). Nothing fails; sizes that don't fit together panic.
package cpukernel
