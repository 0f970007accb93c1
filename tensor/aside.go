package tensor

import (
	"runtime"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Aside returns f's results for xs, which may hold nils. Where CanAside, what f
// computes from its arguments goes to another core, beside everything else in
// the same evaluation; otherwise it goes where everything goes. Nothing else
// changes, neither values nor when they are computed.
//
// The engine starts work in one order, and only a few operations ahead of what
// is done. So what is to go beside each other must wait for each other every few
// operations (see After), or one waits for the other's end all the same.
//
// The results belong to the scope of xs. Everything else that f computed is
// released.
func Aside(f func(xs []*Tensor) []*Tensor, xs ...*Tensor) []*Tensor {
	s := NewScope()
	defer s.Close()
	s.aside = CanAside()
	in := make([]*Tensor, len(xs))
	for i, x := range xs {
		if x != nil {
			in[i] = s.Use(x)
		}
	}
	out, to := f(in), scopeOf(xs...)
	for _, y := range out {
		if y != nil && y.scope == s {
			y.moveTo(to)
		}
	}
	return out
}

// CanAside reports whether Aside has an effect: not on GPUs, and not where a
// function is traced for Compile or VJP, whose graph the engine takes apart.
func CanAside() bool { return DefaultDevice() == CPU && !Tracing() }

// After is Depends for one tensor, but for the scope: x and what is computed from
// it stays where x is, be that Aside or not.
func After(x, dep *Tensor) *Tensor {
	list, err := mlxc.Depends(deviceOf(x), handles("After", []*Tensor{x}), handles("After", []*Tensor{dep}))
	y := madeList("After", list, err, x)[0]
	runtime.KeepAlive(dep)
	return keepBounds(y, x)
}

// beside returns the device for work in scope s that device d would do.
func beside(s *Scope, d mlxc.Device) mlxc.Device {
	if s != nil && s.aside && d == mlxc.CPU {
		return mlxc.CPUAside
	}
	return d
}
