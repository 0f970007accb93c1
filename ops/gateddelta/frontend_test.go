package gateddelta

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

var allDtypes = []tensor.Dtype{tensor.Float64, tensor.Float32, tensor.BFloat16, tensor.Float16}

// near reports a relative error above a bound.
func near(t *testing.T, name string, got, want []float64, bound float64) {
	t.Helper()
	if e := relative(got, want, 0); !(e <= bound) {
		t.Errorf("%s: relative error %.2e, want at most %.0e", name, e, bound)
	}
}

// drawn returns n numbers of float32.
func drawn(n int, f func(i int) float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(float32(f(i)))
	}
	return x
}

// TestQKL2Norm compares with the normalisation done outside, for keys of any
// length and some that are zero.
func TestQKL2Norm(t *testing.T) {
	for _, d := range allDtypes {
		p := sample(1, sampling{B: 2, T: 70, Hk: 2, Hv: 6, K: 12, V: 8, h0: true, dht: true})
		for i := range p.k {
			p.k[i] *= float64(1 + i/p.K%5*3)
			p.q[i] *= float64(i / p.K % 3)
		}
		clear(p.k[10*p.K : 11*p.K])
		p.round(t, d)
		for _, v := range variants(d) {
			opt := p.options(v)
			inside := opt
			inside.QKL2Norm = true
			t.Run(v.String(), func(t *testing.T) {
				outside := checkable(opt)
				gradcheck.Parity(t, func(in ...*autograd.Var) []*autograd.Var {
					return outside(append([]*autograd.Var{ops.L2Norm(in[0], 1e-6), ops.L2Norm(in[1], 1e-6)}, in[2:]...)...)
				}, checkable(inside), p.tensors(v))
			})
		}
	}
}

// gateProblem is a problem whose decays come from a gate's input.
type gateProblem struct {
	problem
	a, aLog, dtBias []float64 // dtBias may be nil
}

// sampleGate draws one. The last head is as strong as Qwen's strongest.
func sampleGate(seed uint64, c sampling, bias bool) gateProblem {
	p := gateProblem{problem: sample(seed, c)}
	r := rand.New(rand.NewPCG(seed, 1))
	p.a = drawn(len(p.g), func(int) float64 { return r.NormFloat64() })
	p.aLog = drawn(p.Hv, func(int) float64 { return math.Log(0.01 + 15.99*r.Float64()) })
	p.aLog[p.Hv-1] = math.Log(16)
	if bias {
		p.dtBias = drawn(p.Hv, func(int) float64 { return r.NormFloat64() - 1 })
	}
	return p
}

// solve adds the gradients of the gate's operands to those of the rule, by the
// formulas, in float64.
func (p gateProblem) solve() result {
	x := func(i int) float64 {
		if p.dtBias == nil {
			return p.a[i]
		}
		return p.a[i] + p.dtBias[i%p.Hv]
	}
	p.g = make([]float64, len(p.a))
	for i := range p.g {
		p.g[i] = -math.Exp(p.aLog[i%p.Hv]) * softplus(x(i))
	}
	res := p.problem.solve()
	da, daLog, ddtBias := make([]float64, len(p.a)), make([]float64, p.Hv), make([]float64, p.Hv)
	for i, dg := range res["dg"] {
		h := i % p.Hv
		da[i] = -dg * math.Exp(p.aLog[h]) / (1 + math.Exp(-x(i)))
		daLog[h] += dg * p.g[i]
		ddtBias[h] += da[i]
	}
	res["da"], res["daLog"], res["ddtBias"] = da, daLog, ddtBias
	return res
}

// TestGateInput holds the decays computed inside, and the gradients of what they
// are computed from, to the formulas. The gate's operands have the dtype of q.
func TestGateInput(t *testing.T) {
	for i, bias := range []bool{false, true} {
		for _, d := range allDtypes {
			p := sampleGate(uint64(i), sampling{B: 2, T: 75, Hk: 1, Hv: 3, K: 12, V: 8, h0: true, dht: true}, bias)
			p.round(t, d)
			p.a, p.aLog = rounded(t, p.a, d), rounded(t, p.aLog, d)
			if bias {
				p.dtBias = rounded(t, p.dtBias, d)
			}
			want := p.solve()
			for _, v := range variants(d) {
				t.Run(fmt.Sprintf("bias=%t/%s", bias, v), func(t *testing.T) { p.check(t, v, want) })
			}
		}
	}
}

