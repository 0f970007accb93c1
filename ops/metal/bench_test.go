package metal_test

import (
	"fmt"
	"testing"

	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// benchmarked are the sizes to time: those of models on a GPU, and small ones for
// the emulator.
func benchmarked() (c metal.Config, lengths []int) {
	c = metal.Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}
	if tensor.DefaultDevice() == tensor.CPU {
		c.DK, c.DV, c.HK, c.HV = 64, 64, 1, 2
		return c, []int{64}
	}
	return c, []int{512, 2048, 8192, 16384}
}

// BenchmarkRule times the rule's passes, which it evaluates each time, and reports
// TFLOP/s by the cost model and the peak of memory beside operands and results.
func BenchmarkRule(b *testing.B) {
	c, lengths := benchmarked()
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16} {
		for _, T := range lengths {
			c.Dtype = d
			b.Run(fmt.Sprintf("%s/T%d/forward", d, T), func(b *testing.B) { benchmarkRule(b, c, T, 0, false) })
			b.Run(fmt.Sprintf("%s/T%d/both", d, T), func(b *testing.B) { benchmarkRule(b, c, T, 0, true) })
		}
	}
}

// BenchmarkSegments cuts the tokens into segments of several lengths.
func BenchmarkSegments(b *testing.B) {
	c, lengths := benchmarked()
	for _, T := range lengths {
		for segment := 128; segment < 2*T && segment <= 2048; segment *= 2 {
			b.Run(fmt.Sprintf("T%d/%d", T, segment), func(b *testing.B) { benchmarkRule(b, c, T, segment, true) })
		}
	}
}

func benchmarkRule(b *testing.B, c metal.Config, T, segment int, backward bool) {
	p := problem{B: 1, T: T, HK: c.HK, HV: c.HV, DK: c.DK, DV: c.DV, chunk: c.Chunk, dtype: c.Dtype}
	plan := metal.NewPlan(c, p.offsets(), segment)
	work := plan.ForwardWork()
	if backward {
		work = work.Add(plan.BackwardWork())
	}
	in, do, _ := p.operands()
	evaluate(b, in.Q, in.K, in.V, in.G, in.Beta, do)
	pass := func() (bytes int64) {
		s := tensor.NewScope()
		x := in
		x.Q, x.K, x.V, x.G, x.Beta = s.Use(in.Q), s.Use(in.K), s.Use(in.V), s.Use(in.G), s.Use(in.Beta)
		o, ht, starts := plan.Forward(x)
		results := []*tensor.Tensor{o, ht}
		if backward {
			d := plan.Backward(x, starts, s.Use(do), nil)
			results = append(results, d.Q, d.K, d.V, d.G, d.Beta, d.H0)
		}
		s.Keep(results...)
		s.Close() // handles would keep temporaries
		evaluate(b, results...)
		for _, r := range results {
			bytes += r.Bytes()
		}
		tensor.Free(results...)
		return bytes
	}
	results := pass() // which compiles
	before := tensor.Memory().Active
	tensor.ResetPeakMemory()
	for b.Loop() {
		pass()
	}
	perOp := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(work.FLOPs/perOp/1e12, "TFLOP/s")
	b.ReportMetric(float64(tensor.Memory().Peak-before-results)/1e6, "temporary-MB")
	b.ReportMetric(float64(T)/perOp, "tok/s")
}

func evaluate(b *testing.B, ts ...*tensor.Tensor) {
	b.Helper()
	if err := tensor.Eval(ts...); err != nil {
		b.Fatal(err)
	}
}
