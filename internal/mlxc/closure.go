package mlxc

/*
#include "shim.h"
*/
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

// Func is a function of arrays that MLX traces. It runs without the lock held.
// It owns its arguments, which it must free; the references that it returns
// are freed by the caller.
type Func func(in []Made) ([]Array, error)

// closures maps the numbers that C carries to Go functions.
var closures struct {
	sync.Mutex
	last  uintptr
	funcs map[uintptr]*closure
}

type closure struct {
	f   Func
	err error // what f returned when it failed last; guarded by mu
}

func register(f Func) (uintptr, *closure) {
	closures.Lock()
	defer closures.Unlock()
	if closures.funcs == nil {
		closures.funcs = map[uintptr]*closure{}
	}
	closures.last++
	c := &closure{f: f}
	closures.funcs[closures.last] = c
	return closures.last, c
}

// deltatapeClosure runs a Go function for MLX. C holds the lock on Go's
// behalf; it is given back while the function runs.
//
//export deltatapeClosure
func deltatapeClosure(id C.uintptr_t, res unsafe.Pointer, in C.uintptr_t) C.int {
	closures.Lock()
	c := closures.funcs[uintptr(id)]
	closures.Unlock()
	if c == nil {
		return 1
	}
	args := make([]Made, int(C.dt_vector_len(in)))
	for i := range args {
		args[i] = describe(C.dt_vector_at(in, C.size_t(i)))
		live++
	}
	mu.Unlock()
	outs, err := c.f(args)
	mu.Lock()
	c.err = err
	code := C.int(1)
	if err == nil {
		code = C.dt_vector_assign(res, (*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(outs))), C.size_t(len(outs)))
		runtime.KeepAlive(outs)
	}
	freeLocked(outs)
	return code
}

// deltatapeClosureDropped forgets a function when its last copy in C dies.
//
//export deltatapeClosureDropped
func deltatapeClosureDropped(id C.uintptr_t) {
	closures.Lock()
	delete(closures.funcs, uintptr(id))
	closures.Unlock()
}

// failure returns the error of a call that ran c; the lock must be held.
func (c *closure) failure() error {
	err := takeError()
	if c.err != nil {
		err, c.err = c.err, nil
	}
	return err
}

// traceMu serialises the users of the one thread that traces.
var traceMu sync.Mutex

// Tracing reports whether the caller runs inside a trace, where another
// compiled function must be called plainly.
func Tracing() bool { return C.dt_on_tracing_thread() != 0 }

// Differentiating reports whether the caller runs inside a function of VJP.
func Differentiating() bool { return C.dt_differentiating() != 0 }

// VJP returns the outputs of f at the primals and, for the cotangents of the
// outputs, the gradients of the primals, both by MLX's own differentiation.
func VJP(device Device, f Func, primals, cotangents []Array) (outs, grads []Made, err error) {
	if !Tracing() {
		traceMu.Lock()
		defer traceMu.Unlock()
	}
	if err := enter(); err != nil {
		return nil, nil, err
	}
	defer mu.Unlock()
	id, c := register(f)
	o, g := make([]C.uintptr_t, len(cotangents)+1), make([]C.uintptr_t, len(primals)+1)
	code := C.dt_vjp(C.int(device), C.uintptr_t(id), (*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(primals))), C.size_t(len(primals)),
		(*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(cotangents))), C.size_t(len(cotangents)), &o[0], &g[0])
	if code != 0 {
		return nil, nil, c.failure()
	}
	take := func(handles []C.uintptr_t) []Made {
		made := make([]Made, len(handles))
		for i, h := range handles {
			made[i] = describe(C.dt_describe(h))
			live++
		}
		return made
	}
	return take(o[:len(cotangents)]), take(g[:len(primals)]), nil
}

// Compiled is a function whose graph MLX keeps and optimises by input shapes.
type Compiled struct {
	closure C.uintptr_t
	fn      *closure
	device  Device
}

// Compile makes a compiled function for a device; Free ends it.
func Compile(f Func, device Device) (*Compiled, error) {
	traceMu.Lock()
	defer traceMu.Unlock()
	if err := enter(); err != nil {
		return nil, err
	}
	defer mu.Unlock()
	id, fn := register(f)
	handle := C.dt_compiled_new(C.uintptr_t(id), C.int(device))
	if handle == 0 {
		return nil, takeError()
	}
	return &Compiled{closure: handle, fn: fn, device: device}, nil
}

// Call runs the function; the first call with given shapes traces it.
func (c *Compiled) Call(in []Array) ([]Made, error) {
	traceMu.Lock()
	defer traceMu.Unlock()
	if err := enter(); err != nil {
		return nil, err
	}
	defer mu.Unlock()
	if c.closure == 0 {
		return nil, &Error{"the compiled function was freed"}
	}
	v := C.dt_compiled_call(c.closure, (*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(in))), C.size_t(len(in)), C.int(c.device))
	runtime.KeepAlive(in)
	if v == 0 {
		return nil, c.fn.failure()
	}
	return takeVector(v)
}

// Free drops the function and what the engine kept for it.
func (c *Compiled) Free() {
	if !Tracing() {
		traceMu.Lock()
		defer traceMu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	if c.closure != 0 {
		C.dt_compiled_free(c.closure, C.int(c.device))
		c.closure = 0
	}
}
