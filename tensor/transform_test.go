package tensor

import (
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pkg/errors"
)

func TestVJP(t *testing.T) {
	base := settle()
	func() {
		x, y := FromSlice([]float64{1, 2, 3}), FromSlice([]float64{4, 5, 6})
		f := func(in []*Tensor) []*Tensor {
			return []*Tensor{Mul(in[0], in[1]), Sum(Square(in[0]), false)}
		}
		outs, grads, err := VJP(f, []*Tensor{x, y}, []*Tensor{Ones(Float64, 3), Scalar(10.0)})
		if err != nil {
			t.Fatal(err)
		}
		wantTensor(t, outs[0], Float64, []int{3}, 4, 10, 18)
		wantTensor(t, outs[1], Float64, []int{}, 14)
		wantTensor(t, grads[0], Float64, []int{3}, 24, 45, 66)
		wantTensor(t, grads[1], Float64, []int{3}, 1, 2, 3)
		s := newTestScope(t)
		outs, grads, err = VJP(f, []*Tensor{s.Use(x), y}, []*Tensor{Ones(Float64, 3), Scalar(10.0)})
		if err != nil || outs[1].scope != s || grads[1].scope != s {
			t.Errorf("the results are not in the operands' scope (%v)", err)
		}
		s.Close()
	}()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}

func TestVJPErrors(t *testing.T) {
	x, one := FromSlice([]float32{1, 2}), Ones(Float32, 2)
	square := func(in []*Tensor) []*Tensor { return []*Tensor{Square(in[0])} }
	boom := errors.New("boom %s%n")
	for _, c := range []struct {
		f     func([]*Tensor) []*Tensor
		in    []*Tensor
		seeds []*Tensor
		text  string
	}{
		{square, []*Tensor{x}, []*Tensor{one, one}, "tensor.VJP: the function has 1 outputs, but there are 2 cotangents"},
		{square, nil, []*Tensor{one}, "tensor.VJP: want at least one primal"},
		{square, []*Tensor{x}, []*Tensor{Ones(Float32, 3)}, "tensor.VJP: [vjp] Output shape (2) does not match cotangent shape (3)"},
		{func([]*Tensor) []*Tensor { return []*Tensor{nil} }, []*Tensor{x}, []*Tensor{one}, "an operand is nil"},
		{func([]*Tensor) []*Tensor { panic("text %d%n") }, []*Tensor{x}, []*Tensor{one}, "tensor.VJP: text %d%n"},
		{func([]*Tensor) []*Tensor { panic(boom) }, []*Tensor{x}, []*Tensor{one}, "tensor.VJP: boom %s%n"},
		{func(in []*Tensor) []*Tensor { return []*Tensor{Add(in[0], Ones(Float32, 3))} }, []*Tensor{x}, []*Tensor{one}, "tensor.Add: shapes can't be broadcast together: [2] x [3]"},
		{func(in []*Tensor) []*Tensor { return []*Tensor{readTraced(t, in[0])} }, []*Tensor{x}, []*Tensor{one}, "inside a function that is traced"},
	} {
		_, _, err := VJP(c.f, c.in, c.seeds)
		wantError(t, err, c.text)
	}
	_, _, err := VJP(func([]*Tensor) []*Tensor { panic(boom) }, []*Tensor{x}, []*Tensor{one})
	if !errors.Is(err, boom) {
		t.Errorf("the cause is lost: %v", err)
	}
	// All is well afterwards.
	_, grads, err := VJP(square, []*Tensor{x}, []*Tensor{one})
	if err != nil {
		t.Fatal(err)
	}
	wantTensor(t, grads[0], Float32, []int{2}, 2, 4)
}

// readTraced reads its operand, which a traced function must not do.
func readTraced(t *testing.T, x *Tensor) *Tensor {
	if _, err := Data[float32](x); err != nil {
		panic(err)
	}
	t.Error("a traced tensor could be read")
	return x
}