func (p gateProblem) check(t *testing.T, v variant, want result) {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	in.LogDecay = nil
	in.GateInput = tape.Var(p.tensor(p.a, v.dtype, p.B, p.T, p.Hv))
	in.ALog = tape.Var(p.tensor(p.aLog, v.dtype, p.Hv))
	names := []string{"dq", "dk", "dv", "da", "dbeta", "dh0", "daLog"}
	leaves[3] = in.GateInput
	leaves = append(leaves, in.ALog)
	if p.dtBias != nil {
		in.DtBias = tape.Var(p.tensor(p.dtBias, v.dtype, p.Hv))
		leaves, names = append(leaves, in.DtBias), append(names, "ddtBias")
	}
	out := Apply(in, p.options(v))
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, p.seeds(v), leaves...)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "o", read(t, out.O.Value()), want["o"], p.tolerance(v.dtype, "o"))
	near(t, "ht", read(t, out.FinalState.Value()), want["ht"], p.tolerance(v.dtype, "ht"))
	for i, name := range names {
		if got, wantDtype := grads[i].Dtype(), leaves[i].Dtype(); got != wantDtype {
			t.Errorf("%s is %s, want %s", name, got, wantDtype)
		}
		bound := p.tolerance(v.dtype, name)
		got := read(t, grads[i])
		if len(name) < 3 || name[:2] != "da" && name[:2] != "dd" {
			near(t, name, got, want[name], bound)
			continue
		}
		for h := range p.Hv { // mild heads are not to hide strong ones
			own := func(i int) bool { return i%p.Hv == h }
			near(t, fmt.Sprintf("%s/head%d", name, h), pick(got, own), pick(want[name], own), p.tolerance(v.dtype, "dg"))
		}
	}
}

// TestBetaLogits holds β computed inside, and its gradient, to the sigmoid's
// formulas.
func TestBetaLogits(t *testing.T) {
	for _, d := range allDtypes {
		p := sample(3, sampling{B: 2, T: 50, Hk: 1, Hv: 2, K: 12, V: 8, h0: true, dht: true})
		p.round(t, d)
		r := rand.New(rand.NewPCG(3, 1))
		logits := rounded(t, drawn(len(p.β), func(int) float64 { return 3 * r.NormFloat64() }), d)
		for _, scale := range []float64{1, 2} {
			for i, b := range logits {
				p.β[i] = scale / (1 + math.Exp(-b))
			}
			want := p.solve()
			for i, β := range p.β {
				want["dbeta"][i] *= β * (1 - β/scale)
			}
			for _, v := range variants(d) {
				t.Run(fmt.Sprintf("%gsigmoid/%s", scale, v), func(t *testing.T) {
					tape := autograd.NewTape()
					defer tape.Close()
					in, leaves := p.inputs(tape, v)
					in.Beta, in.BetaLogits = nil, tape.Var(p.tensor(logits, v.dtype, p.B, p.T, p.Hv))
					leaves[4] = in.BetaLogits
					opt := p.options(v)
					opt.AllowNegativeEigenvalues = scale == 2
					got := p.finish(t, tape, v, Apply(in, opt), leaves)
					for _, name := range resultNames {
						near(t, name, got[name], want[name], p.tolerance(v.dtype, name))
					}
				})
			}
		}
	}
}

// TestStateLayout wants the bits of the other layout, turned.
func TestStateLayout(t *testing.T) {
	p := sample(4, sampling{B: 2, T: 40, Hk: 1, Hv: 3, K: 6, V: 4, h0: true, dht: true})
	turned := func(x []float64, rows, columns int) []float64 {
		y := make([]float64, 0, len(x))
		for m := range slices.Chunk(x, rows*columns) {
			for j := range columns {
				for i := range rows {
					y = append(y, m[i*columns+j])
				}
			}
		}
		return y
	}
	for _, d := range allDtypes {
		for _, v := range variants(d) {
			t.Run(v.String(), func(t *testing.T) {
				want := p.run(t, v)
				want["ht"], want["dh0"] = turned(want["ht"], p.K, p.V), turned(want["dh0"], p.K, p.V)

				tape := autograd.NewTape()
				defer tape.Close()
				in, leaves := p.inputs(tape, v)
				in.InitialState = tape.Var(p.tensor(turned(p.h0, p.K, p.V), v.work(), p.B, p.Hv, p.V, p.K))
				leaves[5] = in.InitialState
				opt := p.options(v)
				opt.StateLayout = VK
				out := Apply(in, opt)
				if got, want := out.FinalState.Shape(), []int{p.B, p.Hv, p.V, p.K}; !slices.Equal(got, want) {
					t.Fatalf("the final state is %v, want %v", got, want)
				}
				seeds := p.seeds(v)
				grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, []*tensor.Tensor{seeds[0], tensor.SwapAxes(seeds[1], -2, -1)}, leaves...)
				if err != nil {
					t.Fatal(err)
				}
				got := result{"o": read(t, out.O.Value()), "ht": read(t, out.FinalState.Value())}
				for i, name := range []string{"dq", "dk", "dv", "dg", "dbeta", "dh0"} {
					got[name] = read(t, grads[i])
				}
				same(t, got, want, 0)
			})
		}
	}
}

