package mlxc

/*
#include <stdlib.h>
#include "shim.h"
#cgo noescape dt_kernel_apply
#cgo nocallback dt_kernel_apply
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Kernel is a program for the GPU. It is never freed.
type Kernel uintptr

// NewKernel makes a kernel in the language of the GPU: Metal, or CUDA where HasCUDA.
// The text is compiled at the first evaluation of a result.
func NewKernel(name string, inputs, outputs []string, source, header string) (Kernel, error) {
	if err := enter(); err != nil {
		return 0, err
	}
	in, freeIn := cStrings(inputs)
	defer freeIn()
	out, freeOut := cStrings(outputs)
	defer freeOut()
	texts, freeTexts := cStrings([]string{name, source, header})
	defer freeTexts()
	text := unsafe.Slice(texts, 3)
	k := C.dt_kernel_new(text[0], in, C.size_t(len(inputs)), out, C.size_t(len(outputs)), text[1], text[2])
	if k == 0 {
		err := takeError()
		mu.Unlock()
		return 0, err
	}
	mu.Unlock()
	return Kernel(k), nil
}

// cStrings copies strings into C's memory.
func cStrings(list []string) (**C.char, func()) {
	size := C.size_t(max(1, len(list))) * C.size_t(unsafe.Sizeof((*C.char)(nil)))
	array := (**C.char)(C.malloc(size))
	texts := unsafe.Slice(array, len(list))
	for i, s := range list {
		texts[i] = C.CString(s)
	}
	return array, func() {
		for _, s := range texts {
			C.free(unsafe.Pointer(s))
		}
		C.free(unsafe.Pointer(array))
	}
}

// KernelOutput describes an array that a kernel writes.
type KernelOutput struct {
	Shape []int
	Dtype Dtype
}

// outputsOf is C's view of outputs, until the pinner unpins.
func outputsOf(outputs []KernelOutput, pinner *runtime.Pinner) C.dt_outputs {
	var shapes []C.int
	ndims := make([]C.size_t, len(outputs))
	dtypes := make([]C.int, len(outputs))
	for i, o := range outputs {
		for _, d := range o.Shape {
			shapes = append(shapes, C.int(d))
		}
		ndims[i], dtypes[i] = C.size_t(len(o.Shape)), C.int(o.Dtype)
	}
	c := C.dt_outputs{
		n: C.size_t(len(outputs)), shapes: unsafe.SliceData(shapes),
		ndims: unsafe.SliceData(ndims), dtypes: unsafe.SliceData(dtypes),
	}
	for _, p := range []any{c.shapes, c.ndims, c.dtypes} {
		pinner.Pin(p)
	}
	return c
}

// Apply makes the outputs of one launch, on the GPU: grid counts threads, and
// group those of a threadgroup.
func (k Kernel) Apply(inputs []Array, outputs []KernelOutput, grid, group [3]int) ([]Made, error) {
	if err := enter(); err != nil {
		return nil, err
	}
	var pinner runtime.Pinner
	l := C.dt_launch{outputs: outputsOf(outputs, &pinner)}
	for i := range grid {
		l.grid[i], l.group[i] = C.int(grid[i]), C.int(group[i])
	}
	v := C.dt_kernel_apply(C.uintptr_t(k), (*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(inputs))), C.size_t(len(inputs)), &l)
	pinner.Unpin()
	runtime.KeepAlive(inputs)
	return leaveVector(v)
}
