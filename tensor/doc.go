// Package tensor provides immutable n-dimensional arrays that are evaluated
// lazily by MLX.
//
// # Overview
//
// A *Tensor has a shape, a Dtype and a value that is computed when it is first
// needed: by Eval, by reading it (Data, Item, String), or by saving it. Math
// is package functions, so that formulas read as formulas:
//
//	y := tensor.Add(tensor.MatMul(x, w), b)
//
// Operations broadcast and promote types as MLX and NumPy do. float64 lives on
// the CPU, whatever the default device, and is accurate to double precision in
// every function. Names follow MLX in Go's case. Axes may be negative.
//
// # Lifetime
//
// Memory that MLX holds is invisible to Go's garbage collector, and a handle
// that is still open when a graph is evaluated keeps an intermediate result
// alive. So work that matters happens in a Scope:
//
//	s := tensor.NewScope()
//	defer s.Close()
//	h := s.Use(x) // a handle of x in s; what is computed from it is s's too
//	...
//	s.Keep(y)     // y outlives s
//
// The result of an operation belongs to the scope of its operands; if they
// differ, to the one opened last. Constructors make tensors of no scope, and
// the result of operands without a scope has none: these are released after
// the garbage collector finds them, which evaluation triggers under memory
// pressure. Closing a scope never harms a pending graph, since MLX counts its
// own references. Using a closed tensor panics and names where its scope was
// opened and closed.
//
// Any goroutine may use any tensor; MLX itself runs under one lock.
//
// # Errors
//
// Misuse of shapes, dtypes, axes or closed tensors is a programmer's mistake
// and panics with *Error; Try turns that panic into an error. Everything that
// touches the world (evaluation, files, devices) returns an error.
//
// # Caveats
//
// Indices that the host knows (made by FromSlice, Arange and the like) are
// checked when they are used. Indices that are computed on the device are
// clipped into range, and where they were out of range a floating-point result
// is NaN.
//
// A tensor is never larger than the machine's memory, views and constants
// included. On x86 processors subnormal numbers count as zero. Integers that
// are divided by an unknown 0 have no certain value, and wrap around when they
// pass their range.
package tensor
