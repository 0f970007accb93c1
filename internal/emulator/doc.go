// Package emulator runs GPU kernels on the CPU, to prove them.
//
// The bodies of ops/metal are compiled as C++ into this package, for every
// element type and chunk size; heads and their sizes are numbers of a launch.
//
// # The machine
//
// A threadgroup is made of simdgroups of 32 lanes, and each lane is a fiber with
// a stack of its own. It runs until it must meet the others: those of its
// simdgroup for a shuffle, a product of matrices or a simdgroup barrier, all of
// the threadgroup for a barrier. Which simdgroup goes on is drawn at every
// meeting, and so is the order of threadgroups, from the seed of the launch. The
// matrices of 8 x 8 have Metal's lane map.
//
// # What it finds
//
// Run ends with an error that names kernel, threadgroup, simdgroup and lane if
//
//   - an index is outside an array or outside of threadgroup memory;
//   - a cell of threadgroup memory is read that nothing wrote, or a matrix of a Held;
//   - two lanes use one cell of it, one of them to write, with no barrier between
//     that both passed: for lanes of one simdgroup either kind will do;
//   - lanes of a simdgroup, or simdgroups at a barrier, part ways: they meet in
//     different places, or come there by different branches or turns of loops;
//   - lanes shuffle by different masks, or by one that is no lane's number;
//   - an element of an output is written twice, or never, or read.
//
// The sources' if, for and while are macros that note the way of a lane. They are
// blind to the sides of a conditional expression that call one function which meets,
// unless it is simd_total, row_sums, or the layer's own.
//
// It doesn't find what compilers and chips do: spills, occupancy, fast math.
//
// # Building
//
// The go command doesn't notice when a body changes. After a change,
//
//	go generate ./internal/emulator
//
// renews bodies_gen.h, a hash of the bodies, and with it the build; a test of
// ops/metal compares the hash.
package emulator

//go:generate go run ./gen
