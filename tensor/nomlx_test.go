package tensor

import (
	"path/filepath"
	"testing"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Without MLX every function says what to type, in the way in which it reports
// errors.
func TestWithoutMLX(t *testing.T) {
	if !inChild(t, "DELTATAPE_MLX=/no/such/place%s%n") {
		return
	}
	const place, hint = "DELTATAPE_MLX=/no/such/place%s%n: /no/such/place%s%n does not exist", "DELTATAPE_MLX names no library that works: unset it"
	_, err := Versions()
	wantError(t, err, place, hint)
	var unavailable *mlxc.UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("the error is %T", err)
	}
	wantError(t, SetDevice(CPU), place, hint)
	if Available(CPU) || Available(GPU) || DefaultDevice() != CPU {
		t.Error("there is a device")
	}
	for op, f := range map[string]func(){
		"tensor.FromSlice: ": func() { FromSlice([]float32{1}) }, "tensor.Scalar: ": func() { Scalar(true) }, "tensor.Full: ": func() { Ones(Float32, 1) },
		"tensor.Arange: ": func() { Arange(0, 3, 1, Int32) }, "tensor.Eye: ": func() { Eye(2, 2, 0, Float32) }, "tensor.Key: ": func() { Key(1) },
	} {
		wantPanic(t, f, op, place, hint)
	}
	wantPanic(t, func() { FromMat(mat.NewDense(1, 1, nil)) }, hint)
	if m := Memory(); m != (MemoryStats{}) {
		t.Errorf("memory %+v", m)
	}
	if Live() != 0 {
		t.Errorf("%d handles", Live())
	}
	ResetPeakMemory()
	for _, err := range []error{SetCacheLimit(1), ClearCache()} {
		wantError(t, err, hint)
	}
	must(t, 0, Eval())
	must(t, 0, Synchronize())
	s := NewScope()
	s.Close()
	c := Compile(func(in []*Tensor) []*Tensor { return in })
	_, err = c.Call()
	wantError(t, err, "tensor.Compile: ", hint)
	c.Close()
	_, _, err = Load(filepath.Join(t.TempDir(), "no"))
	wantError(t, err, "no such file")
	path := filepath.Join(t.TempDir(), "empty")
	must(t, 0, Save(path, nil, nil)) // takes no engine
	_, _, err = Load(path)
	wantError(t, err, "tensor.Load: ", hint)
	wantPanic(t, func() { Exp(nil) }, "tensor.Exp: an operand is nil")
}
