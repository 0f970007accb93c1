package mlxc

/*
#cgo linux LDFLAGS: -ldl -lpthread
#cgo CFLAGS: -O2 -std=gnu11 -Wall
#include "shim.h"
*/
import "C"

import (
	"regexp"
	"sync"
	"unsafe"
)

// mu is the process-wide lock around every C call.
var mu sync.Mutex

// live counts the array references held by Go; guarded by mu.
var live int

// Error is a failure reported by MLX.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// enter takes the lock and loads the library if this is the first call. It
// returns with the lock held, or with an error and the lock free.
func enter() error {
	mu.Lock()
	if ready {
		return nil
	}
	if err := loadLocked(); err != nil {
		mu.Unlock()
		return err
	}
	return nil
}

var sourcePosition = regexp.MustCompile(` at [^ ]*:\d+$`)

// takeError returns the last failure; the lock must be held.
func takeError() error {
	text := C.GoString(C.dt_error())
	if text == "" {
		return &Error{"MLX failed without a message"}
	}
	return &Error{sourcePosition.ReplaceAllString(text, "")}
}

// inlineDims is the number of dimensions that a Made carries by value.
const inlineDims = 6

// Made describes a new array.
type Made struct {
	Array Array
	Dtype Dtype
	ndim  int32
	dims  [inlineDims]int32
	more  []int32
}

// NDim returns the number of dimensions.
func (m *Made) NDim() int { return int(m.ndim) }

// Dim returns the length of axis i, which must be in range.
func (m *Made) Dim(i int) int {
	if m.more != nil {
		return int(m.more[i])
	}
	return int(m.dims[i])
}

// describe copies what C says of an array; the lock must be held.
func describe(r C.dt_result) Made {
	m := Made{Array: Array(r.ctx), Dtype: Dtype(r.dtype), ndim: int32(r.ndim)}
	dims := unsafe.Slice((*int32)(unsafe.Pointer(r.shape)), int(r.ndim))
	if len(dims) > inlineDims {
		m.more = append([]int32(nil), dims...)
	} else {
		copy(m.dims[:], dims)
	}
	return m
}

// leave turns the result of a call into Go's view of it and drops the lock.
func leave(r C.dt_result) (Made, error) {
	if r.ctx == 0 {
		err := takeError()
		mu.Unlock()
		return Made{}, err
	}
	live++
	m := describe(r)
	mu.Unlock()
	return m, nil
}

// leaveVector is leave for a vector of arrays, which it frees.
func leaveVector(v C.uintptr_t) ([]Made, error) {
	made, err := takeVector(v)
	mu.Unlock()
	return made, err
}

// takeVector reads and frees a vector of arrays; the lock must be held.
func takeVector(v C.uintptr_t) ([]Made, error) {
	if v == 0 {
		return nil, takeError()
	}
	made := make([]Made, int(C.dt_vector_len(v)))
	var err error
	for i := range made {
		r := C.dt_vector_at(v, C.size_t(i))
		if r.ctx == 0 {
			err = takeError()
			continue
		}
		live++
		made[i] = describe(r)
	}
	C.dt_vector_free(v)
	return made, err
}

// failed turns a C return code into an error and drops the lock.
func failed(code C.int) error {
	var err error
	if code != 0 {
		err = takeError()
	}
	mu.Unlock()
	return err
}
