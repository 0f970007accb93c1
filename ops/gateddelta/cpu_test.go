package gateddelta

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/internal/cpukernel"
	"github.com/deltatape/deltatape/tensor"
)

// hasCPU reports whether there are kernels for a CPU here: not where a GPU is the default
// device, and not with an engine that set-up didn't build.
func hasCPU() bool { return tensor.DefaultDevice() == tensor.CPU && tensor.HostOps() == nil }

// cpuServes is hasCPU. Where it is false, the kernels must be refused by name.
func cpuServes(t *testing.T) bool {
	t.Helper()
	if hasCPU() {
		return true
	}
	p := sample(1, sampling{B: 1, T: 20, Hk: 1, Hv: 1, K: 16, V: 16})
	tape := autograd.NewTape()
	defer tape.Close()
	v := variant{implementation: CPU, dtype: tensor.Float32}
	in, _ := p.inputs(tape, v)
	err := tensor.Try(func() { p.apply(in, v) })
	if err == nil || !strings.Contains(err.Error(), `Implementation is "cpu", but`) {
		t.Errorf("got %v where there are no kernels for a CPU", err)
	}
	return false
}

// TestCPU runs the kernels where the other tests, which have them among their variants,
// don't: on golden files, and through several segments.
func TestCPU(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	kernels := func(chunk, segment int) variant {
		return variant{implementation: CPU, chunk: chunk, segment: segment, dtype: tensor.Float32}
	}
	t.Run("golden", func(t *testing.T) {
		for name, c := range golden(t) {
			t.Run(name, func(t *testing.T) { c.check(t, kernels(0, 0), c.want) })
		}
	})
	t.Run("kinds", func(t *testing.T) {
		for _, gate := range gateKinds {
			for _, keys := range keyKinds {
				for i, beta := range betaKinds {
					p := sample(uint64(i), sampling{B: 2, T: 41, Hk: 1, Hv: 2, K: 20, V: 12, gate: gate, keys: keys, beta: beta, h0: true, dht: true})
					t.Run(p.String(), func(t *testing.T) { p.check(t, kernels(chunkSizes[i], 1+i), p.solve()) })
				}
			}
		}
	})
	t.Run("segments", func(t *testing.T) {
		cu := offsets(0, 70, 1, 0, 33, 200, 16)
		for i, c := range []sampling{
			{B: 2, T: 150, Hk: 2, Hv: 6, K: 33, V: 48, h0: true, dht: true},
			{B: 1, T: cu[len(cu)-1] + 5, Hk: 2, Hv: 4, K: 48, V: 17, h0: true, dht: true, cu: cu},
			{B: 1, T: cu[len(cu)-1], Hk: 1, Hv: 2, K: 16, V: 32, cu: cu, noDelta: true},
		} {
			p := sample(uint64(i), c)
			want := p.solve()
			for _, chunk := range chunkSizes {
				for _, segment := range []int{1, 2, 5} {
					v := kernels(chunk, segment)
					t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
				}
			}
		}
	})
	report.log(t)
}

