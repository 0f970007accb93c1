package autograd_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func TestBackwardValues(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(x, y *autograd.Var) *autograd.Var
		dx   []float64 // at x = 2, 3 and y = 5, 7; nil for no gradient
		dy   []float64
	}{
		{"product", mul, []float64{5, 7}, []float64{2, 3}},
		{"square by reuse", func(x, _ *autograd.Var) *autograd.Var { return mul(x, x) }, []float64{4, 6}, nil},
		{"sum by reuse", func(x, _ *autograd.Var) *autograd.Var { return add(x, x) }, []float64{2, 2}, nil},
		{"cube", func(x, _ *autograd.Var) *autograd.Var { return mul(mul(x, x), x) }, []float64{12, 27}, nil},
		{"diamond", func(x, y *autograd.Var) *autograd.Var {
			h := mul(x, y)
			return add(mul(h, h), h) // x²y² + xy
		}, []float64{2*2*25 + 5, 2*3*49 + 7}, []float64{2*4*5 + 2, 2*9*7 + 3}},
		{"one gradient for two operands", func(x, y *autograd.Var) *autograd.Var { return mul(add(x, y), add(x, y)) },
			[]float64{14, 20}, []float64{14, 20}},
		{"detached", func(x, y *autograd.Var) *autograd.Var { return mul(x, mul(x, y).Detach()) }, []float64{10, 21}, nil},
		{"side branch", func(x, y *autograd.Var) *autograd.Var {
			mul(y, y) // nothing depends on it
			return mul(x, x)
		}, []float64{4, 6}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			x, y := tape.Var(vec(2, 3)), tape.Var(vec(5, 7))
			grads := backward(t, sum(c.f(x, y)))
			for i, v := range []*autograd.Var{x, y} {
				want := [][]float64{c.dx, c.dy}[i]
				if want == nil {
					if grads.Of(v) != nil {
						t.Errorf("operand %d: want no gradient, got %v", i, read(t, grads.Of(v)))
					}
					continue
				}
				if got := read(t, grads.Of(v)); !slices.Equal(got, want) {
					t.Errorf("operand %d: want %v, got %v", i, want, got)
				}
			}
		})
	}
}

func TestBackwardOfLeaf(t *testing.T) {
	tape := newTape(t)
	x := tape.Var(vec(3))
	if got := read(t, backward(t, x).Of(x)); !slices.Equal(got, []float64{1}) {
		t.Errorf("want [1], got %v", got)
	}
}

func TestRequiresGrad(t *testing.T) {
	tape, silent := newTape(t), autograd.NoGrad()
	defer silent.Close()
	x, c := tape.Var(vec(1)), tape.Const(vec(2))
	for _, v := range []struct {
		name string
		v    *autograd.Var
		want bool
	}{
		{"Var", x, true},
		{"Const", c, false},
		{"mixed", mul(x, c), true},
		{"constants", mul(c, c), false},
		{"detached", x.Detach(), false},
		{"without a gradient", silent.Var(vec(1)), false},
		{"result without a gradient", silu(silent.Var(vec(1))), false},
	} {
		if got := v.v.RequiresGrad(); got != v.want {
			t.Errorf("%s: got %v, want %v", v.name, got, v.want)
		}
	}
	if !tape.Recording() || silent.Recording() {
		t.Error("only the first tape records")
	}
	if x.Tape() != tape {
		t.Error("x is on tape")
	}
}

// divmod has two outputs, of which the test uses some.
func divmod(see func(grad []*tensor.Tensor), allowNil bool) autograd.Function {
	return custom{
		func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			if allowNil {
				ctx.AllowNilGrads()
			}
			return []*tensor.Tensor{tensor.MulScalar(in[0], 2), tensor.MulScalar(in[0], 3)}
		},
		func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			see(grad)
			var sum *tensor.Tensor
			for i, g := range grad {
				if g == nil {
					continue
				}
				if g = tensor.MulScalar(g, float64(2+i)); sum == nil {
					sum = g
				} else {
					sum = tensor.Add(sum, g)
				}
			}
			return []*tensor.Tensor{sum}
		},
	}
}

func TestSeveralOutputs(t *testing.T) {
	for _, c := range []struct {
		name     string
		allowNil bool
		use      func(out []*autograd.Var) *autograd.Var
		want     float64
		absent   []bool
	}{
		{"both", false, func(o []*autograd.Var) *autograd.Var { return add(o[0], o[1]) }, 5, []bool{false, false}},
		{"first, zeros for the other", false, func(o []*autograd.Var) *autograd.Var { return o[0] }, 2, []bool{false, false}},
		{"second, nil for the other", true, func(o []*autograd.Var) *autograd.Var { return o[1] }, 3, []bool{true, false}},
		{"product", false, func(o []*autograd.Var) *autograd.Var { return mul(o[0], o[1]) }, 12, []bool{false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			x := tape.Var(vec(1, 1))
			var absent []bool
			f := divmod(func(grad []*tensor.Tensor) {
				for _, g := range grad {
					absent = append(absent, g == nil)
				}
			}, c.allowNil)
			grads := backward(t, sum(c.use(autograd.Apply(f, x))))
			if got := read(t, grads.Of(x)); !slices.Equal(got, []float64{c.want, c.want}) {
				t.Errorf("want %v, got %v", c.want, got)
			}
			if !slices.Equal(absent, c.absent) {
				t.Errorf("absent gradients: want %v, got %v", c.absent, absent)
			}
		})
	}
}

