package mlxc

/*
#include "shim.h"
#cgo noescape dt_new_data
#cgo nocallback dt_new_data
#cgo nocallback dt_share
#cgo noescape dt_free
#cgo noescape dt_data
#cgo nocallback dt_data
#cgo nocallback dt_is_evaluated
*/
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

// Array is a counted reference to an array of MLX; 0 is none.
type Array uintptr

// Device is a kind of processor, which has one stream; or another stream of one.
type Device int

// The devices. CPUAside is the CPU through another stream: it works on another
// core at the same time.
const (
	CPU      Device = C.DT_CPU
	GPU      Device = C.DT_GPU
	CPUAside Device = C.DT_CPU_ASIDE
)

// Dtype is MLX's number of an element type.
type Dtype int32

// The element types, in MLX's order; NoDtype stands for an absent one.
const (
	NoDtype Dtype = iota - 1
	Bool
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	Float16
	Float32
	Float64
	BFloat16
	Complex64
)

// CString is a string that ends in a zero byte, for C to read during a call.
type CString *byte

// NewCString copies s; a zero byte in s ends it.
func NewCString(s string) CString {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return &b[0]
}

// NewData makes an array from a copy of the bytes at data.
func NewData(data unsafe.Pointer, shape []int32, dtype Dtype) (Made, error) {
	if err := enter(); err != nil {
		return Made{}, err
	}
	r := C.dt_new_data(data, (*C.int)(unsafe.Pointer(unsafe.SliceData(shape))), C.int(len(shape)), C.int(dtype))
	runtime.KeepAlive(shape)
	return leave(r)
}

// Share returns another reference to an array.
func Share(a Array) (Made, error) {
	if err := enter(); err != nil {
		return Made{}, err
	}
	return leave(C.dt_share(C.uintptr_t(a)))
}

// Free drops references; zeros among them are passed over.
func Free(arrays []Array) {
	if len(arrays) == 0 {
		return
	}
	mu.Lock()
	freeLocked(arrays)
	mu.Unlock()
}

func freeLocked(arrays []Array) {
	if len(arrays) == 0 {
		return
	}
	C.dt_free((*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(arrays))), C.size_t(len(arrays)))
	for _, a := range arrays {
		if a != 0 {
			live--
		}
	}
}

// released holds references that cleanups gave back.
var released struct {
	sync.Mutex
	arrays []Array
}

// Release queues a reference to be dropped at the next Drain or evaluation. It
// never waits for C code, so a cleanup of the garbage collector may call it.
func Release(a Array) {
	released.Lock()
	released.arrays = append(released.arrays, a)
	released.Unlock()
}

// Drain drops the queued references.
func Drain() {
	mu.Lock()
	drainLocked()
	mu.Unlock()
}

func drainLocked() {
	released.Lock()
	arrays := released.arrays
	released.arrays = nil
	released.Unlock()
	freeLocked(arrays)
}

// Live returns the number of references that Go holds, after draining.
func Live() int {
	mu.Lock()
	defer mu.Unlock()
	drainLocked()
	return live
}

// Bytes calls read with the bytes of an evaluated, row-contiguous array, under
// the lock; it returns false without a call where the array is not that.
func Bytes(a Array, read func(data []byte)) bool {
	mu.Lock()
	defer mu.Unlock()
	var n C.size_t
	p := C.dt_data(C.uintptr_t(a), &n)
	if p == nil {
		return false
	}
	read(unsafe.Slice((*byte)(p), int(n)))
	return true
}

// Evaluated reports whether an array's data are there.
func Evaluated(a Array) bool {
	mu.Lock()
	defer mu.Unlock()
	return C.dt_is_evaluated(C.uintptr_t(a)) != 0
}
