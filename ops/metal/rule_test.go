package metal_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// problem is one application of the rule.
type problem struct {
	B, T, HK, HV, DK, DV int
	cu                   []int
	chunk, segment       int
	dtype                tensor.Dtype
	gate, keys           string
	h0, dht, noDo        bool
	noDelta              bool
}

func (p problem) String() string {
	s := fmt.Sprintf("%s-C%d-B%d-T%d-H%d.%d-K%d-V%d-%s-%s", p.dtype, p.chunk, p.B, p.T, p.HK, p.HV, p.DK, p.DV, p.gate, p.keys)
	if p.cu != nil {
		s += fmt.Sprintf("-%d-packed", len(p.cu)-1)
	}
	if p.segment > 0 {
		s += fmt.Sprintf("-segment%d", p.segment)
	}
	return s
}

// operands draws a problem's operands and gradients of results.
func (p problem) operands() (in metal.Operands, do, dht *tensor.Tensor) {
	keys := tensor.Split(tensor.Key(uint64(p.T*31+p.DK)), 9)
	unit := func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(x, tensor.Rsqrt(tensor.AddScalar(tensor.Sum(tensor.Square(x), true, -1), 1e-6)))
	}
	in.Q = unit(tensor.Normal(keys[0], p.B, p.T, p.HK, p.DK))
	in.K = unit(tensor.Normal(keys[1], p.B, p.T, p.HK, p.DK))
	if p.keys == "identical" {
		in.K = tensor.Contiguous(tensor.BroadcastTo(tensor.SliceAxis(in.K, 1, 0, 1), p.B, p.T, p.HK, p.DK))
	}
	in.V = tensor.Normal(keys[2], p.B, p.T, p.HV, p.DV)
	logistic := tensor.Neg(tensor.Softplus(tensor.Neg(tensor.Normal(keys[3], p.B, p.T, p.HV))))
	switch p.gate {
	case "zero":
		in.G = tensor.ZerosLike(logistic)
	case "mild":
		in.G = tensor.MulScalar(logistic, 1./16)
	case "a16":
		in.G = tensor.MulScalar(tensor.Softplus(tensor.AddScalar(tensor.MulScalar(tensor.Normal(keys[3], p.B, p.T, p.HV), .5), 1)), -16)
	case "reset", "inf":
		t := tensor.Reshape(tensor.Arange(0, float64(p.T), 1, tensor.Float32), 1, p.T, 1)
		hit := tensor.Equal(tensor.Remainder(t, tensor.Like(t, 7)), tensor.Like(t, 3))
		value := -1000.
		if p.gate == "inf" {
			value = math.Inf(-1)
		}
		in.G = tensor.Where(hit, tensor.Like(t, value), tensor.MulScalar(logistic, 1./16))
	default:
		in.G = logistic
	}
	in.Beta = tensor.Sigmoid(tensor.Normal(keys[4], p.B, p.T, p.HV))
	N := p.B
	if p.cu != nil {
		N = len(p.cu) - 1
	}
	if p.h0 {
		in.H0 = tensor.Normal(keys[5], N, p.HV, p.DK, p.DV)
	}
	if !p.noDo {
		do = tensor.Normal(keys[6], p.B, p.T, p.HV, p.DV)
	}
	if p.dht {
		dht = tensor.Normal(keys[7], N, p.HV, p.DK, p.DV)
	}
	for _, x := range []**tensor.Tensor{&in.Q, &in.K, &in.V, &do} {
		if *x != nil {
			*x = tensor.AsType(*x, p.dtype)
		}
	}
	in.Scale, in.NoDelta = 1/math.Sqrt(float64(p.DK)), p.noDelta
	return in, do, dht
}

// offsets are where sequences begin and end.
func (p problem) offsets() []int {
	if p.cu != nil {
		return p.cu
	}
	list := make([]int, p.B+1)
	for i := range list {
		list[i] = i * p.T
	}
	return list
}

