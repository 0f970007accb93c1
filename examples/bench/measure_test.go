package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// noted is a workload that writes down when it runs.
type noted struct {
	name string
	runs *[]string
	err  error
}

func (n noted) operands() []*tensor.Tensor { return nil }

func (n noted) build(bool) ([]*tensor.Tensor, error) {
	*n.runs = append(*n.runs, n.name)
	if n.err != nil {
		return nil, n.err
	}
	return []*tensor.Tensor{tensor.Exp(tensor.Zeros(tensor.Float32, 4))}, nil
}

func notedCases(runs *[]string, last error) []*benchmark {
	var cases []*benchmark
	for i, name := range []string{"a", "b"} {
		err := last
		if name == "a" {
			err = nil
		}
		cases = append(cases, &benchmark{identity: identity{impl: name}, cores: 1 + i, load: func() (workload, error) { return noted{name, runs, err}, nil }})
	}
	return cases
}

func TestCasesTakeTurns(t *testing.T) {
	var runs []string
	cases := notedCases(&runs, nil)
	best, err := measure(context.Background(), cases, 2)
	if err != nil || len(best) != 2 {
		t.Fatalf("limits %v, error %v", best, err)
	}
	for cores, l := range best {
		if l.flops < 1e6 || l.bytes < 1e6 || l.flops < best[1].flops || l.bytes < best[1].bytes {
			t.Errorf("on %d cores the limits are %v", cores, l)
		}
	}
	if want := "a b a b a b a b"; strings.Join(runs, " ") != want {
		t.Errorf("the runs are %q, want %q", runs, want)
	}
	for _, b := range cases {
		if len(b.times) != 2 || b.nodes != 2 { // Broadcast and Exp
			t.Errorf("%s: times %v and %d nodes, want 2 and 2", b.impl, b.times, b.nodes)
		}
	}
}

