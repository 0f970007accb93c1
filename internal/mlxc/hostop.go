package mlxc

/*
#include "shim.h"
#cgo noescape dt_host_op
#cgo nocallback dt_host_op

static int dt_has_host_op(void) { return dt.deltatape_host_op != NULL; }

static void dt_host_free(void* release, void* payload) {
  if (release) ((void (*)(void*))release)(payload);
}

static uintptr_t dt_host_op(const uintptr_t* inputs, size_t n, void* run, void* payload, void* release,
                            size_t workspace, dt_outputs o, int device) {
  dt_prepare_thread();
  deltatape_host_call call = {run, payload, release, workspace};
  mlx_vector_array in = dt.mlx_vector_array_new_data((const mlx_array*)inputs, n), res = {0};
  int failed = dt.deltatape_host_op(&res, in, call, o.n, o.shapes, o.ndims, (const mlx_dtype*)o.dtypes, dt_streams[device]);
  dt.mlx_vector_array_free(in);
  return dt_made_vector(failed, res);
}
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// HasHostOp reports whether the loaded library has HostOp, which set-up adds to it.
func HasHostOp() bool {
	if enter() != nil {
		return false
	}
	defer mu.Unlock()
	return C.dt_has_host_op() != 0
}

// HostCall is a function of C, as scripts/host_op.h describes it.
type HostCall struct {
	Run, Payload, Release unsafe.Pointer
	Workspace             int64 // bytes
}

// Free releases the payload of a call that no HostOp owns.
func (c HostCall) Free() { C.dt_host_free(c.Release, c.Payload) }

// HostOp makes arrays that a function computes from inputs when they are evaluated,
// on a stream of the CPU. The library must have it. It owns the payload from now on,
// whatever it returns.
func HostOp(device Device, call HostCall, inputs []Array, outputs []KernelOutput) ([]Made, error) {
	if err := enter(); err != nil {
		return nil, err
	}
	var pinner runtime.Pinner
	o := outputsOf(outputs, &pinner)
	v := C.dt_host_op((*C.uintptr_t)(unsafe.Pointer(unsafe.SliceData(inputs))), C.size_t(len(inputs)),
		call.Run, call.Payload, call.Release, C.size_t(call.Workspace), o, C.int(device))
	pinner.Unpin()
	runtime.KeepAlive(inputs)
	return leaveVector(v)
}
