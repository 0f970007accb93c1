package gateddelta

import (
	"fmt"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// variant is a way to compute the rule.
type variant struct {
	implementation Implementation
	chunk          int
	dtype          tensor.Dtype // of q, k, v and do; the rest is float32 or float64
	segment        int          // chunks in a segment; 0 leaves the choice
	scan           Scan
	length         int // of the runs of ScanTwoLevel
	compile        Compile
	threads        int // 0 leaves the choice
}

func (v variant) String() string {
	s := fmt.Sprintf("%s-%s", v.implementation, v.dtype)
	if v.chunk > 0 {
		s = fmt.Sprintf("%s%d-%s", v.implementation, v.chunk, v.dtype)
	}
	if v.segment > 0 {
		s += fmt.Sprintf("-segment%d", v.segment)
	}
	if v.scan != "" {
		s += "-" + string(v.scan)
	}
	if v.length > 0 {
		s += fmt.Sprint(v.length)
	}
	if v.compile != "" {
		s += "-compile_" + string(v.compile)
	}
	if v.threads > 0 {
		s += fmt.Sprintf("-threads%d", v.threads)
	}
	return s
}

// variants are the implementations that run anywhere, Chunk at every chunk size.
func variants(d tensor.Dtype) []variant {
	list := []variant{{implementation: Recurrent, dtype: d}}
	for _, c := range chunkSizes {
		list = append(list, variant{implementation: Chunk, chunk: c, dtype: d})
	}
	if d != tensor.Float64 && hasCPU() {
		list = append(list, variant{implementation: CPU, chunk: 32, dtype: d})
	}
	return list
}

// work returns the dtype of gates and states.
func (v variant) work() tensor.Dtype {
	if v.dtype == tensor.Float64 {
		return tensor.Float64
	}
	return tensor.Float32
}

// run computes outputs and all gradients. Absent ones are absent in the result.
func (p problem) run(t testing.TB, v variant) result {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	in, list := p.inputs(tape, v)
	out := p.apply(in, v)

	return p.finish(t, tape, v, out, list)
}

// finish computes the gradients of a run with respect to leaves, which are in
// the order of Inputs, and reads all results.
func (p problem) finish(t testing.TB, tape *autograd.Tape, v variant, out Output, leaves []*autograd.Var) result {
	t.Helper()
	var outs []*autograd.Var
	var seeds []*tensor.Tensor
	for i, seed := range p.seeds(v) {
		if seed != nil {
			outs, seeds = append(outs, []*autograd.Var{out.O, out.FinalState}[i]), append(seeds, seed)
		}
	}
	grads, err := tape.Grad(outs, seeds, leaves...)
	if err != nil {
		t.Fatal(err)
	}
	res := result{"o": read(t, out.O.Value())}
	if out.FinalState != nil {
		res["ht"] = read(t, out.FinalState.Value())
	}
	for i, g := range grads {
		res[[]string{"dq", "dk", "dv", "dg", "dbeta", "dh0"}[i]] = read(t, g)
	}
	return res
}

// seeds are the gradients of O and of the final state, nil where absent.
func (p problem) seeds(v variant) []*tensor.Tensor {
	return []*tensor.Tensor{
		p.tensor(p.do, v.dtype, p.B, p.T, p.Hv, p.V),
		p.tensor(p.dht, v.work(), p.states(), p.Hv, p.K, p.V),
	}
}

func (p problem) apply(in Inputs, v variant) Output {
	return Apply(in, p.options(v))
}

func (p problem) options(v variant) Options {
	return Options{
		Scale: p.scale, ChunkSize: v.chunk, Segment: v.segment, Implementation: v.implementation,
		Scan: v.scan, ScanLength: v.length, Compile: v.compile, Threads: v.threads,
		FinalState: p.dht != nil || p.wantFinalState, CuSeqlens: p.cu,
		QKL2Norm: p.l2eps > 0, L2NormEps: p.l2eps, NoDelta: p.noDelta,
	}
}

// inputs puts the problem on a tape, and returns the Vars as a list, too.
func (p problem) inputs(tape *autograd.Tape, v variant) (Inputs, []*autograd.Var) {
	in := Inputs{
		Q:        tape.Var(p.tensor(p.q, v.dtype, p.B, p.T, p.Hk, p.K)),
		K:        tape.Var(p.tensor(p.k, v.dtype, p.B, p.T, p.Hk, p.K)),
		V:        tape.Var(p.tensor(p.v, v.dtype, p.B, p.T, p.Hv, p.V)),
		LogDecay: tape.Var(p.tensor(p.g, v.work(), p.B, p.T, p.Hv)),
		Beta:     tape.Var(p.tensor(p.β, v.work(), p.B, p.T, p.Hv)),
	}
	list := []*autograd.Var{in.Q, in.K, in.V, in.LogDecay, in.Beta}
	if p.h0 != nil {
		in.InitialState = tape.Var(p.tensor(p.h0, v.work(), p.states(), p.Hv, p.K, p.V))
		list = append(list, in.InitialState)
	}
	return in, list
}

// round rounds q, k, v and do to numbers of a dtype.
func (p *problem) round(t testing.TB, d tensor.Dtype) {
	t.Helper()
	for _, x := range []*[]float64{&p.q, &p.k, &p.v, &p.do} {
		*x = rounded(t, *x, d)
	}
}

func rounded(t testing.TB, x []float64, d tensor.Dtype) []float64 {
	t.Helper()
	return read(t, tensor.AsType(tensor.FromSlice(x), d))
}

func (p problem) tensor(x []float64, d tensor.Dtype, shape ...int) *tensor.Tensor {
	if x == nil {
		return nil
	}
	source := tensor.FromSlice(x, shape...)
	defer tensor.Free(source) // at once, for the tests of memory
	return tensor.AsType(source, d)
}

func read(t testing.TB, x *tensor.Tensor) []float64 {
	t.Helper()
	data, err := tensor.Data[float64](tensor.AsType(x, tensor.Float64))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
