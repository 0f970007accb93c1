package gateddelta

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// kept returns the number of compiled passes and of keys that came once.
func kept() (compiled, seen int) {
	programs.Lock()
	defer programs.Unlock()
	return len(programs.list), len(programs.seen)
}

// TestCompiled wants the bits of graphs that are built anew, the first time and
// from the cache, of batches and packed sequences with all inputs and with few.
func TestCompiled(t *testing.T) {
	defer FreeCompiled()
	variants := append(variants(tensor.Float32)[:3], variants(tensor.Float64)[2], variants(tensor.BFloat16)[1])
	variants = append(variants, scans(tensor.Float32, 16)[:4]...)
	variants = append(variants, scans(tensor.Float64, 16)[7:11]...)
	for i, c := range []sampling{
		{B: 2, T: 90, Hk: 1, Hv: 2, K: 16, V: 12, gate: "reset", h0: true, dht: true},
		{B: 1, T: 64, Hk: 2, Hv: 2, K: 16, V: 24},
		{B: 1, T: 40, Hk: 1, Hv: 3, K: 8, V: 4, noDo: true, dht: true, noDelta: true},
		{B: 1, T: 150, Hk: 1, Hv: 2, K: 16, V: 12, cu: offsets(70, 0, 1, 33, 16, 17), h0: true, dht: true},
		{B: 1, T: 100, Hk: 1, Hv: 2, K: 16, V: 12, cu: offsets(3, 40, 0, 16, 20)},
	} {
		p := sample(uint64(i), c)
		for _, v := range variants {
			v.compile = CompileOff
			want := p.run(t, v)
			v.compile = CompileOn
			t.Run(fmt.Sprintf("%d/%s", i, v), func(t *testing.T) {
				FreeCompiled()
				for range 2 {
					same(t, p.run(t, v), want, 0)
				}
				if n, _ := kept(); n != 2 {
					t.Errorf("%d compiled passes are kept, want one forward and one backward", n)
				}
			})
		}
	}
}

// TestCompiledKeys changes one thing after the other that a graph hangs on.
func TestCompiledKeys(t *testing.T) {
	FreeCompiled()
	defer FreeCompiled()
	base := sampling{B: 1, T: 70, Hk: 2, Hv: 4, K: 8, V: 6, h0: true, dht: true}
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32}
	type run struct {
		sampling
		variant
		scale float64
		few   bool // no gradients of K and LogDecay
	}
	runs := []run{{sampling: base, variant: v}}
	add := func(change func(*run)) {
		r := runs[0]
		change(&r)
		runs = append(runs, r)
	}
	add(func(r *run) { r.B = 2 })
	add(func(r *run) { r.T = 71 })
	add(func(r *run) { r.T = 80 })
	add(func(r *run) { r.Hk = 1 })
	add(func(r *run) { r.K = 6 })
	add(func(r *run) { r.V = 8 })
	add(func(r *run) { r.h0 = false })
	add(func(r *run) { r.dht = false })
	add(func(r *run) { r.noDo = true })
	add(func(r *run) { r.noDelta = true })
	add(func(r *run) { r.cu = offsets(30, 40) })
	add(func(r *run) { r.cu = offsets(31, 39) })
	add(func(r *run) { r.cu = offsets(70) })
	add(func(r *run) { r.chunk = 32 })
	add(func(r *run) { r.segment = 1 })
	add(func(r *run) { r.dtype = tensor.BFloat16 })
	add(func(r *run) { r.dtype = tensor.Float64 })
	add(func(r *run) { r.scan = ScanTransition })
	add(func(r *run) { r.scan = ScanTwoLevel })
	add(func(r *run) { r.scan, r.length = ScanTwoLevel, 1 })
	add(func(r *run) { r.implementation = Recurrent })
	add(func(r *run) { r.scale = 0.7 })
	add(func(r *run) { r.few = true })
	results := func(r run, compile Compile) result {
		p := sample(1, r.sampling)
		p.scale = r.scale
		v := r.variant
		v.compile = compile
		tape := autograd.NewTape()
		defer tape.Close()
		in, leaves := p.inputs(tape, v)
		if r.few {
			in.K, in.LogDecay = in.K.Detach(), in.LogDecay.Detach()
			leaves = slices.Concat(leaves[:1], leaves[2:3], leaves[4:])
		}
		return p.finish(t, tape, v, p.apply(in, v), leaves)
	}
	for range 2 { // the second time in another order of use
		for _, r := range runs {
			want := results(r, CompileOff)
			t.Run(fmt.Sprintf("%+v", r), func(t *testing.T) { same(t, results(r, CompileOn), want, 0) })
		}
		slices.Reverse(runs)
	}
	if n, _ := kept(); n != mostPrograms {
		t.Errorf("%d compiled passes are kept, want the limit of %d", n, mostPrograms)
	}
}

