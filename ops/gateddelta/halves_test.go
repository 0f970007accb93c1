package gateddelta

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// halvable are problems that two cores can share, by heads and by rows.
func halvable() []problem {
	var list []problem
	for i, c := range []sampling{
		{B: 1, T: 70, Hk: 2, Hv: 4, K: 16, V: 24, h0: true, dht: true},
		{B: 2, T: 33, Hk: 4, Hv: 4, K: 24, V: 8, dht: true, noDo: true},
		{B: 1, T: 50, Hk: 3, Hv: 9, K: 16, V: 16, h0: true, gate: "reset"},
		{B: 3, T: 40, Hk: 1, Hv: 2, K: 16, V: 16, h0: true, dht: true},
		{B: 2, T: 64, Hk: 3, Hv: 3, K: 8, V: 16, h0: true, dht: true, noDelta: true},
		{B: 1, T: 120, Hk: 2, Hv: 4, K: 16, V: 16, h0: true, dht: true, cu: offsets(50, 0, 1, 16, 33), gate: "inf"},
		{B: 1, T: 90, Hk: 5, Hv: 5, K: 16, V: 16, cu: offsets(3, 80)},
	} {
		list = append(list, sample(uint64(i), c))
	}
	return list
}

// TestHalves wants the bits of one core from two.
func TestHalves(t *testing.T) {
	for _, p := range halvable() {
		for _, v := range []variant{
			{implementation: Chunk, chunk: 16, dtype: tensor.Float32},
			{implementation: Chunk, chunk: 32, dtype: tensor.Float64, segment: 1},
			{implementation: Chunk, chunk: 16, dtype: tensor.BFloat16, segment: 2},
			{implementation: Chunk, chunk: 64, dtype: tensor.Float16},
			{implementation: Chunk, chunk: 16, dtype: tensor.Float32, scan: ScanTransition, segment: 2},
			{implementation: Chunk, chunk: 16, dtype: tensor.Float32, scan: ScanTwoLevel},
		} {
			t.Run(p.String()+"/"+v.String(), func(t *testing.T) {
				v.threads = 1
				want := p.run(t, v)
				v.threads = 2
				tape := autograd.NewTape()
				defer tape.Close()
				in, leaves := p.inputs(tape, v)
				if plan := Explain(in, p.options(v)); plan.Threads != 2 {
					t.Fatalf("the plan is\n%v", plan)
				}
				same(t, p.finish(t, tape, v, p.apply(in, v), leaves), want, 0)
				same(t, p.run(t, v), want, 0)
			})
		}
	}
}

// TestHalvesOfOracle holds two cores to the oracle by themselves.
func TestHalvesOfOracle(t *testing.T) {
	for _, p := range halvable() {
		v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float64, threads: 2}
		t.Run(p.String(), func(t *testing.T) { p.check(t, v, p.solve()) })
	}
}

// TestHalvesWithMask has both halves leave out padding, and gradients arrive at
// the forms in which a layer has its operands.
func TestHalvesWithMask(t *testing.T) {
	run := func(threads int) [][]float64 {
		tape := autograd.NewTape()
		defer tape.Close()
		key := 0
		leaf := func(shape ...int) *autograd.Var {
			key++
			return tape.Var(tensor.Normal(tensor.Key(uint64(key)), shape...))
		}
		const B, T, Hk, Hv, K, V = 2, 37, 2, 4, 16, 8
		leaves := []*autograd.Var{
			leaf(B, T, Hk, K), leaf(B, T, Hk, K), leaf(B, T, Hv, V), leaf(B, T, Hv), leaf(Hv), leaf(Hv), leaf(B, T, Hv), leaf(B, Hv, V, K),
		}
		mask := make([]bool, B*T)
		for i := range mask {
			mask[i] = i%5 != 0 && i != T+1
		}
		in := Inputs{
			Q: leaves[0], K: leaves[1], V: leaves[2], GateInput: leaves[3], ALog: leaves[4], DtBias: leaves[5], BetaLogits: leaves[6],
			InitialState: leaves[7], Mask: tensor.FromSlice(mask, B, T),
		}
		out := Apply(in, Options{ChunkSize: 16, QKL2Norm: true, StateLayout: VK, FinalState: true, Threads: threads})
		outs := []*autograd.Var{out.O, out.FinalState}
		seeds := []*tensor.Tensor{tensor.Normal(tensor.Key(100), B, T, Hv, V), tensor.Normal(tensor.Key(101), B, Hv, V, K)}
		grads, err := tape.Grad(outs, seeds, leaves...)
		if err != nil {
			t.Fatal(err)
		}
		results := [][]float64{read(t, out.O.Value()), read(t, out.FinalState.Value())}
		for _, g := range grads {
			results = append(results, read(t, g))
		}
		return results
	}
	one, two := run(1), run(2)
	for i := range one {
		if !slices.Equal(one[i], two[i]) {
			t.Errorf("result %d differs", i)
		}
	}
}

