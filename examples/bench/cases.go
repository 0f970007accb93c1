package main

import (
	"sync"
	"time"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/report"
)

// identity tells cases apart.
type identity struct {
	impl  string
	shape shape
	chunk int // 0 for sdpa
	dtype tensor.Dtype
	pass  string

	// What the options have to name to be shown.
	scan    string
	threads int
}

// benchmark is a case and what was measured of it.
type benchmark struct {
	identity
	asked        line // what the options say, with implementation and chunk size perhaps left open
	flops, bytes float64
	kernels      metal.Work // what the kernels of Metal do; zero for others
	cores        int        // processor cores that work at a time
	memory       float64    // estimate of what a run takes, inputs included

	load  func() (workload, error)
	work  workload
	times []time.Duration
	peak  int64 // the most that the engine has in a run, inputs included
	extra int64 // the same without inputs and results
	nodes int

	launches int // by the kernels' plan, or counted in the graph if there are more
}

// cases lays out what the options ask for; of an implementation that chunk sizes
// make no difference to, each case once. The error is about
// the options, or says that the machine is too small.
func (o *options) cases() ([]*benchmark, error) {
	var all []*benchmark
	type key struct {
		identity
		asked string
	}
	known := map[key]bool{}
	add := func(b *benchmark) error {
		if !program.Fits(b.memory) {
			return errors.Errorf("%s %s at %s takes about %s, more than this machine has", b.impl, b.pass, b.shape, report.Bytes(int64(min(b.memory, 1<<62))))
		}
		if k := (key{b.identity, b.asked.impl}); !known[k] {
			known[k] = true
			all = append(all, b)
		}
		return nil
	}
	for _, s := range o.shapes.values {
		for _, d := range o.dtypes.values {
			loadRule := sync.OnceValues(func() (*rule, error) { return newRule(s, d) })
			loadAttention := sync.OnceValues(func() (workload, error) { return newAttention(s, d) })
			for _, pass := range o.passes.values {
				for _, impl := range o.impls.values {
					if impl == sdpa {
						if err := add(attentionCase(s, d, pass, loadAttention)); err != nil {
							return nil, err
						}
						continue
					}
					for _, opt := range o.rules(impl) {
						b, err := ruleCase(s, d, pass, opt, loadRule)
						if err != nil {
							return nil, errors.Wrapf(err, "-impl %s, -chunk %d", impl, opt.ChunkSize)
						}
						if err := add(b); err != nil {
							return nil, err
						}
					}
				}
			}
		}
	}
	return all, nil
}

// rules returns the rule's options for an implementation by all chunk sizes,
// scans and numbers of threads.
func (o *options) rules(impl string) []gateddelta.Options {
	var all []gateddelta.Options
	for _, chunk := range o.chunks.values {
		for _, scan := range o.scans.orDefault("") {
			for _, threads := range o.threads.orDefault(0) {
				all = append(all, gateddelta.Options{
					Implementation: gateddelta.Implementation(impl), ChunkSize: chunk, Scan: gateddelta.Scan(scan), Threads: threads, FinalState: true,
				})
			}
		}
	}
	return all
}

// ruleCase plans a case of the rule.
func ruleCase(s shape, d tensor.Dtype, pass string, opt gateddelta.Options, inputs func() (*rule, error)) (*benchmark, error) {
	var plan, formulas gateddelta.Plan // the latter for what the formulas cost
	b := &benchmark{}
	err := tensor.Try(func() {
		hollow := hollowRule(s, d)
		defer tensor.Free(hollow.operands()...)
		tape := autograd.NoGrad()
		defer tape.Close()
		in := hollow.on(tape)
		plan = gateddelta.Explain(in, opt)
		if formulas = plan; plan.Implementation == gateddelta.Metal {
			formulas = gateddelta.Explain(in, gateddelta.Options{Implementation: gateddelta.Chunk, ChunkSize: plan.ChunkSize, Scan: gateddelta.ScanSequential, FinalState: true})
		}
		for _, x := range append(hollow.operands(), hollow.v, hollow.h0) { // these two are like the outputs
			b.memory += float64(x.Bytes())
		}
	})
	if err != nil {
		return nil, err
	}
	b.identity = identity{impl: string(plan.Implementation), shape: s, chunk: plan.ChunkSize, dtype: d, pass: pass}
	b.asked = line{impl: string(opt.Implementation), shape: s.withT(0), chunk: opt.ChunkSize, dtype: d, pass: pass}
	if plan.Implementation == gateddelta.Recurrent {
		b.asked.chunk = 0
	}
	if opt.Scan != "" {
		b.scan, b.asked.scan = string(plan.Scan), string(opt.Scan)
	}
	if opt.Threads != 0 {
		b.threads, b.asked.threads = plan.Threads, opt.Threads
	}
	b.cores = plan.Threads
	b.flops, b.bytes = formulas.ForwardFLOPs, float64(plan.ForwardTraffic)
	if pass == training {
		b.flops += formulas.BackwardFLOPs
		b.bytes += float64(plan.BackwardTraffic)
		b.memory += float64(plan.KeptBytes + plan.BackwardBytes)
	}
	b.countKernels(plan)
	b.load = func() (workload, error) {
		r, err := inputs()
		return ruleRun{r, opt}, err
	}
	return b, nil
}

// countKernels notes what only those who make the kernels know of them.
func (b *benchmark) countKernels(plan gateddelta.Plan) {
	if plan.Implementation != gateddelta.Metal {
		return
	}
	s := b.shape
	offsets := make([]int, s.B()+1)
	for i := range offsets {
		offsets[i] = i * s.T()
	}
	kernels := metal.NewPlan(metal.Config{Dtype: b.dtype, Chunk: plan.ChunkSize, DK: s.K(), DV: s.V(), HK: s.Hk(), HV: s.Hv()}, offsets, 0)
	if b.pass == training {
		b.kernels = kernels.ForwardWork().Add(kernels.BackwardWork())
	} else {
		b.kernels = kernels.ForwardOnly().ForwardWork()
	}
	b.launches = b.kernels.Launches
}

// cost returns the operations and bytes that a run comes to.
func (b *benchmark) cost() (flops, bytes float64) {
	if b.kernels.Launches > 0 {
		return b.kernels.FLOPs, b.kernels.Bytes
	}
	return b.flops, b.bytes
}

// attentionCase is a case of the engine's attention.
func attentionCase(s shape, d tensor.Dtype, pass string, load func() (workload, error)) *benchmark {
	b := &benchmark{identity: identity{impl: sdpa, shape: s, dtype: d, pass: pass}, cores: 1, load: load}
	b.asked = line{impl: sdpa, shape: s.withT(0), dtype: d, pass: pass}
	b.flops, b.bytes, b.memory = attentionCost(s, d.Size(), pass == training)
	return b
}
