package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/deltatape/deltatape/tensor"
)

// limit is what the machine can do at most, as it was measured.
type limit struct {
	flops float64 // float32 operations a second in products of matrices
	bytes float64 // bytes a second read and written
}

// limits are those of numbers of processor cores. On a GPU there is one.
type limits map[int]limit

// String describes the limits.
func (l limits) String() string {
	var parts []string
	for _, cores := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("on %d: sgemm %.3g GFLOP/s, memory %.3g GB/s", cores, l[cores].flops/1e9, l[cores].bytes/1e9))
	}
	return strings.Join(parts, "; ")
}

// seconds is the least time that so many operations and bytes take.
func (l limit) seconds(flops, bytes float64) float64 { return max(flops/l.flops, bytes/l.bytes) }

// probe holds what to find limits with.
type probe struct {
	a, b *tensor.Tensor // square matrices to multiply
	x    *tensor.Tensor // vector to negate, larger than caches
}

func newProbe() (*probe, error) {
	n, length := 1024, 1<<24
	if tensor.DefaultDevice() == tensor.GPU {
		n, length = 4096, 1<<26
	}
	keys := tensor.Split(tensor.Key(3), 2)
	p := &probe{tensor.Normal(keys[0], n, n), tensor.Normal(keys[1], n, n), tensor.Contiguous(tensor.Ones(tensor.Float32, length))}
	return p, tensor.Eval(p.a, p.b, p.x)
}

// improve raises the limits to what the machine does now.
func (p *probe) improve(best limits) error {
	for cores, old := range best {
		side := min(cores, 2) // as many can be measured
		multiply, err := timed(cores, func(x []*tensor.Tensor) *tensor.Tensor { return tensor.MatMul(x[0], x[1]) }, p.a, p.b)
		if err != nil {
			return err
		}
		negate, err := timed(cores, func(x []*tensor.Tensor) *tensor.Tensor { return tensor.Neg(x[0]) }, p.x)
		if err != nil {
			return err
		}
		n := float64(p.a.Dim(0))
		best[cores] = limit{
			flops: max(old.flops, float64(cores)*2*n*n*n/multiply.Seconds()),
			bytes: max(old.bytes, float64(side)*2*float64(p.x.Bytes())/negate.Seconds()),
		}
	}
	for cores, l := range best { // the work of several may have been disturbed
		best[cores] = limit{max(l.flops, best[1].flops), max(l.bytes, best[1].bytes)}
	}
	return nil
}

// timed measures f, on two or more cores two of it side by side.
func timed(cores int, f func([]*tensor.Tensor) *tensor.Tensor, xs ...*tensor.Tensor) (time.Duration, error) {
	start := time.Now()
	results := []*tensor.Tensor{f(xs)}
	if cores > 1 {
		results = append(results, tensor.Aside(func(xs []*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{f(xs)} }, xs...)...)
	}
	defer tensor.Free(results...)
	err := tensor.Eval(results...)
	return time.Since(start), err
}