// TestCompiledLeaks wants handles and memory back when compiled passes are freed
// or displaced.
func TestCompiledLeaks(t *testing.T) {
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32, compile: CompileOn}
	var live int
	var active int64
	for i := range 3 {
		for T := range mostPrograms {
			c := sampling{B: 1, T: 20 + T, Hk: 1, Hv: 2, K: 8, V: 6, h0: true, dht: true}
			if T%2 == 0 {
				c.cu = offsets(20, T)
			}
			sample(1, c).run(t, v)
		}
		FreeCompiled()
		settle(t)
		if i == 0 {
			live, active = tensor.Live(), tensor.Memory().Active
		}
	}
	if n := tensor.Live(); n != live {
		t.Errorf("%d handles are open, %d were after the first round", n, live)
	}
	if n := tensor.Memory().Active; n != active {
		t.Errorf("%d bytes are in use, %d were after the first round", n, active)
	}
	if compiled, seen := kept(); compiled+seen > 0 {
		t.Errorf("%d compiled passes and %d keys are left", compiled, seen)
	}
}

// TestCompileAuto wants what comes once not to be compiled.
func TestCompileAuto(t *testing.T) {
	FreeCompiled()
	defer FreeCompiled()
	p := sample(1, sampling{B: 1, T: 20, Hk: 1, Hv: 2, K: 8, V: 6})
	tape := autograd.NoGrad()
	defer tape.Close()
	in, _ := p.inputs(tape, variant{dtype: tensor.Float32})
	z := resolve(in, Options{})
	z.compile = CompileAuto
	for i, want := range []int{0, 1, 1, 1} {
		z.call("forward", func(in []*tensor.Tensor) []*tensor.Tensor {
			o, _, _ := z.forward(operandsOf(in))
			return []*tensor.Tensor{o}
		}, in.tensors())
		if n, seen := kept(); n != want || seen != 1-want {
			t.Errorf("call %d: %d passes compiled and %d seen, want %d and %d", i, n, seen, want, 1-want)
		}
	}
	for i := range 3 * mostSeen {
		if take(fmt.Sprint(i), false, nil) != nil {
			t.Fatal("a new key is compiled")
		}
	}
	if n, seen := kept(); n != 1 || seen != mostSeen {
		t.Errorf("%d passes compiled and %d seen, want 1 and %d", n, seen, mostSeen)
	}
	for _, gpu := range []bool{false, true} {
		want := CompileOff
		if gpu {
			want = CompileAuto
		}
		if got, _ := (Options{}).chooseCompile(geometry{implementation: Chunk}, gpu); got != want {
			t.Errorf("gpu %t: %s, want %s", gpu, got, want)
		}
		if got, _ := (Options{}).chooseCompile(geometry{implementation: Recurrent}, gpu); got != CompileOff {
			t.Errorf("gpu %t: %s for the recurrent form, want %s", gpu, got, CompileOff)
		}
	}
	err := tensor.Try(func() { Apply(in, Options{Compile: "yes"}) })
	if want := `there is no Compile "yes", want "auto", "on" or "off"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}

// TestCompiledTogether runs several goroutines, one of which frees what the others
// use.
func TestCompiledTogether(t *testing.T) {
	defer FreeCompiled()
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32, compile: CompileOn}
	var group sync.WaitGroup
	for i := range 4 {
		p := sample(uint64(i), sampling{B: 1, T: 40 + i%2, Hk: 1, Hv: 2, K: 8, V: 6, h0: true, dht: true})
		off := v
		off.compile = CompileOff
		want := p.run(t, off)
		group.Go(func() {
			for range 5 {
				same(t, p.run(t, v), want, 0)
				if i == 0 {
					FreeCompiled()
				}
			}
		})
	}
	group.Wait()
}

// TestCompiledInTrace applies the rule in functions that MLX traces, where a
// compiled pass becomes part of the trace.
func TestCompiledInTrace(t *testing.T) {
	defer FreeCompiled()
	p := sample(1, sampling{B: 1, T: 40, Hk: 1, Hv: 2, K: 8, V: 6})
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32, compile: CompileOn}
	want := p.run(t, v)
	tape := autograd.NoGrad()
	defer tape.Close()
	in, _ := p.inputs(tape, v)
	outer := tensor.Compile(func(ts []*tensor.Tensor) []*tensor.Tensor {
		tape := autograd.NewTape()
		vars := make([]*autograd.Var, len(ts))
		for i, x := range ts {
			vars[i] = tape.Var(x)
		}
		out := Apply(Inputs{Q: vars[0], K: vars[1], V: vars[2], LogDecay: vars[3], Beta: vars[4]}, p.options(v))
		grads, err := tape.Grad([]*autograd.Var{out.O}, []*tensor.Tensor{ts[5]}, vars[:5]...)
		if err != nil {
			panic(err)
		}
		tape.Keep(grads...)
		o := out.O.Value()
		tape.Keep(o)
		tape.Close()
		return append([]*tensor.Tensor{o}, grads...)
	})
	defer outer.Close()
	for range 2 {
		got, err := outer.Call(append(in.tensors()[:5], p.seeds(v)[0])...)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"o", "dq", "dk", "dv", "dg", "dbeta"} {
			if !slices.Equal(read(t, got[i]), want[name]) {
				t.Errorf("%s differs inside a trace", name)
			}
		}
	}
}