// TestHalvesOfOneGradient asks for the gradient of each operand alone.
func TestHalvesOfOneGradient(t *testing.T) {
	p := halvable()[0]
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32}
	all := p.run(t, v)
	v.threads = 2
	for i, name := range resultNames[2:] {
		t.Run(name, func(t *testing.T) {
			tape := autograd.NewTape()
			defer tape.Close()
			in, leaves := p.inputs(tape, v)
			for j, x := range []**autograd.Var{&in.Q, &in.K, &in.V, &in.LogDecay, &in.Beta, &in.InitialState} {
				if j != i {
					*x = tape.Const((*x).Value())
				}
			}
			out := p.apply(in, v)
			grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, p.seeds(v), leaves[i])
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(read(t, grads[0]), all[name]) {
				t.Error("differs from what it is among all")
			}
		})
	}
}

// TestHalvesInCheckpoint recomputes the forward pass.
func TestHalvesInCheckpoint(t *testing.T) {
	p := halvable()[0]
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32, segment: 1, threads: 2}
	want := p.run(t, v)
	tape := autograd.NewTape()
	defer tape.Close()
	_, leaves := p.inputs(tape, v)
	outs := autograd.Checkpoint(func(x ...*autograd.Var) []*autograd.Var {
		out := Apply(Inputs{Q: x[0], K: x[1], V: x[2], LogDecay: x[3], Beta: x[4], InitialState: x[5]}, p.options(v))
		return []*autograd.Var{out.O, out.FinalState}
	}, leaves...)
	same(t, p.finish(t, tape, v, Output{O: outs[0], FinalState: outs[1]}, leaves), want, 0)
}

// TestHalvesInCompile wants one core, and the same bits, where Apply is traced.
func TestHalvesInCompile(t *testing.T) {
	p := halvable()[0]
	v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32, threads: 2}
	threads := 0
	apply := func(xs []*tensor.Tensor) []*tensor.Tensor {
		tape := autograd.NoGrad()
		in := Inputs{
			Q: tape.Const(xs[0]), K: tape.Const(xs[1]), V: tape.Const(xs[2]), LogDecay: tape.Const(xs[3]), Beta: tape.Const(xs[4]),
			InitialState: tape.Const(xs[5]),
		}
		threads = Explain(in, p.options(v)).Threads
		o := Apply(in, p.options(v)).O.Value()
		tape.Keep(o)
		tape.Close()
		return []*tensor.Tensor{o}
	}
	tape := autograd.NoGrad()
	defer tape.Close()
	_, leaves := p.inputs(tape, v)
	var xs []*tensor.Tensor
	for _, x := range leaves {
		xs = append(xs, x.Value())
	}
	plain := read(t, apply(xs)[0])
	if threads != 2 {
		t.Errorf("%d threads outside of a trace, want 2", threads)
	}
	compiled := tensor.Compile(apply)
	defer compiled.Close()
	out, err := compiled.Call(xs...)
	if err != nil {
		t.Fatal(err)
	}
	if threads != 1 {
		t.Errorf("%d threads in a trace, want 1", threads)
	}
	if !slices.Equal(read(t, out[0]), plain) {
		t.Error("the compiled function's results differ")
	}
}

