package tensor

import (
	"sync/atomic"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Device is a kind of processor.
type Device int

// The devices. GPU is Apple's through Metal or NVIDIA's through CUDA.
const (
	CPU = Device(mlxc.CPU)
	GPU = Device(mlxc.GPU)
)

// String returns "cpu" or "gpu".
func (d Device) String() string {
	if d == GPU {
		return "gpu"
	}
	return "cpu"
}

// ParseDevice is the inverse of Device.String.
func ParseDevice(name string) (Device, error) {
	switch name {
	case "cpu":
		return CPU, nil
	case "gpu":
		return GPU, nil
	}
	return CPU, errors.Errorf("device: want cpu or gpu, got %q", name)
}

// defaultDevice is the device plus one; 0 until it is first needed.
var defaultDevice atomic.Int32

// DefaultDevice returns the device that operations run on: what SetDevice
// chose, else the GPU where there is one.
func DefaultDevice() Device {
	if d := defaultDevice.Load(); d != 0 {
		return Device(d - 1)
	}
	d := CPU
	if mlxc.HasGPU() {
		d = GPU
	}
	defaultDevice.CompareAndSwap(0, int32(d)+1)
	return Device(defaultDevice.Load() - 1)
}

// SetDevice makes d the process's default device.
func SetDevice(d Device) error {
	if d != CPU && d != GPU {
		return errors.Errorf("tensor.SetDevice: want CPU or GPU, got device %d", int(d))
	}
	if _, err := mlxc.Load(); err != nil {
		return errors.WithStack(err)
	}
	if !Available(d) {
		return errors.New("tensor.SetDevice: MLX finds no GPU on this machine that it can use; use the device cpu")
	}
	defaultDevice.Store(int32(d) + 1)
	return nil
}

// Available reports whether MLX is there and can use device d.
func Available(d Device) bool {
	if _, err := mlxc.Load(); err != nil {
		return false
	}
	return d == CPU || mlxc.HasGPU()
}

// deviceFor is where a result of dtype d is computed: no GPU has float64.
func deviceFor(d Dtype) mlxc.Device {
	if d == Float64 {
		return mlxc.CPU
	}
	return mlxc.Device(DefaultDevice())
}

// deviceOf is where a result of x is computed.
func deviceOf(x *Tensor) mlxc.Device {
	if x == nil {
		return mlxc.CPU
	}
	return beside(x.scope, deviceFor(x.dtype))
}

func deviceOf2(a, b *Tensor) mlxc.Device {
	d := deviceFor(b.dtype)
	if a.dtype == Float64 {
		d = mlxc.CPU
	}
	return beside(newerScope(a.scope, b.scope), d)
}

func deviceOfAll(ts ...*Tensor) mlxc.Device {
	d := mlxc.Device(DefaultDevice())
	for _, t := range ts {
		if t != nil && t.dtype == Float64 {
			d = mlxc.CPU
		}
	}
	return beside(scopeOf(ts...), d)
}

// onCPU reports whether a result of x is computed on the CPU.
func onCPU(x *Tensor) bool { return deviceOf(x) != mlxc.GPU }
