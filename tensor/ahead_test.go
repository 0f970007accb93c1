package tensor

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cutFile returns a lazy tensor of ones whose file ends before its data.
func cutFile(t *testing.T, d Dtype, shape ...int) *Tensor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cut%s.safetensors")
	must(t, 0, Save(path, map[string]*Tensor{"x": Ones(d, shape...)}, nil))
	loaded, _, err := Load(path)
	must(t, 0, err)
	must(t, 0, os.Truncate(path, 80))
	return loaded["x"]
}

func TestEvalAhead(t *testing.T) {
	x := AddScalar(Ones(Float32, 3), 1)
	must(t, 0, EvalAhead(x, Zeros(Int32, 2)))
	if n := CountNodes(x); n != 0 {
		t.Errorf("%d nodes are left", n)
	}
	must(t, 0, EvalAhead())
	if got, err := Data[float32](x); err != nil || !slices.Equal(got, []float32{2, 2, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	_, _, err := VJP(func(in []*Tensor) []*Tensor {
		if !Tracing() {
			t.Error("a trace is not noticed")
		}
		wantError(t, EvalAhead(in...), "tensor.EvalAhead: ", "traced")
		return in
	}, []*Tensor{x}, []*Tensor{x})
	must(t, 0, err)
	if Tracing() {
		t.Error("a trace outside of any")
	}
}

// TestEvalAheadFails wants the error again, once, from what is built afterwards, and
// then no numbers.
func TestEvalAheadFails(t *testing.T) {
	for _, d := range []Dtype{Float32, BFloat16, Float64, Int32} {
		t.Run(d.String(), func(t *testing.T) {
			for name, after := range map[string]func(x *Tensor) error{
				"itself":     func(x *Tensor) error { return Eval(x) },
				"read":       func(x *Tensor) error { _, err := Data[float64](AsType(x, Float64)); return err },
				"from it":    func(x *Tensor) error { return Eval(Sum(AddScalar(x, 1), false)) },
				"once more":  func(x *Tensor) error { return EvalAhead(x) },
				"other":      func(x *Tensor) error { s := NewScope(); defer s.Close(); return Eval(Neg(s.Use(x))) },
				"later":      func(x *Tensor) error { must(t, 0, AsyncEval(Neg(x))); return Synchronize() },
				"a compiled": func(x *Tensor) error { return compiledSquare(x) },
			} {
				s := NewScope()
				good, x := s.Use(Ones(Float32, 2)), s.Use(cutFile(t, d, 20, 3))
				live := s.Len()
				wantError(t, EvalAhead(good, x), "cut%s.safetensors", "the file ended before")
				if s.Len() != live {
					t.Errorf("%s: %d tensors are left", name, s.Len()-live)
				}
				wantError(t, Eval(good), "the file ended before") // nobody knows which of them failed
				if !slices.Equal(x.Shape(), []int{20, 3}) || x.Dtype() != d {
					t.Errorf("%s: %s %v", name, x.Dtype(), x.Shape())
				}
				err := after(x)
				wantError(t, err, "cut%s.safetensors", "the file ended before")
				if strings.Count(err.Error(), "ended before") != 1 {
					t.Errorf("%s: %v", name, err)
				}
				if name == "from it" && d != Int32 {
					if v, err := Item[float64](AsType(Sum(AddScalar(x, 1), false), Float64)); err != nil || !math.IsNaN(v) {
						t.Errorf("%v, %v after the error, want NaN", v, err)
					}
				}
				s.Close()
			}
		})
	}
}

func compiledSquare(x *Tensor) error {
	f := Compile(func(in []*Tensor) []*Tensor { return []*Tensor{Square(in[0])} })
	defer f.Close()
	out, err := f.Call(x)
	if err != nil {
		return err
	}
	return Eval(out...)
}

// TestEvalAheadLimit wants tensors as they were.
func TestEvalAheadLimit(t *testing.T) {
	x := AddScalar(Ones(Float32, 1<<20), 1)
	must(t, 0, SetMemoryLimit(Memory().Active+1<<20))
	err := EvalAhead(x)
	must(t, 0, SetMemoryLimit(0))
	var limit *MemoryError
	if !errors.As(err, &limit) {
		t.Fatalf("%v, want a *MemoryError", err)
	}
	if v, err := Item[float32](Max(x, false)); err != nil || v != 2 {
		t.Errorf("%v, %v after the limit is gone", v, err)
	}
}
