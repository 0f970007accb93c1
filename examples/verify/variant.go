package main

import (
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/report"
)

// variant is a way to compute the rule.
type variant struct {
	implementation string
	chunk          int
	dtype          tensor.Dtype // of q, k, v and do
	scan           string
}

var implementationNames = []string{string(gateddelta.Auto), string(gateddelta.Recurrent), string(gateddelta.Chunk), string(gateddelta.CPU), string(gateddelta.Metal)}

var scanNames = []string{string(gateddelta.ScanAuto), string(gateddelta.ScanSequential), string(gateddelta.ScanTransition), string(gateddelta.ScanTwoLevel)}

// defaultChunk returns the chunk size of an implementation where none is given.
func defaultChunk(implementation string) int {
	if implementation == string(gateddelta.Metal) {
		return 32
	}
	return 64
}

// work returns the dtype of gates and states.
func (v variant) work() tensor.Dtype {
	if v.dtype == tensor.Float64 {
		return tensor.Float64
	}
	return tensor.Float32
}

// cannotServe returns why the variant cannot compute f, or "".
func (v variant) cannotServe(f *fixture) string {
	switch gateddelta.Implementation(v.implementation) {
	case gateddelta.CPU:
		if v.dtype == tensor.Float64 {
			return "the kernels for CPUs take float32, bfloat16 and float16, not float64"
		}
		if d := tensor.DefaultDevice(); d != tensor.CPU {
			return fmt.Sprintf("the kernels for CPUs run there, and the device is %s", d)
		}
		if err := tensor.HostOps(); err != nil {
			return err.Error()
		}
	case gateddelta.Metal:
		c := metal.Config{
			Dtype: v.dtype, Chunk: v.chunk,
			DK: f.sizes["K"], DV: f.sizes["V"], HK: f.sizes["Hk"], HV: f.sizes["Hv"],
		}
		if reason := c.Refusal(); reason != "" {
			return reason
		}
	}
	if n := v.memory(f); !program.Fits(n) {
		return fmt.Sprintf("it would take about %s, more than this machine has", report.Bytes(int64(min(n, 1<<62))))
	}
	return ""
}

// memory estimates the least bytes that the backward pass takes: what the
// documentation of gateddelta says, the states that come and go, and the graph,
// which grows with every step.
func (v variant) memory(f *fixture) float64 {
	const graphPerToken, graphPerChunk = 64 << 10, 128 << 10 // measured
	size := func(axis string) float64 { return float64(f.sizes[axis]) }
	state, C, T := size("K")*size("V"), float64(v.chunk), size("T")
	elements := 10 * size("B") * size("Hv") * (C*max(size("K"), size("V")) + C*C + state)
	graph := math.Ceil(T/C) * graphPerChunk
	switch gateddelta.Implementation(v.implementation) {
	case gateddelta.Recurrent:
		elements, graph = 4*T*size("B")*size("Hv")*state, T*graphPerToken
	case gateddelta.CPU: // a few chunks, and no graph
		elements, graph = 0, 0
	}
	return (elements+4*size("N")*size("Hv")*state)*float64(v.work().Size()) + graph
}

// compute returns outputs and gradients by the names of the format. An error
// means that the implementation failed, as the fixture is known to be good.
func (v variant) compute(f *fixture) (got map[string][]float64, err error) {
	misuse := tensor.Try(func() { got, err = v.apply(f) })
	if misuse != nil {
		return nil, misuse
	}
	return got, err
}

func (v variant) apply(f *fixture) (map[string][]float64, error) {
	s := tensor.NewScope()
	defer s.Close()
	tape := autograd.NewTape()
	defer tape.Close()

	input := func(name string, d tensor.Dtype) *tensor.Tensor {
		if f.inputs[name] == nil {
			return nil
		}
		return tensor.AsType(s.Use(f.inputs[name]), d)
	}
	var leaves []*autograd.Var
	var names []string // of the leaves' gradients
	leaf := func(name string, d tensor.Dtype) *autograd.Var {
		x := input(name, d)
		if x == nil {
			return nil
		}
		leaves, names = append(leaves, tape.Var(x)), append(names, "d"+name)
		return leaves[len(leaves)-1]
	}
	in := gateddelta.Inputs{
		Q: leaf("q", v.dtype), K: leaf("k", v.dtype), V: leaf("v", v.dtype),
		LogDecay: leaf("g", v.work()), Beta: leaf("beta", v.work()), InitialState: leaf("h0", v.work()),
	}
	dht := input("dht", v.work())
	out := gateddelta.Apply(in, gateddelta.Options{
		Scale: f.scale, ChunkSize: v.chunk, Implementation: gateddelta.Implementation(v.implementation), Scan: gateddelta.Scan(v.scan),
		CuSeqlens: f.cuSeqlens, FinalState: dht != nil || f.want["ht"] != nil, QKL2Norm: f.l2norm, L2NormEps: f.eps,
	})
	outs, seeds := []*autograd.Var{out.O}, []*tensor.Tensor{input("do", v.dtype)}
	if dht != nil {
		outs, seeds = append(outs, out.FinalState), append(seeds, dht)
	}
	grads, err := tape.Grad(outs, seeds, leaves...)
	if err != nil {
		return nil, err
	}

	results := map[string]*tensor.Tensor{"o": out.O.Value()}
	if out.FinalState != nil {
		results["ht"] = out.FinalState.Value()
	}
	for i, g := range grads {
		results[names[i]] = g
	}
	return f.read(s, results)
}

// read evaluates results together and takes the sampled tokens of them.
func (f *fixture) read(s *tensor.Scope, results map[string]*tensor.Tensor) (map[string][]float64, error) {
	var wide []*tensor.Tensor
	var entries []entry
	for _, e := range resultEntries {
		if f.want[e.name] == nil {
			continue
		}
		if results[e.name] == nil {
			return nil, errors.Errorf("there is no %s", e.name)
		}
		entries, wide = append(entries, e), append(wide, tensor.AsType(s.Use(results[e.name]), tensor.Float64))
	}
	if err := tensor.Eval(wide...); err != nil {
		return nil, err
	}
	got := map[string][]float64{}
	for i, e := range entries {
		x, err := tensor.Data[float64](wide[i])
		if err != nil {
			return nil, err
		}
		if f.sampled != nil && e.sampled() {
			x = f.sample(x)
		}
		got[e.name] = x
	}
	return got, nil
}

// sample takes the sampled tokens of x [B, T, ...].
func (f *fixture) sample(x []float64) []float64 {
	B, T := f.sizes["B"], f.sizes["T"]
	row := len(x) / (B * T)
	y := make([]float64, 0, B*len(f.sampled)*row)
	for b := range B {
		for _, t := range f.sampled {
			y = append(y, x[(b*T+t)*row:][:row]...)
		}
	}
	return y
}