func TestCompile(t *testing.T) {
	base := settle()
	func() {
		calls := 0
		c := Compile(func(in []*Tensor) []*Tensor {
			calls++
			return []*Tensor{Add(Mul(in[0], in[1]), Like(in[0], 1)), Sum(in[0], false)}
		})
		defer c.Close()
		for i := range 3 {
			for n := 1; n <= 2; n++ {
				x := Full(float64(i), Float32, n)
				out, err := c.Call(x, AddScalar(x, 2))
				if err != nil {
					t.Fatal(err)
				}
				v := float64(i)
				want := []float64{v*(v+2) + 1, v*(v+2) + 1}
				wantTensor(t, out[0], Float32, []int{n}, want[:n]...)
				wantTensor(t, out[1], Float32, []int{}, v*float64(n))
			}
		}
		if calls != 2 {
			t.Errorf("traced %d times for 2 shapes", calls)
		}
		if _, err := c.Call(Ones(Float64, 1), Ones(Float64, 1)); err != nil || calls != 3 {
			t.Errorf("another dtype: %d calls, %v", calls, err)
		}
		s := newTestScope(t)
		out, err := c.Call(s.Use(Ones(Float32, 1)), Ones(Float32, 1))
		if err != nil || out[0].scope != s {
			t.Errorf("the result is not in the operand's scope (%v)", err)
		}
		s.Close()
		none := Compile(func([]*Tensor) []*Tensor { return []*Tensor{Full(3, Float32, 1)} })
		defer none.Close()
		out, err = none.Call()
		if err != nil {
			t.Fatal(err)
		}
		wantTensor(t, out[0], Float32, []int{1}, 3)
	}()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}

func TestCompileErrors(t *testing.T) {
	calls := 0
	c := Compile(func(in []*Tensor) []*Tensor {
		if calls++; calls == 1 {
			MatMul(in[0], in[0])
		}
		return []*Tensor{Neg(in[0])}
	})
	x := Ones(Float32, 2, 3)
	_, err := c.Call(x)
	wantError(t, err, "tensor.Compiled: tensor.MatMul: inner dimensions differ: [2 3] x [2 3]")
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("the error is %T", err)
	}
	for range 2 { // a failed trace does not stay
		out, err := c.Call(x)
		if err != nil || calls != 2 {
			t.Fatalf("%d calls, %v", calls, err)
		}
		wantTensor(t, out[0], Float32, []int{2, 3}, -1, -1, -1, -1, -1, -1)
	}
	wantPanic(t, func() { _, _ = c.Call(nil) }, "an operand is nil")
	c.Close()
	c.Close()
	_, err = c.Call(x)
	wantError(t, err, "tensor.Compiled: called after Close")

	reads := Compile(func(in []*Tensor) []*Tensor {
		_, err := Item[float32](in[0])
		panic(err)
	})
	defer reads.Close()
	_, err = reads.Call(Ones(Float32, 1))
	wantError(t, err, "inside a function that is traced for VJP or Compile nothing can be evaluated")
}

// Compiled functions and derivatives contain each other.
func TestTracesNest(t *testing.T) {
	square := Compile(func(in []*Tensor) []*Tensor { return []*Tensor{Square(in[0])} })
	defer square.Close()
	call := func(c *Compiled, x *Tensor) *Tensor {
		out, err := c.Call(x)
		if err != nil {
			panic(err)
		}
		return out[0]
	}
	x := FromSlice([]float32{1, 2})
	wantTensor(t, call(square, x), Float32, []int{2}, 1, 4)

	fourth := Compile(func(in []*Tensor) []*Tensor {
		own := Compile(func(in []*Tensor) []*Tensor { return []*Tensor{Square(in[0])} })
		defer own.Close()
		return []*Tensor{call(own, call(square, in[0]))}
	})
	defer fourth.Close()
	wantTensor(t, call(fourth, x), Float32, []int{2}, 1, 16)

	derive := func(f func(*Tensor) *Tensor, x *Tensor) *Tensor {
		_, grads, err := VJP(func(in []*Tensor) []*Tensor { return []*Tensor{f(in[0])} }, []*Tensor{x}, []*Tensor{OnesLike(x)})
		if err != nil {
			panic(err)
		}
		return grads[0]
	}
	wantTensor(t, derive(func(x *Tensor) *Tensor { return call(fourth, x) }, x), Float32, []int{2}, 4, 32)
	second := func(x *Tensor) *Tensor {
		return derive(func(x *Tensor) *Tensor { return derive(func(x *Tensor) *Tensor { return call(fourth, x) }, x) }, x)
	}
	wantTensor(t, second(x), Float32, []int{2}, 12, 48)
	compiled := Compile(func(in []*Tensor) []*Tensor { return []*Tensor{second(in[0])} })
	wantTensor(t, call(compiled, x), Float32, []int{2}, 12, 48)

	// Results may repeat, and be arguments; what is captured is a constant.
	three := Scalar(float32(3))
	odd := Compile(func(in []*Tensor) []*Tensor {
		y := Mul(in[0], three)
		return []*Tensor{y, in[0], y, three}
	})
	defer odd.Close()
	for range 2 {
		out, err := odd.Call(x)
		must(t, 0, err)
		wantTensor(t, out[0], Float32, []int{2}, 3, 6)
		wantTensor(t, out[1], Float32, []int{2}, 1, 2)
		wantTensor(t, out[2], Float32, []int{2}, 3, 6)
		wantTensor(t, out[3], Float32, []int{}, 3)
	}
	both := Compile(func(in []*Tensor) []*Tensor { return []*Tensor{Mul(in[0], three)} })
	defer both.Close()
	if _, err := both.Call(three); err != nil { // an argument that is captured, too
		wantError(t, err, "tensor.Compiled: [compile]")
	}

	// Closing a compiled function inside a trace, where it was used before.
	closing := Compile(func(in []*Tensor) []*Tensor {
		compiled.Close()
		return in
	})
	defer closing.Close()
	wantTensor(t, call(closing, x), Float32, []int{2}, 1, 2)
}