func TestNonDifferentiableOutputs(t *testing.T) {
	tape := newTape(t)
	x := tape.Var(vec(3, 1, 2))
	out := autograd.Apply(custom{
		func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			ctx.MarkNonDifferentiable(1)
			return []*tensor.Tensor{tensor.Sort(in[0], 0), tensor.Floor(in[0]), tensor.ArgSort(in[0], 0)}
		},
		func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor { return grad[:1] },
	}, x)
	for i, want := range []bool{true, false, false} {
		if got := out[i].RequiresGrad(); got != want {
			t.Errorf("output %d requires a gradient: got %v, want %v", i, got, want)
		}
		if got := out[i].Differentiable(); got != want {
			t.Errorf("output %d is differentiable: got %v, want %v", i, got, want)
		}
	}
	for _, v := range []*autograd.Var{x, x.Detach(), tape.Const(vec(1))} {
		if !v.Differentiable() {
			t.Error("a value of floats is not differentiable")
		}
	}
	inside := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{in[0], autograd.Apply(round, in...)[0], in[0].Detach()}
	}, x)
	for i, want := range []bool{true, false, true} {
		if got := inside[i].Differentiable(); got != want {
			t.Errorf("result %d of a Checkpoint is differentiable: got %v, want %v", i, got, want)
		}
	}
	backward(t, sum(out[0]))
}

// round is a Function without a gradient.
var round = custom{
	func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.MarkNonDifferentiable(0)
		return []*tensor.Tensor{tensor.Round(in[0])}
	}, nil,
}

func TestNilGradient(t *testing.T) {
	tape := newTape(t)
	x, y := tape.Var(vec(1, 2)), tape.Var(vec(3, 4))
	z := autograd.Apply(custom{
		func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			return []*tensor.Tensor{tensor.Add(in[0], in[1])}
		},
		func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			return []*tensor.Tensor{nil, grad[0]}
		},
	}, silu(x), y)[0]
	grads := backward(t, sum(z))
	if grads.Of(x) != nil {
		t.Error("x has a gradient")
	}
	if got := read(t, grads.Of(y)); !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("y: got %v, want ones", got)
	}
}

// Outputs and gradients that are not new tensors.
func TestSharedTensors(t *testing.T) {
	own := vec(10, 20)
	for _, c := range []struct {
		name              string
		forward, backward func(ctx *autograd.Context, ts ...*tensor.Tensor) []*tensor.Tensor
		want              []float64
	}{
		{"identity",
			func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor { return in },
			func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor { return grad },
			[]float64{1, 1}},
		{"one output twice",
			func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				y := tensor.MulScalar(in[0], 2)
				return []*tensor.Tensor{y, y}
			},
			func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return []*tensor.Tensor{tensor.MulScalar(grad[0], 2)}
			},
			[]float64{2, 2}},
		{"a tensor of the caller's",
			func(_ *autograd.Context, _ ...*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{own, own} },
			func(_ *autograd.Context, _ ...*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{own} },
			[]float64{10, 20}},
		{"what was saved",
			func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				slope := tensor.MulScalar(tensor.OnesLike(in[0]), 4)
				ctx.Save(slope)
				return []*tensor.Tensor{tensor.Mul(slope, in[0])}
			},
			func(ctx *autograd.Context, _ ...*tensor.Tensor) []*tensor.Tensor {
				return []*tensor.Tensor{ctx.Saved(0)}
			},
			[]float64{4, 4}},
		{"scopes of its own",
			func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				s := tensor.NewScope()
				defer s.Close()
				y := tensor.MulScalar(s.Use(in[0]), 5)
				s.Keep(y)
				return []*tensor.Tensor{y}
			},
			func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				s := tensor.NewScope()
				defer s.Close()
				d := tensor.MulScalar(s.Use(grad[0]), 5)
				s.Keep(d)
				return []*tensor.Tensor{d}
			},
			[]float64{5, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			x := tape.Var(vec(1, 2))
			// The gradient flows around the op, too, so that handles are shared.
			h := add(x, x)
			y := autograd.Apply(custom{c.forward, c.backward}, h)[0]
			grads := backward(t, sum(add(y, h)))
			want := []float64{2 + 2*c.want[0], 2 + 2*c.want[1]}
			if got := read(t, grads.Of(x)); !slices.Equal(got, want) {
				t.Errorf("want %v, got %v", want, got)
			}
		})
	}
	if got := read(t, own); !slices.Equal(got, []float64{10, 20}) {
		t.Errorf("the caller's tensor became %v", got)
	}
}

