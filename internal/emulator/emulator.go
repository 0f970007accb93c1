package emulator

/*
#cgo CXXFLAGS: -std=c++17 -O2 -Wall
#include <stdlib.h>
#include "api.h"
*/
import "C"

import (
	"runtime"
	"unsafe"

	"github.com/pkg/errors"
)

// Type is the type of an argument's elements. Half types are passed by their bits.
type Type int32

// The types of arguments.
const (
	Float32  Type = C.EMULATOR_FLOAT32
	Float16  Type = C.EMULATOR_FLOAT16
	BFloat16 Type = C.EMULATOR_BFLOAT16
	Int32    Type = C.EMULATOR_INT32
)

// Argument is an array that a kernel reads, or one that it writes.
type Argument struct {
	data   unsafe.Pointer
	length int
	typ    Type
	output bool
}

// Input is an argument to be read.
func Input[E float32 | uint16 | int32](t Type, data []E) Argument {
	return Argument{data: unsafe.Pointer(unsafe.SliceData(data)), length: len(data), typ: t}
}

// Output is an argument to be written, each element once.
func Output[E float32 | uint16 | int32](t Type, data []E) Argument {
	a := Input(t, data)
	a.output = true
	return a
}

// Launch says what to run.
type Launch struct {
	Kernel         string // name, element type and chunk size, such as chunk_prepare_float32_c16
	DK, DV, HK, HV int    // sizes of keys and values, and numbers of their heads
	Width, Height  int    // threadgroups in the grid
	Simdgroups     int    // in a threadgroup
	Shared         int    // floats of threadgroup memory
	Seed           uint64 // of the order in which threadgroups and simdgroups run
}

// Run runs a kernel to its end on this thread. The error names the first fault: a
// kernel that is wrong, or arguments that it doesn't take. Outputs are undefined
// then.
func Run(l Launch, args []Argument) error {
	name := C.CString(l.Kernel)
	defer C.free(unsafe.Pointer(name))
	launch := C.emulator_launch{
		kernel: name, dk: C.int32_t(l.DK), dv: C.int32_t(l.DV), hk: C.int32_t(l.HK), hv: C.int32_t(l.HV),
		width: C.int32_t(l.Width), height: C.int32_t(l.Height), simdgroups: C.int32_t(l.Simdgroups),
		shared: C.int32_t(l.Shared), seed: C.uint64_t(l.Seed),
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	buffers := make([]C.emulator_buffer, max(1, len(args)))
	for i, a := range args {
		if a.length > 0 {
			pinner.Pin(a.data)
		}
		buffers[i] = C.emulator_buffer{data: a.data, length: C.int64_t(a.length), _type: C.int32_t(a.typ)}
		if a.output {
			buffers[i].output = 1
		}
	}
	pinner.Pin(&buffers[0])
	var fault [1024]C.char
	if C.emulator_run(&launch, &buffers[0], C.int(len(args)), &fault[0], C.size_t(len(fault))) != 0 {
		return errors.New(C.GoString(&fault[0]))
	}
	return nil
}

// Kernels returns the names of all kernels that Run knows.
func Kernels() []string {
	var names []string
	for i := C.int(0); ; i++ {
		name := C.emulator_kernel(i)
		if name == nil {
			return names
		}
		names = append(names, C.GoString(name))
	}
}

// Bodies returns the hash of the kernels' sources that the package was built from.
// The go command does not see when these change, so what uses the emulator
// compares it with theirs; go generate brings it up to date.
func Bodies() string { return C.GoString(C.emulator_bodies()) }
