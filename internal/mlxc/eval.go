package mlxc

/*
#include "shim.h"
#cgo noescape dt_eval
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Eval evaluates arrays; with async it only starts the work.
func Eval(arrays []Array, async bool) error {
	if err := enter(); err != nil {
		return err
	}
	drainLocked()
	flag := C.int(0)
	if async {
		flag = 1
	}
	code := C.dt_eval((*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(arrays))), C.size_t(len(arrays)), flag)
	runtime.KeepAlive(arrays)
	if async {
		return failed(code)
	}
	return finished(code)
}

// Synchronize waits for the work of a device's stream.
func Synchronize(d Device) error {
	if err := enter(); err != nil {
		return err
	}
	return finished(C.dt_synchronize(C.int(d)))
}

// finished is failed for a call that waited for work. It also reports a file
// that ended early meanwhile, and arrays of Failing.
func finished(code C.int) error {
	var label [1024]C.char
	cut := C.dt_take_read_failure(&label[0], C.size_t(len(label))) != 0
	err := failed(code)
	if err == nil && cut {
		text, meant := failure(C.GoString(&label[0]))
		if !meant {
			text += ": the file ended before the data of a tensor: it was cut after it was opened"
		}
		err = &Error{text}
	}
	return err
}
