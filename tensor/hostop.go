package tensor

import (
	"unsafe"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// HostOp is a function of C that computes tensors on the CPU, as an operation of the
// engine's graph. It is there for implementations of this module's own operations.
//
// Run is of type
//
//	void (*)(const void* payload, const void* const* in, void* const* out, void* workspace)
//
// and is called when a result is evaluated, on a thread of the engine's. It gets the
// elements of the inputs, in row-major order, and memory without contents for those of
// the outputs, all of which it must write, and of Workspace bytes at a multiple of 64. It
// must neither throw nor call Go, and may be called several times, also at once.
//
// Release, a void (*)(void* payload), is called once, on any thread, when no tensor needs
// the payload any more.
type HostOp struct {
	Run, Payload, Release unsafe.Pointer
	Workspace             int64
}

// HostOps returns nil if there are HostOps, and else why not: the library is one that
// set-up didn't build.
func HostOps() error {
	if mlxc.HasHostOp() {
		return nil
	}
	info, err := Versions()
	if err != nil {
		return err
	}
	return errors.Errorf("%s lacks deltatape's addition to mlx-c, which it has where scripts/setup.sh builds it", info.Path)
}

// Differentiating reports whether the caller runs inside a function that is traced for
// VJP, which knows no derivative of a HostOp or Kernel and returns an error.
func Differentiating() bool { return mlxc.Differentiating() }

// Apply returns the outputs for inputs, which it computes on the CPU whatever the default
// device is; they belong to the scope of the inputs. It owns the payload from now on,
// also where it panics. Functions that are traced for Compile can apply it. Where HostOps
// is not nil it panics with *Error.
func (h HostOp) Apply(inputs []*Tensor, outputs []KernelOutput) []*Tensor {
	const op = "HostOp"
	call := mlxc.HostCall(h)
	owned := true
	defer func() {
		if owned {
			call.Free()
		}
	}()
	if err := HostOps(); err != nil {
		raise(op, err)
	}
	if float64(h.Workspace) > largest() {
		panic(NewError("tensor."+op, inputs, "it works in %d bytes, more than this machine's memory of %.3g", h.Workspace, largest()))
	}
	list := kernelOutputs(op, outputs)
	in := handles(op, inputs)
	owned = false
	made, err := mlxc.HostOp(beside(scopeOf(inputs...), mlxc.CPU), call, in, list)
	results := madeList(op, made, err, inputs...)
	for _, y := range results {
		y.fitting(op)
	}
	return results
}