// TestHalvesMemory holds two cores to the formulas of the documentation, and wants handles and
// memory back.
func TestHalvesMemory(t *testing.T) {
	for _, c := range []sampling{
		{B: 1, T: 512, Hk: 4, Hv: 4, K: 128, V: 32},
		{B: 1, T: 512, Hk: 2, Hv: 4, K: 64, V: 64},
		{B: 2, T: 512, Hk: 1, Hv: 2, K: 32, V: 128},
	} {
		c.h0, c.dht = true, true
		p := sample(1, c)
		for _, v := range []variant{
			{implementation: Chunk, chunk: 16, dtype: tensor.Float32, segment: 4, threads: 2},
			{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 1, threads: 2},
			{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 3, threads: 2},
		} {
			t.Run(fmt.Sprint(p, "/", v), func(t *testing.T) {
				u := p.usage(t, v)
				segments := (p.T + v.chunk*v.segment - 1) / (v.chunk * v.segment)
				kept := int64((segments - 1) * p.B * p.Hv * p.K * p.V * 4)
				bound := int64(10 * v.segment * p.B * p.Hv * (v.chunk*max(p.K, p.V) + v.chunk*v.chunk + p.K*p.V) * 4)
				slack := 2 * int64(segments-1) << 13 // the allocator may hand out larger pieces that it has
				if u.kept < kept || u.kept > kept+slack || u.plan.KeptBytes != kept {
					t.Errorf("the tape keeps %d bytes besides inputs and outputs, Explain says %d, want %d", u.kept, u.plan.KeptBytes, kept)
				}
				u.kept = kept
				u.check(t, kept, bound+3*u.gradients)
			})
		}
	}
	t.Run("gradients for the most part", func(t *testing.T) {
		p := sample(1, sampling{B: 1, T: 8192, Hk: 4, Hv: 8, K: 64, V: 64, h0: true, dht: true})
		u := p.usage(t, variant{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 4, threads: 2})
		if bound := u.plan.BackwardBytes; u.peak > bound || bound > 4*u.gradients {
			t.Errorf("the backward pass takes %d bytes, Explain says at most %d; the gradients are %d", u.peak, bound, u.gradients)
		}
	})
	p := halvable()[0]
	leaksNothing(t, func() { p.run(t, variant{implementation: Chunk, chunk: 16, dtype: tensor.Float32, threads: 2}) })
}

// TestThreads is when there are two, and that Explain says why.
func TestThreads(t *testing.T) {
	old := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(old)
	large := sampling{B: 1, T: 6, Hk: 8, Hv: 32, K: 128, V: 128}
	with := func(f func(*sampling)) sampling {
		c := large
		f(&c)
		return c
	}
	for _, c := range []struct {
		name  string
		p     sampling
		opt   Options
		cores int
		want  int
	}{
		{"large", large, Options{}, 2, 2},
		{"large, one core", large, Options{}, 1, 1},
		{"large, one core, two asked for", large, Options{Threads: 2}, 1, 2},
		{"large, one asked for", large, Options{Threads: 1}, 2, 1},
		{"recurrent", large, Options{Implementation: Recurrent, Threads: 2}, 2, 1},
		{"packed", with(func(c *sampling) { c.cu = offsets(1, 5) }), Options{CuSeqlens: offsets(1, 5)}, 2, 2},
		{"one key head", with(func(c *sampling) { c.Hk = 1 }), Options{Threads: 2}, 2, 1},
		{"one key head, rows", with(func(c *sampling) { c.B, c.Hk = 2, 1 }), Options{}, 2, 2},
		{"small", with(func(c *sampling) { c.Hk, c.Hv = 2, 2 }), Options{ChunkSize: 16}, 2, 1},
		{"small, two asked for", with(func(c *sampling) { c.Hk, c.Hv = 2, 2 }), Options{ChunkSize: 16, Threads: 2}, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.GOMAXPROCS(c.cores)
			tape := autograd.NewTape()
			defer tape.Close()
			in, _ := sample(1, c.p).inputs(tape, variant{dtype: tensor.Float32})
			if plan := Explain(in, c.opt); plan.Threads != c.want {
				t.Errorf("want %d threads, the plan is\n%v", c.want, plan)
			}
		})
	}
}

// TestAbreast has two functions take turns, and wants panics of either to come
// out.
func TestAbreast(t *testing.T) {
	x := []*tensor.Tensor{tensor.Zeros(tensor.Float32, 1), tensor.Ones(tensor.Float32, 1)}
	var log []string
	walk := func(i, fail int) func(meeting) {
		return func(m meeting) {
			for step := range 3 {
				if step == fail {
					panic(fmt.Sprint("walker ", i))
				}
				log = append(log, fmt.Sprintf("%d.%d", i, step))
				if y := m.with(x[i]); !slices.Equal(read(t, y), read(t, x[i])) {
					t.Error("a meeting changes what it is given")
				}
			}
			log = append(log, fmt.Sprint(i, " ends"))
		}
	}
	abreast(walk(0, -1), walk(1, -1))
	if want := []string{"0.0", "1.0", "0.1", "1.1", "0.2", "1.2", "0 ends", "1 ends"}; !slices.Equal(log, want) {
		t.Errorf("the order is %q, want %q", log, want)
	}
	for i := range 2 {
		for fail := range 3 {
			func() {
				defer func() {
					if r := recover(); r != fmt.Sprint("walker ", i) {
						t.Errorf("recovered %v when %d fails at %d", r, i, fail)
					}
				}()
				fails := []int{-1, -1}
				fails[i] = fail
				abreast(walk(0, fails[0]), walk(1, fails[1]))
			}()
		}
	}
}