func TestMeasureFails(t *testing.T) {
	var runs []string
	if _, err := measure(context.Background(), notedCases(&runs, errors.New("out of order")), 3); err == nil || !strings.Contains(err.Error(), "out of order") || len(runs) != 2 {
		t.Errorf("error %v after the runs %q", err, runs)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	runs = nil
	if _, err := measure(ctx, notedCases(&runs, nil), 3); !errors.Is(err, context.Canceled) || len(runs) != 0 {
		t.Errorf("error %v after the runs %q, want none after the interruption", err, runs)
	}
}

// All six gradients are results, of inputs whose keys have unit length.
func TestRuleRun(t *testing.T) {
	r, err := newRule(shape{2, 24, 1, 2, 8, 4}, tensor.BFloat16)
	if err != nil {
		t.Fatal(err)
	}
	lengths := tensor.Sum(tensor.Square(tensor.AsType(r.k, tensor.Float32)), false, -1)
	if got, err := tensor.Item[bool](tensor.All(tensor.Less(tensor.Abs(tensor.AddScalar(lengths, -1)), tensor.Scalar(float32(0.02))), false)); err != nil || !got {
		t.Errorf("not all keys have unit length (%v)", err)
	}
	results, err := ruleRun{r, gateddelta.Options{FinalState: true}}.build(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.Eval(results...); err != nil {
		t.Fatal(err)
	}
	want := append([]*tensor.Tensor{r.v, r.h0}, r.operands()[:6]...)
	if len(results) != len(want) {
		t.Fatalf("%d results, want %d", len(results), len(want))
	}
	for i, x := range results {
		if !slices.Equal(x.Shape(), want[i].Shape()) || x.Dtype() != want[i].Dtype() {
			t.Errorf("result %d is %s %v, want %s %v", i, x.Dtype(), x.Shape(), want[i].Dtype(), want[i].Shape())
		}
		if zero, err := tensor.Item[bool](tensor.All(tensor.Equal(x, tensor.Like(x, 0)), false)); err != nil || zero {
			t.Errorf("result %d is zero (%v)", i, err)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		ratios []float64
		want   string
	}{
		{[]float64{2, 3, 4}, "faster at each of these lengths"},
		{[]float64{0.1, 0.2, 0.5}, "not faster at the longest"},
		{[]float64{2, 3, 1}, "not faster at the longest"},
		{[]float64{0.25, 0.5, 2}, "faster from T of about 200 on"},
		{[]float64{0.5, 4, 8}, "faster from T of about 112 on"}, // a third of the way from -1 to 2
		{[]float64{0.5, 2, 0.9}, "not faster at the longest"},
		{[]float64{2, 0.5, 2}, "faster from T of about 200 on"},
	} {
		if got := verdict([]float64{100, 141.4213562, 282.8427125}, test.ratios); got != test.want {
			t.Errorf("%v: got %q, want %q", test.ratios, got, test.want)
		}
	}
}

func TestCount(t *testing.T) {
	b := &benchmark{launches: 5}
	if b.count(map[string]int{"Matmul": 2, "Exp": 1}); b.nodes != 3 || b.launches != 5 {
		t.Errorf("%d nodes, %d launches, want 3 and 5", b.nodes, b.launches)
	}
	for planned, want := range map[int]int{3: 4, 8: 8} { // some may have run on the way
		b = &benchmark{launches: planned}
		if b.count(map[string]int{"Matmul": 2, "CustomKernel": 4}); b.nodes != 6 || b.launches != want {
			t.Errorf("%d nodes, %d launches, want 6 and %d", b.nodes, b.launches, want)
		}
	}
}

func TestRoofline(t *testing.T) {
	b := &benchmark{flops: 100, bytes: 10, cores: 2, times: []time.Duration{4 * time.Second, 20 * time.Second, 5 * time.Second}}
	for _, test := range []struct {
		limit
		roofline, share float64
	}{{limit{100, 10}, 0.2, 0.2}, {limit{50, 100}, 0.4, 0.4}, {limit{100, 4}, 0.5, 0.2}} {
		r := b.row(limits{1: {1, 1}, 2: test.limit})
		if r.roofline != test.roofline || r.MatmulShare != test.share || r.MsMin != 4000 || r.MsMedian != 5000 {
			t.Errorf("%v: got %+v", test.limit, r)
		}
	}
}

// The operations told are those of the formulas, and the roofline is that of what
// kernels really do.
func TestCostOfKernels(t *testing.T) {
	s := shape{2, 200, 2, 4, 32, 16}
	plan := func(pass string, opt gateddelta.Options) *benchmark {
		t.Helper()
		opt.FinalState = true
		b, err := ruleCase(s, tensor.Float32, pass, opt, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, pass := range []string{forward, training} {
		chunk := plan(pass, gateddelta.Options{Implementation: gateddelta.Chunk, ChunkSize: 32})
		kernels := plan(pass, gateddelta.Options{Implementation: gateddelta.Metal, ChunkSize: 32})
		if kernels.flops != chunk.flops || kernels.bytes != chunk.bytes {
			t.Errorf("%s: %v operations and %v bytes by the kernels, %v and %v by the op graph", pass, kernels.flops, kernels.bytes, chunk.flops, chunk.bytes)
		}
		if flops, bytes := chunk.cost(); flops != chunk.flops || bytes != chunk.bytes {
			t.Errorf("%s: the op graph costs %v operations and %v bytes", pass, flops, bytes)
		}
		flops, bytes := kernels.cost()
		if ratio := flops / kernels.flops; ratio < 0.5 || ratio > 2 || ratio == 1 || bytes < 1.5*kernels.bytes || kernels.launches == 0 || chunk.launches != 0 {
			t.Errorf("%s: the kernels cost %v operations, %v bytes and %d launches, the formulas %v and %v", pass, flops, bytes, kernels.launches, kernels.flops, kernels.bytes)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		times []time.Duration
		want  time.Duration
	}{{[]time.Duration{5}, 5}, {[]time.Duration{9, 1, 5}, 5}, {[]time.Duration{8, 2, 4, 100}, 6}} {
		before := slices.Clone(test.times)
		if got := median(test.times); got != test.want || !slices.Equal(before, test.times) {
			t.Errorf("the median of %v is %v, want %v", before, got, test.want)
		}
	}
}