func TestGrad(t *testing.T) {
	tape := newTape(t)
	tape.Retain()
	x, y := tape.Var(vec(2, 3)), tape.Var(vec(5, 7))
	h := mul(x, y)
	z := mul(h, h)
	w := add(h, x)

	grads, err := tape.Grad([]*autograd.Var{z, w}, []*tensor.Tensor{vec(1, 10), vec(100, 1000)}, h, x, y, z)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float64{
		{2*10 + 100, 2*21*10 + 1000},
		{120*5 + 100, 1420*7 + 1000},
		{120 * 2, 1420 * 3},
		{1, 10},
	} {
		if got := read(t, grads[i]); !slices.Equal(got, want) {
			t.Errorf("gradient %d: got %v, want %v", i, got, want)
		}
	}
	if all, err := tape.BackwardFrom([]*autograd.Var{z, z}, []*tensor.Tensor{vec(1, 0), vec(0, 1)}); err != nil {
		t.Fatal(err)
	} else if got := read(t, all.Of(x)); !slices.Equal(got, []float64{2 * 10 * 5, 2 * 21 * 7}) {
		t.Errorf("the same result twice: got %v", got)
	} else if all.Of(h) != nil {
		t.Error("the gradient of an intermediate value was kept")
	}
}

func TestGradIsLinearInTheSeeds(t *testing.T) {
	tape := newTape(t)
	tape.Retain()
	x := tape.Var(tensor.AsType(tensor.Normal(tensor.Key(1), 3, 3), tensor.Float64))
	y := silu(matmul(x, silu(x)))
	grad := func(seed *tensor.Tensor) []float64 {
		g, err := tape.Grad([]*autograd.Var{y}, []*tensor.Tensor{seed}, x)
		if err != nil {
			t.Fatal(err)
		}
		return read(t, g[0])
	}
	u := tensor.AsType(tensor.Normal(tensor.Key(2), 3, 3), tensor.Float64)
	v := tensor.AsType(tensor.Normal(tensor.Key(3), 3, 3), tensor.Float64)
	gu, gv, both := grad(u), grad(v), grad(tensor.Add(tensor.MulScalar(u, 3), v))
	for i := range both {
		if d := both[i] - 3*gu[i] - gv[i]; d*d > 1e-24 {
			t.Errorf("element %d: got %v, want %v", i, both[i], 3*gu[i]+gv[i])
		}
	}
}

func TestHooks(t *testing.T) {
	tape := newTape(t)
	x := tape.Var(vec(1, 2))
	h := mul(x, x)
	var order []string
	var kept *tensor.Tensor
	h.Hook(func(grad *tensor.Tensor) *tensor.Tensor {
		order = append(order, "first")
		return tensor.MulScalar(tensor.AddScalar(grad, 0), 10)
	})
	h.Hook(func(grad *tensor.Tensor) *tensor.Tensor {
		order = append(order, "second")
		tape.Keep(grad)
		kept = grad
		return grad
	})
	x.Hook(func(grad *tensor.Tensor) *tensor.Tensor {
		order = append(order, "leaf")
		return nil
	})
	x.Detach().Hook(func(*tensor.Tensor) *tensor.Tensor {
		t.Error("the hook of a constant runs")
		return nil
	})
	grads := backward(t, sum(add(h, h)))
	if got := read(t, grads.Of(x)); !slices.Equal(got, []float64{40, 80}) {
		t.Errorf("got %v, want [40 80]", got)
	}
	if want := []string{"first", "second", "leaf"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	tape.Close()
	if got := read(t, kept); !slices.Equal(got, []float64{20, 20}) {
		t.Errorf("the kept gradient is %v, want [20 20]", got)
	}
}

func TestDeepChain(t *testing.T) {
	const depth = 100_000
	tape := newTape(t)
	x := tape.Var(vec(0))
	one := tape.Const(vec(1))
	y := x
	for range depth {
		y = add(y, one)
	}
	grads := backward(t, y)
	tape.Keep(grads.Of(x), y.Value())
	tape.Close()
	if got := read(t, y.Value()); got[0] != depth {
		t.Errorf("value: got %v, want %d", got, depth)
	}
	if got := read(t, grads.Of(x)); got[0] != 1 {
		t.Errorf("gradient: got %v, want 1", got)
	}
}

func TestTapePerGoroutine(t *testing.T) {
	w := autograd.NewParam("w", vec(1, 2, 3))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				tape := autograd.NewTape()
				x := tape.Var(vec(float64(i), 1, 2))
				grads, err := tape.Backward(sum(mul(silu(x), tape.Param(w))))
				if err != nil {
					t.Error(err)
				} else if got, err := tensor.Data[float64](grads.OfParam(w)); err != nil || len(got) != 3 {
					t.Error(got, err)
				}
				tape.Close()
			}
		})
	}
	wg.Wait()
}
