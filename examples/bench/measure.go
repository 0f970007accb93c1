package main

import (
	"context"
	"slices"
	"time"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// warmUps is the number of runs that do not count: the engine's memory is filled,
// and on GPUs graphs are compiled the second time that they come.
const warmUps = 2

// measure runs the cases in rounds, and in each of them what finds the limits of
// the machine for each number of cores that the cases work on.
func measure(ctx context.Context, cases []*benchmark, rounds int) (limits, error) {
	best := limits{1: {}}
	for _, b := range cases {
		work, err := b.load()
		if err != nil {
			return nil, errors.Wrap(err, "inputs")
		}
		b.work, best[b.cores] = work, limit{}
	}
	p, err := newProbe()
	if err != nil {
		return nil, err
	}
	for round := -warmUps; round < rounds; round++ {
		if err := p.improve(best); err != nil {
			return nil, err
		}
		for _, b := range cases {
			if err := context.Cause(ctx); err != nil {
				return nil, errors.WithStack(err)
			}
			took, err := b.run(round == -1)
			if err != nil {
				return nil, errors.Wrapf(err, "%s %s at %s", b.impl, b.pass, b.shape)
			}
			if round >= 0 {
				b.times = append(b.times, took)
			}
		}
	}
	return best, nil
}

// run does the work once. To count the primitives of the graph takes time.
func (b *benchmark) run(count bool) (took time.Duration, err error) {
	before := tensor.Memory().Active
	tensor.ResetPeakMemory()
	start := time.Now()
	var results []*tensor.Tensor
	misuse := tensor.Try(func() { results, err = b.work.build(b.pass == training) })
	if misuse != nil {
		return 0, misuse
	}
	if err != nil {
		return 0, err
	}
	defer tensor.Free(results...)
	if count {
		b.count(tensor.Primitives(results...))
	}
	if err := tensor.Eval(results...); err != nil {
		return 0, err
	}
	took = time.Since(start)
	above := tensor.Memory().Peak - before
	b.peak = max(b.peak, above+size(b.work.operands()))
	b.extra = max(b.extra, above-size(results))
	return took, nil
}

// count notes the primitives in a graph. A GPU's kernels are among them, but for those
// of segments that were evaluated on the way; emulated ones have run.
func (b *benchmark) count(primitives map[string]int) {
	for _, n := range primitives {
		b.nodes += n
	}
	b.launches = max(b.launches, primitives["CustomKernel"])
}

// size returns the bytes of tensors.
func size(ts []*tensor.Tensor) int64 {
	var n int64
	for _, t := range ts {
		n += t.Bytes()
	}
	return n
}

// median returns the middle one of some durations, or the mean of the two.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
