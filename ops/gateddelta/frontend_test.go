package gateddelta

import (
	"fmt"
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

// TestGateInput holds the decays computed inside, and the gradients of what they
// are computed from, to the formulas. The gate's operands have the dtype of q.
func TestGateInput(t *testing.T) {
	for i, bias := range []bool{false, true} {
		for _, d := range allDtypes {
			p := sampleGate(uint64(i), sampling{B: 2, T: 75, Hk: 1, Hv: 3, K: 12, V: 8, h0: true, dht: true}, bias)
			p.round(t, d)
			want := p.solve()
			for _, v := range variants(d) {
				t.Run(fmt.Sprintf("bias=%t/%s", bias, v), func(t *testing.T) { p.check(t, v, want) })
			}
		}
	}
}

// TestBetaLogits holds β computed inside, and its gradient, to the sigmoid's
// formulas.
func TestBetaLogits(t *testing.T) {
	for _, d := range allDtypes {
		p := rawProblem{problem: sample(3, sampling{B: 2, T: 50, Hk: 1, Hv: 2, K: 12, V: 8, h0: true, dht: true})}
		r := rand.New(rand.NewPCG(3, 1))
		p.logits = drawn(len(p.β), func(int) float64 { return 3 * r.NormFloat64() })
		p.round(t, d)
		for _, p.doubled = range []bool{false, true} {
			want := p.solve()
			for _, v := range variants(d) {
				t.Run(fmt.Sprintf("doubled=%t/%s", p.doubled, v), func(t *testing.T) { p.check(t, v, want) })
			}
		}
	}
}

// TestStateLayout wants the bits of the other layout, turned.
func TestStateLayout(t *testing.T) {
	p := rawProblem{problem: sample(4, sampling{B: 2, T: 40, Hk: 1, Hv: 3, K: 6, V: 4, h0: true, dht: true})}
	for _, d := range allDtypes {
		for _, v := range variants(d) {
			t.Run(v.String(), func(t *testing.T) {
				p := p
				want := p.run(t, v)
				p.layout = VK
				same(t, p.run(t, v), p.turned(want), 0)
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
	leaksNothing(t, step)
	runtime.KeepAlive(mask)
}

// TestQKL2NormHalf holds that normalised vectors are not rounded to half
// precision once more: the rule is that of the same values in float32.
func TestQKL2NormHalf(t *testing.T) {
	const tokens, width = 70, 24
	for _, d := range []tensor.Dtype{tensor.BFloat16, tensor.Float16} {
		for _, implementation := range []Implementation{Recurrent, Chunk} {
			t.Run(fmt.Sprintf("%s-%s", d, implementation), func(t *testing.T) {
				tape := autograd.NewTape()
				defer tape.Close()
				half := func(seed uint64) *autograd.Var {
					return tape.Const(tensor.AsType(tensor.Normal(tensor.Key(seed), 1, tokens, 2, width), d))
				}
				in := Inputs{Q: half(1), K: half(2), V: half(3)}
				opt := Options{QKL2Norm: true, Implementation: implementation}
				got := read(t, Apply(in, opt).O.Value())
				for _, x := range []**autograd.Var{&in.Q, &in.K, &in.V} {
					*x = ops.AsType(*x, tensor.Float32)
				}
				want := read(t, tensor.AsType(Apply(in, opt).O.Value(), d))
				if !slices.Equal(got, want) {
					t.Error("O differs from the rounded O of the same values in float32")
				}
			})
		}
	}
}
