package tensor

import (
	"slices"
	"testing"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// TestAside wants the results that f has by itself, in the scope of its arguments,
// and nothing else left open.
func TestAside(t *testing.T) {
	if !CanAside() {
		t.Fatal("tests run on the CPU")
	}
	s := NewScope()
	defer s.Close()
	x, y := s.Use(Normal(Key(1), 64, 64)), Normal(Key(2), 64, 64)
	f := func(xs []*Tensor) []*Tensor {
		a, b := xs[0], xs[1]
		if xs[2] != nil {
			t.Error("nil has become something")
		}
		lower := AddScalar(Tril(a, 0), 3)
		return []*Tensor{MatMul(Exp(a), b), nil, TriInv(lower, false), After(b, a), a}
	}
	want := f([]*Tensor{x, y, nil})
	before := s.Len()
	got := Aside(f, x, y, nil)
	if n := s.Len() - before; n != 4 {
		t.Errorf("%d tensors more in the scope, want the 4 results", n)
	}
	for i := range got {
		if got[i] == nil || want[i] == nil {
			if got[i] != want[i] {
				t.Errorf("result %d is %v, want %v", i, got[i], want[i])
			}
			continue
		}
		if got[i].scope != s {
			t.Errorf("result %d is in another scope", i)
		}
		if d := deviceOf(got[i]); d != mlxc.CPU {
			t.Errorf("what comes of result %d stays aside", i)
		}
		a, _ := Data[float32](got[i])
		b, _ := Data[float32](want[i])
		if !slices.Equal(a, b) {
			t.Errorf("result %d differs", i)
		}
	}
	free := Aside(func(xs []*Tensor) []*Tensor { return []*Tensor{Exp(xs[0])} }, Ones(Float32, 2))[0]
	if free.scope != nil || free.Closed() {
		t.Error("a result of tensors without scope is not without")
	}
}

// TestAsideGoesAside looks at where things would be computed.
func TestAsideGoesAside(t *testing.T) {
	x, one := Ones(Float32, 2), Ones(Float64, 2)
	Aside(func(xs []*Tensor) []*Tensor {
		for name, d := range map[string]mlxc.Device{
			"unary": deviceOf(xs[0]), "binary": deviceOf2(x, xs[0]), "list": deviceOfAll(x, xs[0]), "float64": deviceOf(xs[1]),
			"what follows": deviceOf(After(Exp(xs[0]), x)),
		} {
			if d != mlxc.CPUAside {
				t.Errorf("%s: on device %d", name, d)
			}
		}
		if d := deviceOf(After(x, xs[0])); d != mlxc.CPU {
			t.Errorf("what waits for something aside goes to device %d", d)
		}
		return nil
	}, x, one)
	_, _, err := VJP(func(xs []*Tensor) []*Tensor {
		if CanAside() {
			t.Error("aside within a trace")
		}
		return Aside(func(xs []*Tensor) []*Tensor { return []*Tensor{Exp(xs[0])} }, xs...)
	}, []*Tensor{x}, []*Tensor{x})
	if err != nil {
		t.Error(err)
	}
}

// TestAsidePanics wants nothing left open by a function that fails.
func TestAsidePanics(t *testing.T) {
	s := NewScope()
	defer s.Close()
	x := s.Use(Ones(Float32, 2))
	live := settle()
	err := Try(func() {
		Aside(func(xs []*Tensor) []*Tensor {
			return []*Tensor{MatMul(Exp(xs[0]), Ones(Float32, 3, 3))}
		}, x)
	})
	if err == nil {
		t.Fatal("no error")
	}
	if n := settle(); n != live {
		t.Errorf("%d handles are open, %d were", n, live)
	}
}

// TestAsideFails has evaluations fail aside, and wants the next ones, on either
// side and on both, to be good. They are few: each leaks a count of the engine's
// tasks, and it waits for ever when these have reached its limit.
func TestAsideFails(t *testing.T) {
	x := Zeros(Float32, 1, 1)
	singular := func(xs []*Tensor) []*Tensor {
		m, err := mlxc.LinalgTriInv(deviceOf(xs[0]), xs[0].h, false)
		return []*Tensor{made("LinalgTriInv", &m, err, xs[0])}
	}
	for _, async := range []bool{false, true} {
		for range 2 {
			bad := Add(Aside(singular, x)[0], x)
			err := eval("Eval", []*Tensor{bad}, async)
			if async && err == nil {
				err = Synchronize()
			}
			if err == nil {
				t.Fatal("the inverse of 0 is no error")
			}
			good := Add(Aside(func(xs []*Tensor) []*Tensor { return []*Tensor{Exp(xs[0])} }, x)[0], Exp(x))
			if v, err := Item[float32](good); err != nil || v != 2 {
				t.Fatalf("after an error %v, %v", v, err)
			}
		}
	}
}