// definition computes outputs and gradients token by token in float64.
func (p problem) definition(t *testing.T) map[string][]float64 {
	t.Helper()
	in, do, dht := p.operands()
	tape := autograd.NewTape()
	defer tape.Close()
	wide := func(x *tensor.Tensor) *autograd.Var {
		if x == nil {
			return nil
		}
		return tape.Var(tensor.AsType(x, tensor.Float64))
	}
	leaves := []*autograd.Var{wide(in.Q), wide(in.K), wide(in.V), wide(in.G), wide(in.Beta)}
	names := []string{"dq", "dk", "dv", "dg", "dbeta"}
	inputs := gateddelta.Inputs{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Beta: leaves[4]}
	if in.H0 != nil {
		inputs.InitialState = wide(in.H0)
		leaves, names = append(leaves, inputs.InitialState), append(names, "dh0")
	}
	out := gateddelta.Apply(inputs, gateddelta.Options{
		Implementation: gateddelta.Recurrent, FinalState: true, CuSeqlens: p.cu, Scale: in.Scale, NoDelta: p.noDelta,
	})
	var outs []*autograd.Var
	var seeds []*tensor.Tensor
	if do != nil {
		outs, seeds = append(outs, out.O), append(seeds, tensor.AsType(do, tensor.Float64))
	}
	if dht != nil {
		outs, seeds = append(outs, out.FinalState), append(seeds, tensor.AsType(dht, tensor.Float64))
	}
	grads, err := tape.Grad(outs, seeds, leaves...)
	if err != nil {
		t.Fatal(err)
	}
	result := map[string][]float64{"o": numbers(t, out.O.Value()), "ht": numbers(t, out.FinalState.Value())}
	for i, g := range grads {
		result[names[i]] = numbers(t, g)
	}
	return result
}

// kernels computes the same by the kernels.
func (p problem) kernels(t *testing.T) map[string][]float64 {
	t.Helper()
	in, do, dht := p.operands()
	c := metal.Config{Dtype: p.dtype, Chunk: p.chunk, DK: p.DK, DV: p.DV, HK: p.HK, HV: p.HV}
	if why := c.Refusal(); why != "" {
		t.Fatal(why)
	}
	plan := metal.NewPlan(c, p.offsets(), p.segment)
	o, ht, starts := plan.Forward(in)
	d := plan.Backward(in, starts, do, dht)
	result := map[string][]float64{
		"o": numbers(t, o), "ht": numbers(t, ht), "dq": numbers(t, d.Q), "dk": numbers(t, d.K),
		"dv": numbers(t, d.V), "dg": numbers(t, d.G), "dbeta": numbers(t, d.Beta),
	}
	if in.H0 != nil {
		result["dh0"] = numbers(t, d.H0)
	}
	return result
}

