package metal

import (
	"errors"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// held is a machine that holds memory as a GPU's engine does: kernels are operations
// of a lazy graph, which copy views among their inputs, and whatever an evaluation
// computes is freed when all of it is done. Its numbers mean nothing.
type held struct {
	results  *tensor.Scope // for what kernels give
	flight   *tensor.Scope // for what is in flight
	launches int
}

func (m *held) run(l launch, k *kernel, in []*tensor.Tensor, shapes [][]int) []*tensor.Tensor {
	m.launches++
	if m.flight == nil {
		m.flight = tensor.NewScope()
	}
	dense := make([]*tensor.Tensor, len(in))
	for i, x := range in {
		dense[i] = tensor.Contiguous(m.flight.Use(x))
	}
	one := tensor.Depends([]*tensor.Tensor{tensor.Like(in[0], 0)}, dense)[0]
	var out []*tensor.Tensor
	for i, shape := range shapes {
		x := tensor.Contiguous(tensor.BroadcastTo(tensor.AsType(one, l.config.dtype(k.out[i].kind)), shape...))
		out = append(out, m.results.Use(x))
	}
	return out
}

func (m *held) eval(ts ...*tensor.Tensor) error {
	err := tensor.EvalAhead(ts...)
	if m.flight != nil {
		m.flight.Close()
		m.flight = nil
	}
	return err
}

// training is a layer's forward and backward pass.
type training struct {
	plan  Plan
	B, T  int
	lazy  bool // both passes in one evaluation
	views bool // the values are a view of something larger
}

// bytes runs the passes on a held machine and returns the most that they take beside
// operands, results and gradients, in the forward pass and in all.
func (c training) bytes(t *testing.T) (forward, all int64) {
	t.Helper()
	// Buffers that come from the cache may be larger than what was asked for.
	if err := errors.Join(tensor.SetCacheLimit(0), tensor.ClearCache()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		const usual = 32 << 20
		if err := tensor.SetCacheLimit(usual); err != nil {
			t.Fatal(err)
		}
	}()
	m, z := &held{}, c.plan.config
	c.plan.on = m
	given := tensor.NewScope()
	defer given.Close()
	noise := func(d tensor.Dtype, shape ...int) *tensor.Tensor {
		x := tensor.Contiguous(tensor.BroadcastTo(given.Use(tensor.Zeros(d, 1)), shape...))
		if err := tensor.Eval(x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	keys, values, gates := []int{c.B, c.T, z.HK, z.DK}, []int{c.B, c.T, z.HV, z.DV}, []int{c.B, c.T, z.HV}
	in := Operands{
		Q: noise(z.Dtype, keys...), K: noise(z.Dtype, keys...), V: noise(z.Dtype, values...),
		G: noise(tensor.Float32, gates...), Beta: noise(tensor.Float32, gates...), Scale: 1,
	}
	if c.views {
		in.V = tensor.SliceAxis(noise(z.Dtype, c.B, c.T, z.HV, 2*z.DV), 3, 0, z.DV)
	}
	do := noise(z.Dtype, values...)

	pass := tensor.NewScope()
	defer pass.Close()
	m.results = pass
	for _, x := range []**tensor.Tensor{&in.Q, &in.K, &in.V, &in.G, &in.Beta, &do} {
		*x = pass.Use(*x)
	}
	finish := func(mark int, results []*tensor.Tensor) { // as autograd does
		for _, x := range pass.AppendSince(nil, mark) {
			if !slices.Contains(results, x) {
				tensor.Free(x)
			}
		}
		if !c.lazy {
			if err := m.eval(results...); err != nil {
				t.Fatal(err)
			}
		}
	}
	before, mark := tensor.Memory().Active, pass.Mark()
	tensor.ResetPeakMemory()
	beside := func(results []*tensor.Tensor) int64 {
		n := tensor.Memory().Peak - before
		for _, x := range results {
			n -= x.Bytes()
		}
		return n
	}
	o, ht, starts, err := c.plan.forward(in, !c.lazy)
	results := []*tensor.Tensor{o, ht}
	if finish(mark, append(starts, results...)); err != nil {
		t.Fatal(err)
	}
	forward = beside(results)
	if kept := tensor.Memory().Active - before - o.Bytes() - ht.Bytes(); kept > c.plan.KeptBytes()+1<<12 {
		t.Errorf("%d bytes are kept, the plan says %d", kept, c.plan.KeptBytes())
	}
	mark = pass.Mark()
	d, err := c.plan.backward(in, starts, do, nil, !c.lazy)
	grads := []*tensor.Tensor{d.Q, d.K, d.V, d.G, d.Beta}
	if finish(mark, grads); err != nil {
		t.Fatal(err)
	}
	if results = append(results, grads...); c.lazy {
		tensor.Free(starts...)
		if err := m.eval(results...); err != nil {
			t.Fatal(err)
		}
	}
	if want := c.plan.ForwardWork().Launches + c.plan.BackwardWork().Launches; m.launches != want {
		t.Errorf("%d launches, the plan says %d", m.launches, want)
	}
	return forward, max(forward, beside(results))
}

// large is the configuration of the targets.
var large = Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}

// TestHeld holds the machine of this file to what an H100 took when all segments were
// lazy, in MB (docs/kernels.md).
func TestHeld(t *testing.T) {
	if tensor.DefaultDevice() != tensor.CPU {
		return // other allocators round
	}
	for _, c := range []struct{ T, segment, measured int }{{512, 288, 133}, {2048, 288, 526}, {2048, 2048, 412}} {
		_, all := training{plan: NewPlan(large, []int{0, c.T}, c.segment), B: 1, T: c.T, lazy: true}.bytes(t)
		if got := int(all+5e5) / 1e6; got < c.measured-2 || got > c.measured+2 {
			t.Errorf("T = %d in segments of %d: %d MB, measured were %d", c.T, c.segment, got, c.measured)
		}
	}
}

// TestTargets holds training to what it may take beside operands, results and
// gradients, and the launches of a short sequence to their number.
func TestTargets(t *testing.T) {
	if tensor.DefaultDevice() != tensor.CPU {
		return // other allocators round
	}
	for T, most := range map[int]int64{512: 100e6, 2048: 100e6, 8192: 400e6} {
		p := NewPlan(large, []int{0, T}, 0)
		if n := p.TemporaryBytes() + p.KeptBytes(); n > most {
			t.Errorf("T = %d: %d bytes by the plan, want at most %d", T, n, most)
		}
		if T == 8192 { // takes a gigabyte in all
			continue
		}
		forward, all := training{plan: p, B: 1, T: T}.bytes(t)
		if t.Logf("T = %d: %.1f MB, %.1f in the forward pass", T, float64(all)/1e6, float64(forward)/1e6); all > most {
			t.Errorf("T = %d: %d bytes, want at most %d", T, all, most)
		}
	}
	p := NewPlan(large, []int{0, 512}, 0)
	if f, b := p.ForwardWork().Launches, p.BackwardWork().Launches; f > 6 || f+b > 12 {
		t.Errorf("%d launches forward and %d backward, want at most 6 and 12 in all", f, b)
	}
	if n := NewPlan(large, []int{0, 4096}, 0).ForwardOnly().Segments(); n != 1 {
		t.Errorf("a forward pass alone has %d segments", n)
	}
}

// TestMemory holds small passes to the plan's bound, and has lazy ones pass it.
func TestMemory(t *testing.T) {
	if tensor.DefaultDevice() != tensor.CPU {
		return // other allocators round
	}
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16} {
		c := Config{Dtype: d, Chunk: 16, DK: 32, DV: 32, HK: 2, HV: 8}
		for _, offsets := range [][]int{{0, 500}, {0, 512, 1024}, {0, 3, 3, 20, 700, 701, 702, 900}} {
			for _, segment := range []int{16, 100, 256} {
				B, T := 1, offsets[len(offsets)-1]
				if len(offsets) == 3 {
					B, T = 2, T/2
				}
				run := training{plan: NewPlan(c, offsets, segment), B: B, T: T}
				bound := run.plan.TemporaryBytes() + run.plan.KeptBytes() + 1<<15 // scalars and tables
				_, got := run.bytes(t)
				if t.Logf("%s %v by %d: %d, bound %d", d, offsets, segment, got, bound); got > bound {
					t.Errorf("%s %v by %d: %d bytes beside operands, results and gradients, want at most %d", d, offsets, segment, got, bound)
				}
				run.views = true
				if _, got := run.bytes(t); got > bound+int64(B*T*8*32*d.Size()) {
					t.Errorf("%s %v by %d: %d bytes where V is a view, want at most %d and a copy", d, offsets, segment, got, bound)
				}
				run.views, run.lazy = false, true
				if _, got := run.bytes(t); segment == 100 && got < 2*bound {
					t.Errorf("%s %v by %d: %d bytes at once, the bound is %d: this shows nothing", d, offsets, segment, got, bound)
				}
			}
		}
	}
}

// failing is the default device but for one evaluation.
type failing struct{ evals, at int }

func (m *failing) run(l launch, k *kernel, in []*tensor.Tensor, shapes [][]int) []*tensor.Tensor {
	return l.run(k, in, shapes...)
}

func (m *failing) eval(ts ...*tensor.Tensor) error {
	if m.evals++; m.evals == m.at {
		return errors.New("no memory")
	}
	return tensor.EvalAhead(ts...)
}

// TestStepFails wants the same results where an evaluation between segments fails.
func TestStepFails(t *testing.T) {
	c := Config{Dtype: tensor.Float32, Chunk: 16, DK: 8, DV: 16, HK: 1, HV: 2}
	noise := func(key uint64, shape ...int) *tensor.Tensor {
		return tensor.MulScalar(tensor.Normal(tensor.Key(key), shape...), .3)
	}
	in := Operands{
		Q: noise(1, 1, 70, 1, 8), K: noise(2, 1, 70, 1, 8), V: noise(3, 1, 70, 2, 16),
		G: tensor.Neg(tensor.Abs(noise(4, 1, 70, 2))), Beta: tensor.Sigmoid(noise(5, 1, 70, 2)), H0: noise(6, 1, 2, 8, 16), Scale: 1,
	}
	do, dht := noise(7, 1, 70, 2, 16), noise(8, 1, 2, 8, 16)
	run := func(at int) (results [][]float32, evals int) {
		m := &failing{at: at}
		p := NewPlan(c, []int{0, 70}, 16)
		p.on = m
		o, ht, starts := p.Forward(in)
		d := p.Backward(in, starts, do, dht)
		for _, x := range []*tensor.Tensor{o, ht, d.Q, d.K, d.V, d.G, d.Beta, d.H0} {
			data, err := tensor.Data[float32](x)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, data)
		}
		return results, m.evals
	}
	want, evals := run(0)
	if evals < 6 {
		t.Errorf("%d evaluations", evals)
	}
	for at := range evals {
		got, _ := run(at + 1)
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("result %d differs after evaluation %d failed", i, at+1)
			}
		}
	}
}
