package gateddelta

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// BenchmarkApply reports tokens per second of the forward pass and of forward
// and backward pass with all six gradients, and the allocator's peak above
// what was there before: outputs, gradients and everything between.
func BenchmarkApply(b *testing.B) {
	for _, shape := range []sampling{
		{B: 4, T: 128, Hk: 2, Hv: 4, K: 32, V: 32},
		{B: 1, T: 1024, Hk: 4, Hv: 8, K: 64, V: 64},
		{B: 1, T: 512, Hk: 8, Hv: 32, K: 128, V: 128},
		{B: 1, T: 2048, Hk: 8, Hv: 32, K: 128, V: 128},
	} {
		shape.h0, shape.dht = true, true
		for _, backward := range []bool{false, true} {
			pass := "forward"
			if backward {
				pass = "forward+backward"
			}
			name := fmt.Sprintf("B%d-T%d-H%d.%d-K%d-V%d/%s", shape.B, shape.T, shape.Hk, shape.Hv, shape.K, shape.V, pass)
			b.Run(name, func(b *testing.B) { benchmarkApply(b, shape, Options{FinalState: true}, backward) })
		}
	}
}

// BenchmarkPacked packs sequences of several lengths where BenchmarkApply has one.
func BenchmarkPacked(b *testing.B) {
	for _, c := range []struct {
		name    string
		lengths []int
	}{
		{"1", []int{2048}},
		{"16-mixed", []int{512, 3, 400, 7, 256, 61, 200, 1, 150, 128, 100, 90, 60, 50, 20, 10}},
		{"16-equal", slices.Repeat([]int{128}, 16)},
		{"200-short", slices.Repeat([]int{1, 3, 7, 12, 20, 18, 9, 10, 2, 16}, 20)},
	} {
		cu := offsets(c.lengths...)
		shape := sampling{B: 1, T: cu[len(cu)-1], Hk: 8, Hv: 32, K: 128, V: 128, cu: cu}
		b.Run(fmt.Sprintf("%s-T%d", c.name, shape.T), func(b *testing.B) {
			benchmarkApply(b, shape, Options{CuSeqlens: cu}, true)
		})
	}
}

// BenchmarkThreads compares one core and two from small steps to large ones.
func BenchmarkThreads(b *testing.B) {
	for _, shape := range []sampling{
		{B: 4, T: 128, Hk: 2, Hv: 4, K: 32, V: 32},
		{B: 1, T: 1024, Hk: 4, Hv: 8, K: 64, V: 64},
		{B: 1, T: 512, Hk: 4, Hv: 8, K: 128, V: 128},
		{B: 1, T: 512, Hk: 8, Hv: 32, K: 128, V: 128},
	} {
		for threads := range 2 {
			b.Run(fmt.Sprintf("B%d-T%d-H%d.%d-K%d/%d", shape.B, shape.T, shape.Hk, shape.Hv, shape.K, threads+1), func(b *testing.B) {
				benchmarkApply(b, shape, Options{Threads: threads + 1}, true)
			})
		}
	}
}

func benchmarkApply(b *testing.B, shape sampling, opt Options, backward bool) {
	p := sample(1, shape)
	v := variant{dtype: tensor.Float32}
	seeds := p.seeds(v)[:1]
	if opt.FinalState {
		seeds = p.seeds(v)
	}
	source := autograd.NoGrad()
	defer source.Close()
	_, list := p.inputs(source, v)
	fixed := append([]*tensor.Tensor{}, seeds...)
	for _, x := range list {
		fixed = append(fixed, x.Value())
	}
	if err := tensor.Eval(fixed...); err != nil {
		b.Fatal(err)
	}
	step := func() {
		tape := autograd.NewTape()
		defer tape.Close()
		leaves := make([]*autograd.Var, len(list))
		for i, x := range list {
			leaves[i] = tape.Var(x.Value())
		}
		in := Inputs{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Beta: leaves[4]}
		if p.h0 != nil {
			in.InitialState = leaves[5]
		}
		out := Apply(in, opt)
		outs := []*autograd.Var{out.O}
		if opt.FinalState {
			outs = append(outs, out.FinalState)
		}
		var results []*tensor.Tensor
		for _, out := range outs {
			results = append(results, out.Value())
		}
		if backward {
			grads, err := tape.Grad(outs, seeds, leaves...)
			if err != nil {
				b.Fatal(err)
			}
			results = append(results, grads...)
		}
		tape.Keep(results...)
		tape.Close()
		if err := tensor.Eval(results...); err != nil {
			b.Fatal(err)
		}
		tensor.Free(results...)
	}
	step()
	before := tensor.Memory().Active
	tensor.ResetPeakMemory()
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		step()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(p.B*p.T*b.N)/b.Elapsed().Seconds(), "tok/s")
	b.ReportMetric(float64(p.B*p.T)/best.Seconds(), "best-tok/s")
	b.ReportMetric(float64(tensor.Memory().Peak-before)/(1<<20), "peak-MiB")
}