func numbers(t *testing.T, x *tensor.Tensor) []float64 {
	t.Helper()
	list, err := tensor.Data[float64](tensor.AsType(x, tensor.Float64))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// bound is the relative error allowed in a result.
func (p problem) bound(name string) float64 {
	gates := name == "dg" || name == "dbeta"
	switch {
	case p.dtype == tensor.BFloat16 && name == "dg":
		return 2e-2
	case p.dtype == tensor.BFloat16:
		return 1e-2
	case p.dtype == tensor.Float16 && gates:
		return 4e-3
	case p.dtype == tensor.Float16:
		return 2e-3
	}
	return 1e-5
}

// relative is ‖got − want‖ / ‖want‖; a reference of zeros wants zeros.
func relative(got, want []float64) float64 {
	var diff, norm float64
	for i, w := range want {
		if math.IsNaN(got[i]) {
			return math.NaN()
		}
		diff += (got[i] - w) * (got[i] - w)
		norm += w * w
	}
	if norm == 0 {
		if diff == 0 {
			return 0
		}
		return math.Inf(1)
	}
	return math.Sqrt(diff / norm)
}

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

var results = []string{"o", "ht", "dq", "dk", "dv", "dg", "dbeta", "dh0"}

func (p problem) check(t *testing.T) {
	t.Helper()
	want, got := p.definition(t), p.kernels(t)
	for _, name := range results {
		if want[name] == nil {
			continue
		}
		if len(got[name]) != len(want[name]) {
			t.Errorf("%s has %d elements, want %d", name, len(got[name]), len(want[name]))
			continue
		}
		e := relative(got[name], want[name])
		if !(e <= p.bound(name)) {
			t.Errorf("%s: relative error %.2e, want at most %.0e", name, e, p.bound(name))
		} else {
			t.Logf("%s: %.2e", name, e)
		}
	}
}

func TestRule(t *testing.T) {
	f32, bf16, f16 := tensor.Float32, tensor.BFloat16, tensor.Float16
	for _, p := range []problem{
		{B: 1, T: 16, HK: 1, HV: 1, DK: 16, DV: 16, chunk: 16, dtype: f32},
		{B: 2, T: 37, HK: 1, HV: 2, DK: 24, DV: 40, chunk: 16, dtype: f32, h0: true, dht: true},
		{B: 2, T: 75, HK: 2, HV: 4, DK: 64, DV: 32, chunk: 32, dtype: f32, h0: true, dht: true},
		{B: 1, T: 1, HK: 1, HV: 1, DK: 8, DV: 8, chunk: 16, dtype: f32, h0: true, dht: true},
		{B: 1, T: 70, HK: 1, HV: 3, DK: 32, DV: 16, chunk: 32, segment: 32, dtype: f32, h0: true, dht: true, gate: "a16"},
		{B: 1, T: 70, HK: 1, HV: 2, DK: 32, DV: 16, chunk: 32, dtype: f32, h0: true, dht: true, gate: "reset"},
		{B: 1, T: 40, HK: 1, HV: 2, DK: 32, DV: 16, chunk: 32, dtype: f32, h0: true, dht: true, gate: "inf"},
		{B: 1, T: 70, HK: 1, HV: 2, DK: 32, DV: 16, chunk: 32, dtype: f32, gate: "zero", keys: "identical"},
		{B: 1, T: 90, HK: 1, HV: 2, DK: 32, DV: 16, chunk: 16, dtype: f32, cu: []int{0, 0, 17, 18, 18, 80}, h0: true, dht: true, segment: 32},
		{B: 1, T: 130, HK: 1, HV: 2, DK: 128, DV: 128, chunk: 32, dtype: f32, h0: true, dht: true},
		{B: 1, T: 800, HK: 1, HV: 1, DK: 32, DV: 16, chunk: 32, dtype: f32, gate: "zero", h0: true, dht: true}, // sums of many chunks
		{B: 1, T: 70, HK: 1, HV: 2, DK: 256, DV: 24, chunk: 32, dtype: f32, h0: true, dht: true},
		{B: 1, T: 70, HK: 1, HV: 2, DK: 24, DV: 256, chunk: 32, dtype: f32, dht: true, noDo: true},
		{B: 2, T: 100, HK: 1, HV: 2, DK: 64, DV: 64, chunk: 64, dtype: bf16, h0: true, dht: true},
		{B: 2, T: 100, HK: 1, HV: 2, DK: 128, DV: 16, chunk: 64, dtype: f16, h0: true, dht: true},
		{B: 1, T: 70, HK: 1, HV: 2, DK: 32, DV: 16, chunk: 32, dtype: f32, h0: true, dht: true, noDelta: true},
	} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			p.check(t)
		})
	}
}

