// Package mlxc holds every call from Go into mlx-c, the C interface of MLX.
//
// # Loading
//
// The library is opened at run time, at the first call, through a table of
// function pointers with the package's own declarations of the C types; so Go
// code that imports it builds without MLX. The generated files come from the
// headers of mlx-c ("go generate" with an installed MLX). Where no usable
// library is found every call returns an *UnavailableError that says what to
// type.
//
// # Threads
//
// Every device has one evaluation stream that all threads share, the CPU another
// one for work that goes beside the rest of an evaluation, and one lock around
// every C call makes that safe, evaluation included. Callbacks from C into Go
// release the lock while Go code runs.
//
// # Lifetime
//
// An Array is a counted reference. Free returns it; Release queues it from any
// goroutine, garbage-collector cleanups included, until the next call that
// drains the queue. Live counts the references that exist.
//
// # Errors
//
// MLX's exceptions come back as *Error with the text of MLX, without the
// position in mlx-c's sources that it appends. Nothing in this package exits
// or panics.
package mlxc

//go:generate go run ./gen