// TestFrontendGradients holds the gradients with all options at once to finite
// differences, keys and queries of zeros among them.
func TestFrontendGradients(t *testing.T) {
	for _, c := range []struct {
		opt  Options
		mask bool
	}{
		{opt: Options{Implementation: Recurrent}},
		{opt: Options{Implementation: Chunk}},
		{opt: Options{Implementation: Recurrent, AllowNegativeEigenvalues: true, StateLayout: VK}, mask: true},
		{opt: Options{Implementation: Chunk, AllowNegativeEigenvalues: true, StateLayout: VK}, mask: true},
		{opt: Options{Implementation: Chunk, NoDelta: true}, mask: true},
	} {
		c.opt.FinalState, c.opt.QKL2Norm, c.opt.L2NormEps = true, true, 0.5
		t.Run(fmt.Sprintf("%s-nodelta=%t-mask=%t", c.opt.Implementation, c.opt.NoDelta, c.mask), func(t *testing.T) {
			p := sampleGate(5, sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 2, V: 3, h0: true}, true)
			clear(p.k[:p.K])
			clear(p.q[p.K : 2*p.K])
			list := p.tensors(variant{dtype: tensor.Float64})
			list[3] = p.tensor(p.a, tensor.Float64, p.B, p.T, p.Hv)
			if c.opt.StateLayout == VK {
				list[5] = tensor.Contiguous(tensor.SwapAxes(list[5], -2, -1))
			}
			list = append(list, p.tensor(p.aLog, tensor.Float64, p.Hv), p.tensor(p.dtBias, tensor.Float64, p.Hv))
			var mask *tensor.Tensor
			if c.mask {
				mask = tensor.FromSlice([]int32{1, 0, 1, 1, 0, 0, 1, 0}, p.B, p.T)
			}
			gradcheck.Run(t, func(v ...*autograd.Var) []*autograd.Var {
				out := Apply(Inputs{
					Q: v[0], K: v[1], V: v[2], GateInput: v[3], BetaLogits: v[4], InitialState: v[5], ALog: v[6], DtBias: v[7], Mask: mask,
				}, c.opt)
				return []*autograd.Var{out.O, out.FinalState}
			}, list, gradcheck.Options{})
		})
	}
}

// TestFrontendLeaks wants handles and memory back where they were, with all that
// the front end can do.
func TestFrontendLeaks(t *testing.T) {
	p := sampleGate(6, sampling{B: 2, T: 30, Hk: 1, Hv: 2, K: 8, V: 4, h0: true, dht: true}, true)
	mask := tensor.Ones(tensor.Bool, p.B, p.T)
	step := func() {
		tape := autograd.NewTape()
		defer tape.Close()
		v := variant{dtype: tensor.Float32}
		in, leaves := p.inputs(tape, v)
		in.LogDecay, in.GateInput = nil, leaves[3]
		in.ALog, in.DtBias = tape.Var(p.tensor(p.aLog, v.dtype, p.Hv)), tape.Var(p.tensor(p.dtBias, v.dtype, p.Hv))
		in.Beta, in.BetaLogits, in.Mask = nil, leaves[4], mask
		out := Apply(in, Options{FinalState: true, QKL2Norm: true, Validate: true, NoDelta: true})
		p.finish(t, tape, v, out, leaves)
	}
	var live int
	var active int64
	for i := range 4 {
		step()
		settle(t)
		if i == 0 { // the first run may fill caches
			live, active = tensor.Live(), tensor.Memory().Active
		}
	}
	if n := tensor.Live(); n != live {
		t.Errorf("%d handles are open, %d were after the first run", n, live)
	}
	if n := tensor.Memory().Active; n != active {
		t.Errorf("%d bytes are in use, %d were after the first run", n, active)
	}
	runtime.KeepAlive(mask)
}
