package autograd_test

import (
	"runtime"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// live is the number of open handles after a garbage collection.
func live() int {
	runtime.GC()
	runtime.GC()
	return tensor.Live()
}

// made is the number of handles that f leaves open.
func made(f func()) int {
	before := tensor.Live()
	f()
	return tensor.Live() - before
}

func TestApplyReleasesTemporaries(t *testing.T) {
	tape, silent := newTape(t), autograd.NoGrad()
	defer silent.Close()
	x, y := tape.Var(vec(1, 2)), silent.Var(vec(1, 2))
	for _, c := range []struct {
		name string
		f    func()
		want int
	}{
		{"product", func() { mul(x, x) }, 1},
		{"output and a saved temporary", func() { silu(x) }, 2},
		{"not recorded: output only", func() { silu(y) }, 1},
		{"constants: output only", func() { silu(x.Detach()) }, 1},
		{"detached", func() { x.Detach() }, 0},
		{"checkpoint: output only", func() { autograd.Checkpoint(three, x) }, 1},
		{"checkpoint without recording", func() { autograd.Checkpoint(three, y) }, 1},
	} {
		if got := made(c.f); got != c.want {
			t.Errorf("%s: %d handles stay open, want %d", c.name, got, c.want)
		}
	}
}

// three is a small network.
func three(in ...*autograd.Var) []*autograd.Var {
	return []*autograd.Var{silu(mul(silu(in[0]), in[0]))}
}

// A backward pass leaves the gradients of the leaves, and takes what was saved.
func TestBackwardReleases(t *testing.T) {
	for _, c := range []struct {
		name   string
		retain bool
		want   int
	}{{"", false, 1 - 3}, {"retained", true, 1}} {
		tape := newTape(t)
		if c.retain {
			tape.Retain()
		}
		x := tape.Var(vec(1, 2))
		loss := sum(silu(silu(silu(mul(x, x))))) // three saved temporaries
		if got := made(func() { backward(t, loss) }); got != c.want {
			t.Errorf("%s: %d handles more, want %d", c.name, got, c.want)
		}
	}
}

func TestGradReleases(t *testing.T) {
	tape := newTape(t)
	x, w := tape.Var(vec(1, 2)), tape.Var(vec(3, 4))
	h := mul(x, w)
	y := sum(mul(h, h))
	got := made(func() {
		if _, err := tape.Grad([]*autograd.Var{y}, nil, h); err != nil {
			t.Fatal(err)
		}
	})
	if got != 1 {
		t.Errorf("%d handles more, want that of the gradient", got)
	}
}

func TestTapesLeaveNothingOpen(t *testing.T) {
	p := autograd.NewParam("w", tensor.Normal(tensor.Key(1), 4, 4))
	data := tensor.Normal(tensor.Key(2), 8, 4)
	step := func() {
		tape := autograd.NewTape()
		x := tape.Const(data)
		h := matmul(x, tape.Param(p))
		h.Hook(func(g *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(g, 0.5) })
		h = autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
			return []*autograd.Var{matmul(silu(in[0]), tape.Param(p))}
		}, h)[0]
		loss := sum(mul(h, h))
		grads, err := tape.Backward(loss)
		if err != nil {
			t.Fatal(err)
		}
		p.SetValue(tensor.Sub(tape.Param(p).Value(), tensor.MulScalar(grads.OfParam(p), 1e-4)))
		tape.Close()
		if err := tensor.Eval(p.Value()); err != nil {
			t.Fatal(err)
		}
	}
	step()
	before := live()
	for range 50 {
		step()
	}
	after := live()
	runtime.KeepAlive(p)
	runtime.KeepAlive(data)
	if after != before {
		t.Errorf("%d handles are open, %d before", after, before)
	}
}

// Temporaries, intermediate gradients and what was saved must not pile up if a
// graph is evaluated before the tape is closed.
func TestPeakMemoryBeforeClose(t *testing.T) {
	const n, layers = 1 << 18, 8
	x := tensor.Normal(tensor.Key(1), n)
	if err := tensor.Eval(x); err != nil {
		t.Fatal(err)
	}
	tape := newTape(t)
	v := tape.Var(x)
	h := v
	for range layers {
		h = silu(h)
	}
	dx := backward(t, sum(h)).Of(v)
	tensor.ResetPeakMemory()
	before := tensor.Memory().Active
	if err := tensor.Eval(dx); err != nil {
		t.Fatal(err)
	}
	// A layer holds its output and what it saved. Its other three tensors
	// forwards and five backwards come and go.
	got := float64(tensor.Memory().Peak-before) / (4 * n)
	if limit := 2*layers + 8.; got > limit {
		t.Errorf("the peak is %.1f tensors, want at most %.0f", got, limit)
	}
}