func TestDeepGraphs(t *testing.T) {
	const depth = 200_000
	chain := func(in []*Tensor) []*Tensor {
		y := in[0]
		for range depth {
			y = Neg(y)
		}
		return []*Tensor{y}
	}
	s := newTestScope(t)
	x := s.Use(Ones(Float32, 1))
	wantTensor(t, chain([]*Tensor{x})[0], Float32, []int{1}, 1)
	c := Compile(chain)
	defer c.Close()
	out, err := c.Call(x)
	if err != nil {
		t.Fatal(err)
	}
	wantTensor(t, out[0], Float32, []int{1}, 1)
	_, grads, err := VJP(chain, []*Tensor{x}, []*Tensor{x})
	if err != nil {
		t.Fatal(err)
	}
	wantTensor(t, grads[0], Float32, []int{1}, 1)
}

// While a function is traced, other goroutines go on, and those that trace,
// too, wait for their turn only.
func TestTracingBesideOtherWork(t *testing.T) {
	const workers, rounds = 16, 12
	base := settle()
	shared := Compile(func(in []*Tensor) []*Tensor {
		time.Sleep(time.Millisecond)
		return []*Tensor{Exp(Mul(in[0], in[1]))}
	})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if w%4 == 3 {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			for i := range rounds {
				s := NewScope()
				x := s.Use(FromSlice([]float64{float64(w), float64(i), 0.5}))
				switch w % 3 {
				case 0:
					y := x
					for range 20 {
						y = MulScalar(AddScalar(Tanh(y), 0.25), 0.5)
					}
					if got, err := Data[float64](y); err != nil || len(got) != 3 || math.IsNaN(got[0]) {
						t.Errorf("worker %d: %v, %v", w, got, err)
					}
				case 1:
					_, grads, err := VJP(func(in []*Tensor) []*Tensor {
						time.Sleep(time.Millisecond)
						return []*Tensor{Mul(Square(in[0]), in[0])}
					}, []*Tensor{x}, []*Tensor{OnesLike(x)})
					if err != nil {
						t.Errorf("worker %d: %v", w, err)
						break
					}
					wantClose(t, floats(t, grads[0]), []float64{3 * float64(w*w), 3 * float64(i*i), 0.75}, 1e-12)
				case 2:
					wide := s.Use(BroadcastTo(x, 1+i%3, 3))
					out, err := shared.Call(wide, wide)
					if err != nil {
						t.Errorf("worker %d: %v", w, err)
						break
					}
					if got := floats(t, out[0])[2]; !near(got, math.Exp(0.25), 1e-6) {
						t.Errorf("worker %d: %v", w, got)
					}
				}
				if i%4 == 0 {
					runtime.GC()
				}
				s.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		buf := make([]byte, 1<<20)
		t.Fatalf("deadlock:\n%s", buf[:runtime.Stack(buf, true)])
	}
	shared.Close()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}