// TestCPUThreads wants the bits of one thread from two, each time.
func TestCPUThreads(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	p := sample(3, sampling{B: 2, T: 100, Hk: 3, Hv: 6, K: 32, V: 24, h0: true, dht: true})
	v := variant{implementation: CPU, threads: 1, dtype: tensor.Float32}
	want := p.run(t, v)
	for range 5 {
		v.threads = 2
		for name, got := range p.run(t, v) {
			if !slices.Equal(got, want[name]) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

// TestCPUMemory holds what the tape keeps, and the peak of the backward pass, to Explain.
func TestCPUMemory(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	cu := offsets(100, 300, 0, 17, 200)
	for _, c := range []struct {
		sampling
		dtype  tensor.Dtype
		states int64 // that are kept
	}{
		{sampling{B: 1, T: 1024, Hk: 1, Hv: 4, K: 64, V: 64}, tensor.Float32, 7 * 4},
		{sampling{B: 2, T: 300, Hk: 2, Hv: 4, K: 128, V: 32}, tensor.Float32, 2 * 2 * 4},
		{sampling{B: 1, T: 512, Hk: 2, Hv: 2, K: 64, V: 96}, tensor.BFloat16, 3 * 2},
		{sampling{B: 1, T: cu[len(cu)-1], Hk: 1, Hv: 3, K: 48, V: 80, cu: cu}, tensor.Float32, 3 * 3},
	} {
		c.h0, c.dht = true, true
		p := sample(1, c.sampling)
		t.Run(p.String(), func(t *testing.T) {
			u := p.usage(t, variant{implementation: CPU, chunk: 32, segment: 4, dtype: c.dtype})
			if kept := c.states * int64(p.K*p.V*4); u.kept < kept || u.kept > kept+1<<14 || u.plan.KeptBytes != kept {
				t.Errorf("the tape keeps %d bytes, Explain says %d, want %d", u.kept, u.plan.KeptBytes, kept)
			}
			if u.peak > u.plan.BackwardBytes || u.peak < u.plan.BackwardBytes/3 {
				t.Errorf("the backward pass takes %d bytes, Explain says at most %d; the gradients are %d", u.peak, u.plan.BackwardBytes, u.gradients)
			}
		})
	}
}

// TestCPULazy wants nothing to be computed before it is asked for, and no states to be
// written where no backward pass follows.
func TestCPULazy(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	p := sample(1, sampling{B: 1, T: 200, Hk: 1, Hv: 2, K: 32, V: 32, h0: true, dht: true})
	v := variant{implementation: CPU, chunk: 16, segment: 2, dtype: tensor.Float32}
	var peaks []int64
	for _, tape := range []*autograd.Tape{autograd.NewTape(), autograd.NoGrad()} {
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
		active := tensor.Memory().Active
		out := p.apply(in, v)
		if len(peaks) == 0 {
			grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, seeds, leaves...)
			if err != nil {
				t.Fatal(err)
			}
			if n := tensor.Memory().Active - active; n > 1<<10 {
				t.Errorf("%d bytes were computed before they are asked for", n)
			}
			if n := tensor.Primitives(append(grads, out.O.Value())...)["HostOp"]; n != 2 {
				t.Errorf("%d operations wait for their evaluation, want one for each pass", n)
			}
		}
		tensor.ResetPeakMemory()
		if err := tensor.Eval(out.O.Value(), out.FinalState.Value()); err != nil {
			t.Fatal(err)
		}
		peaks = append(peaks, tensor.Memory().Peak-active)
	}
	states := int64(6 * 2 * 32 * 32 * 4)
	if less := peaks[0] - peaks[1]; less < states-1<<13 || less > states+1<<13 { // buffers that are used again may be larger
		t.Errorf("the forward pass takes %d bytes, and %d where nothing is recorded; want %d less", peaks[0], peaks[1], states)
	}
}

// TestCPUChosen wants the kernels by Auto where they were measured to pay, also inside
// functions that Compile traces, and not where VJP has to differentiate.
func TestCPUChosen(t *testing.T) {
	kernels := Chunk
	if cpukernel.Levels() > 1 && hasCPU() {
		kernels = CPU
	}
	tape := autograd.NewTape()
	defer tape.Close()
	inputs := func(d tensor.Dtype, T int) Inputs {
		x := func(heads int) *autograd.Var { return tape.Var(tensor.Zeros(d, 1, T, heads, 32)) }
		return Inputs{Q: x(2), K: x(2), V: x(4)}
	}
	for name, c := range map[string]struct {
		in   Inputs
		opt  Options
		want Implementation
	}{
		"small":   {inputs(tensor.Float32, 3), Options{}, kernels},
		"large":   {inputs(tensor.Float32, 1024), Options{}, kernels},
		"half":    {inputs(tensor.BFloat16, 1024), Options{}, kernels},
		"float64": {inputs(tensor.Float64, 1024), Options{}, Chunk},
		"scan":    {inputs(tensor.Float32, 1024), Options{Scan: ScanTransition}, Chunk},
		"compile": {inputs(tensor.Float32, 1024), Options{Compile: CompileOn}, Chunk},
	} {
		if p := Explain(c.in, c.opt); p.Implementation != c.want {
			t.Errorf("%s: %s, want %s", name, p.Implementation, c.want)
		}
	}

	var got Implementation
	f := func(x []*tensor.Tensor) []*tensor.Tensor {
		inner := autograd.NoGrad()
		in := Inputs{Q: inner.Const(x[0]), K: inner.Const(x[1]), V: inner.Const(x[2])}
		opt := Options{NoDelta: true} // with the inverse VJP can't do Chunk either
		got = Explain(in, opt).Implementation
		return []*tensor.Tensor{Apply(in, opt).O.Value()}
	}
	in := inputs(tensor.Float32, 40)
	xs := []*tensor.Tensor{in.Q.Value(), in.K.Value(), in.V.Value()}
	traced := tensor.Compile(f)
	defer traced.Close()
	if _, err := traced.Call(xs...); err != nil || got != kernels {
		t.Errorf("%s where Compile traces, %v, want %s", got, err, kernels)
	}
	if _, _, err := tensor.VJP(f, xs, xs[2:]); err != nil || got != Chunk {
		t.Errorf("%s where VJP traces, %v, want %s", got, err, Chunk)
	}
}

// TestCPUCompile wants the same bits from a graph that is kept, both passes in it.
func TestCPUCompile(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	p := sample(7, sampling{B: 1, T: 150, Hk: 2, Hv: 4, K: 32, V: 24, h0: true, dht: true})
	v := variant{implementation: CPU, chunk: 16, segment: 2, dtype: tensor.Float32}
	want := p.run(t, v)
	f := tensor.Compile(func(x []*tensor.Tensor) []*tensor.Tensor {
		tape := autograd.NewTape()
		defer tape.Close()
		vars := make([]*autograd.Var, operandCount)
		for i := range vars {
			vars[i] = tape.Var(x[i])
		}
		out := p.apply(Inputs{Q: vars[0], K: vars[1], V: vars[2], LogDecay: vars[3], Beta: vars[4], InitialState: vars[5]}, v)
		grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, x[operandCount:], vars...)
		if err != nil {
			t.Error(err)
			return x
		}
		results := append([]*tensor.Tensor{out.O.Value(), out.FinalState.Value()}, grads...)
		tape.Keep(results...)
		return results
	})
	defer f.Close()
	tape := autograd.NoGrad()
	defer tape.Close()
	_, leaves := p.inputs(tape, v)
	var xs []*tensor.Tensor
	for _, x := range leaves {
		xs = append(xs, x.Value())
	}
	for range 3 {
		out, err := f.Call(append(xs, p.seeds(v)...)...)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"o", "ht", "dq", "dk", "dv", "dg", "dbeta", "dh0"} {
			if !slices.Equal(read(t, out[i]), want[name]) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

func TestCPURefuses(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	tape := autograd.NewTape()
	defer tape.Close()
	single, double := tape.Var(tensor.Zeros(tensor.Float32, 1, 20, 1, 16)), tape.Var(tensor.Zeros(tensor.Float64, 1, 20, 1, 16))
	for want, c := range map[string]struct {
		x   *autograd.Var
		opt Options
	}{
		`Implementation is "cpu", but the kernels take float32, bfloat16 and float16, not float64`: {x: double},
		`Implementation is "cpu", but the kernels have one way to scan, and Scan is "two-level"`:   {x: single, opt: Options{Scan: ScanTwoLevel}},
		`Implementation is "cpu", but the kernels are compiled already, and Compile is on`:         {x: single, opt: Options{Compile: CompileOn}},
		`there is no implementation "gpu", want "auto", "recurrent", "chunk", "cpu" or "metal"`:    {x: single, opt: Options{Implementation: "gpu"}},
	} {
		if c.opt.Implementation == "" {
			c.opt.Implementation = CPU
		}
		if err := tensor.Try(func() { Apply(Inputs{Q: c.x, K: c.x, V: c.x}, c.opt) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestCPUWanted wants the gradients that are asked for, and no others.
func TestCPUWanted(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	p := sample(5, sampling{B: 1, T: 50, Hk: 1, Hv: 2, K: 16, V: 16, h0: true, dht: true})
	v := variant{implementation: CPU, dtype: tensor.Float32}
	all := p.run(t, v)
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	in.V, in.Beta = tape.Const(in.V.Value()), nil
	if err := tensor.Try(func() { p.apply(in, v) }); err != nil {
		t.Fatal(err)
	}
	in.Beta = leaves[4]
	out := p.apply(in, v)
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, p.seeds(v), leaves[0], leaves[4], leaves[5])
	if err != nil {
		t.Fatal(err)
	}
	got := result{"dq": read(t, grads[0]), "dbeta": read(t, grads[1]), "dh0": read(t, grads[2])}
	maps.DeleteFunc(got, func(name string, x []float64) bool { return slices.Equal(x, all[name]) })
	if len(got) > 0 {
		t.Errorf("these differ from what comes with all of them: %v", slices.Collect(maps.Keys(got)))
	}
}
