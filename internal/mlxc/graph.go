package mlxc

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Dot describes the graph behind arrays in the DOT language: a rectangle for
// each primitive that is yet to run.
func Dot(arrays []Array) (string, error) {
	if !Tracing() {
		traceMu.Lock()
		defer traceMu.Unlock()
	}
	if err := enter(); err != nil {
		return "", err
	}
	defer mu.Unlock()
	var n C.size_t
	text := C.dt_dot((*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(arrays))), C.size_t(len(arrays)), &n)
	runtime.KeepAlive(arrays)
	if text == nil {
		return "", takeError()
	}
	defer C.free(unsafe.Pointer(text))
	return string(unsafe.Slice((*byte)(unsafe.Pointer(text)), int(n))), nil
}
