package gateddelta

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// settle lets tensors that nothing refers to be released.
func settle(t *testing.T) {
	t.Helper()
	for range 3 {
		runtime.GC()
		time.Sleep(5 * time.Millisecond) // cleanups run concurrently
		if err := tensor.Eval(tensor.Zeros(tensor.Float32, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemory holds what the tape keeps, and the peak of the backward pass, to
// the formulas of the package documentation.
func TestMemory(t *testing.T) {
	for _, c := range []sampling{
		{B: 1, T: 1024, Hk: 1, Hv: 4, K: 64, V: 64},
		{B: 1, T: 512, Hk: 4, Hv: 4, K: 128, V: 32},
		{B: 2, T: 512, Hk: 1, Hv: 2, K: 32, V: 128},
	} {
		c.h0, c.dht = true, true
		p := sample(1, c)
		for _, v := range []variant{
			{implementation: Chunk, chunk: 16, dtype: tensor.Float32, segment: 4},
			{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 1},
			{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 3},
			{implementation: Chunk, chunk: 128, dtype: tensor.Float32, segment: 2},
		} {
			t.Run(fmt.Sprint(p, "/", v), func(t *testing.T) {
				u := p.usage(t, v)
				segments := (p.T + v.chunk*v.segment - 1) / (v.chunk * v.segment)
				kept := int64((segments - 1) * p.B * p.Hv * p.K * p.V * 4)
				bound := int64(10 * v.segment * p.B * p.Hv * (v.chunk*max(p.K, p.V) + v.chunk*v.chunk + p.K*p.V) * 4)
				u.check(t, kept, bound+int64(1+u.plan.Threads)*u.gradients)
			})
		}
	}
}

// usage is the memory that an application takes.
type usage struct {
	kept      int64 // by the tape, besides inputs and outputs
	peak      int64 // of the backward pass
	gradients int64
	plan      Plan
}

// usage runs the problem and looks at the allocator.
func (p problem) usage(t *testing.T, v variant) usage {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	seeds := p.seeds(v)
	fixed := slices.Clone(seeds)
	for _, x := range leaves {
		fixed = append(fixed, x.Value())
	}
	if err := tensor.Eval(fixed...); err != nil {
		t.Fatal(err)
	}
	settle(t)

	start := tensor.Memory().Active
	out := p.apply(in, v)
	if err := tensor.Eval(out.O.Value(), out.FinalState.Value()); err != nil {
		t.Fatal(err)
	}
	u := usage{kept: tensor.Memory().Active - start - out.O.Value().Bytes() - out.FinalState.Value().Bytes(), plan: Explain(in, p.options(v))}

	start = tensor.Memory().Active
	tensor.ResetPeakMemory()
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, seeds, leaves...)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.Eval(grads...); err != nil {
		t.Fatal(err)
	}
	u.peak = tensor.Memory().Peak - start
	for _, g := range grads {
		u.gradients += g.Bytes()
	}
	runtime.KeepAlive(fixed)
	return u
}

// check wants so much kept, but for small arrays, and at most so much taken by the
// backward pass, and the same of Explain.
func (u usage) check(t *testing.T, kept, peak int64) {
	t.Helper()
	if u.kept < kept || u.kept > kept+1<<14 || u.plan.KeptBytes != kept {
		t.Errorf("the tape keeps %d bytes besides inputs and outputs, Explain says %d, want %d", u.kept, u.plan.KeptBytes, kept)
	}
	if u.peak > peak || u.plan.BackwardBytes != peak {
		t.Errorf("the backward pass takes %d bytes, Explain says %d, want at most %d", u.peak, u.plan.BackwardBytes, peak)
	}
}

// TestLeaks wants handles and memory back where they were.
func TestLeaks(t *testing.T) {
	p := sample(1, sampling{B: 1, T: 100, Hk: 1, Hv: 2, K: 16, V: 16, h0: true, dht: true})
	for _, v := range variants(tensor.Float32)[:3] {
		t.Run(v.String(), func(t *testing.T) { leaksNothing(t, func() { p.run(t, v) }) })
	}
}

// leaksNothing wants as many handles and bytes in use after several steps as after the
// first, which may fill caches.
func leaksNothing(t *testing.T, step func()) {
	t.Helper()
	step()
	settle(t)
	live, active := tensor.Live(), tensor.Memory().Active
	for range 5 {
		step()
		settle(t)
	}
	if n := tensor.Live(); n != live {
		t.Errorf("%d handles are open, %d were after the first run", n, live)
	}
	if n := tensor.Memory().Active; n != active {
		t.Errorf("%d bytes are in use, %d were after the first run", n, active)
	}
}

// TestNoGradKeepsNothing runs without recording.
func TestNoGradKeepsNothing(t *testing.T) {
	p := sample(1, sampling{B: 1, T: 512, Hk: 1, Hv: 2, K: 64, V: 64})
	v := variant{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 1}
	tape := autograd.NoGrad()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	for _, x := range leaves {
		if err := tensor.Eval(x.Value()); err != nil {
			t.Fatal(err)
		}
	}
	settle(t)
	start, live := tensor.Memory().Active, tensor.Live()
	out := p.apply(in, v)
	if err := tensor.Eval(out.O.Value()); err != nil {
		t.Fatal(err)
	}
	if kept := tensor.Memory().Active - start - out.O.Value().Bytes(); kept > 1<<14 {
		t.Errorf("%d bytes are kept without a backward pass to come", kept)
	}
	if n := tensor.Live() - live; n != 1 {
		t.Errorf("%d handles are open besides the output", n-1)
	}
}