// TestSequential compares the kernel that goes token by token.
func TestSequential(t *testing.T) {
	for _, p := range []problem{
		{B: 3, T: 1, HK: 2, HV: 4, DK: 128, DV: 128, chunk: 16, dtype: tensor.Float32, h0: true},
		{B: 2, T: 37, HK: 1, HV: 3, DK: 256, DV: 24, chunk: 16, dtype: tensor.Float32, h0: true},
		{B: 1, T: 50, HK: 1, HV: 1, DK: 8, DV: 8, chunk: 16, segment: 16, dtype: tensor.Float32, gate: "inf"},
		{B: 1, T: 40, HK: 1, HV: 2, DK: 24, DV: 72, chunk: 16, dtype: tensor.BFloat16, cu: []int{0, 0, 17, 18, 33}, h0: true},
		{B: 1, T: 20, HK: 1, HV: 2, DK: 64, DV: 16, chunk: 16, dtype: tensor.Float16, noDelta: true},
	} {
		t.Run(p.String(), func(t *testing.T) {
			p.dht = true // for the definition to have a gradient
			want := p.definition(t)
			in, _, _ := p.operands()
			c := metal.Config{Dtype: p.dtype, Chunk: p.chunk, DK: p.DK, DV: p.DV, HK: p.HK, HV: p.HV}
			o, ht := metal.NewPlan(c, p.offsets(), p.segment).Sequential(in)
			for name, x := range map[string]*tensor.Tensor{"o": o, "ht": ht} {
				if e := relative(numbers(t, x), want[name]); !(e <= p.bound(name)) {
					t.Errorf("%s: relative error %.2e, want at most %.0e", name, e, p.bound(name))
				}
			}
		})
	}
}

// TestRepeats runs one problem in several orders of threadgroups and simdgroups: the
// results are equal bit for bit.
func TestRepeats(t *testing.T) {
	p := problem{B: 2, T: 70, HK: 2, HV: 6, DK: 40, DV: 72, chunk: 32, segment: 64, dtype: tensor.Float32, h0: true, dht: true}
	first := p.kernels(t)
	for range 3 {
		for name, got := range p.kernels(t) {
			for i, x := range got {
				if math.Float64bits(x) != math.Float64bits(first[name][i]) {
					t.Fatalf("%s[%d] is %g, and %g before", name, i, x, first[name][i])
				}
			}
		}
	}
}

// TestSegments compares cuts into segments: they change nothing but the places of
// roundings.
func TestSegments(t *testing.T) {
	p := problem{B: 1, T: 100, HK: 1, HV: 2, DK: 16, DV: 16, chunk: 16, dtype: tensor.Float32, h0: true, dht: true, segment: 100}
	whole := p.kernels(t)
	for _, p.segment = range []int{16, 48} {
		for name, got := range p.kernels(t) {
			if e := relative(got, whole[name]); !(e < 1e-6) {
				t.Errorf("segments of %d: %s differs by %.1e", p.segment, name, e)
			}
		}
	}
}

// TestSequences runs sequences packed and alone.
func TestSequences(t *testing.T) {
	p := problem{B: 3, T: 33, HK: 1, HV: 2, DK: 16, DV: 24, chunk: 16, dtype: tensor.Float32, h0: true, dht: true}
	in, do, dht := p.operands()
	c := metal.Config{Dtype: p.dtype, Chunk: p.chunk, DK: p.DK, DV: p.DV, HK: p.HK, HV: p.HV}
	run := func(in metal.Operands, do, dht *tensor.Tensor, offsets []int) []*tensor.Tensor {
		plan := metal.NewPlan(c, offsets, 0)
		o, ht, starts := plan.Forward(in)
		d := plan.Backward(in, starts, do, dht)
		return []*tensor.Tensor{o, d.Q, d.K, d.V, d.G, d.Beta, ht, d.H0}
	}
	together := run(in, do, dht, p.offsets())
	for b := range p.B {
		row := func(x *tensor.Tensor) *tensor.Tensor { return tensor.SliceAxis(x, 0, b, b+1) }
		one := metal.Operands{Q: row(in.Q), K: row(in.K), V: row(in.V), G: row(in.G), Beta: row(in.Beta), H0: row(in.H0), Scale: in.Scale}
		for i, x := range run(one, row(do), row(dht), []int{0, p.T}) {
			if e := relative(numbers(t, x), numbers(t, row(together[i]))); e != 0 {
				t.Errorf("sequence %d: result %d differs by %.1e", b, i, e)
			}
		}
	}
}
