package gateddelta

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// masks of T = 37 tokens by what they look like; a sequence's number turns them.
var maskKinds = map[string]func(b, t int) bool{
	"left":   func(b, t int) bool { return t >= 5+9*b },
	"right":  func(b, t int) bool { return t < 30-20*b },
	"holes":  func(b, t int) bool { return (t*t+b)%3 != 0 },
	"long":   func(b, t int) bool { return t < 3 || t > 33+b }, // whole chunks of padding
	"nobody": func(b, t int) bool { return b == 1 },
	"all":    func(int, int) bool { return true },
}

// shortened solves the problem without its padding and puts zeros there.
func (p problem) shortened(valid []bool) result {
	res := result{}
	for _, name := range resultNames {
		res[name] = nil
	}
	for b := range p.B {
		at := valid[b*p.T:][:p.T]
		cut := func(x []float64) []float64 {
			row := len(x) / (p.B * p.T)
			var y []float64
			for t, keep := range at {
				if keep {
					y = append(y, x[(b*p.T+t)*row:][:row]...)
				}
			}
			return y
		}
		states := func(x []float64) []float64 { n := len(x) / p.B; return x[b*n:][:n] }
		s := p
		s.B, s.T = 1, 0
		for _, keep := range at {
			if keep {
				s.T++
			}
		}
		s.q, s.k, s.v, s.g, s.β, s.do = cut(p.q), cut(p.k), cut(p.v), cut(p.g), cut(p.β), cut(p.do)
		s.h0, s.dht = states(p.h0), states(p.dht)
		for name, x := range s.solve() {
			if name == "ht" || name == "dh0" {
				res[name] = append(res[name], x...)
				continue
			}
			row := map[string]int{"o": p.Hv * p.V, "dv": p.Hv * p.V, "dq": p.Hk * p.K, "dk": p.Hk * p.K, "dg": p.Hv, "dbeta": p.Hv}[name]
			for _, keep := range at {
				if !keep {
					res[name] = append(res[name], make([]float64, row)...)
					continue
				}
				res[name], x = append(res[name], x[:row]...), x[row:]
			}
		}
	}
	return res
}

// TestMask holds runs with padding to the oracle without it. The padding is NaN,
// in inputs and in the gradient of O; zeros there must be exact.
func TestMask(t *testing.T) {
	for kind, isValid := range maskKinds {
		for _, noDelta := range []bool{false, true} {
			p := sample(1, sampling{B: 2, T: 37, Hk: 1, Hv: 3, K: 8, V: 6, gate: "logsigmoid", h0: true, dht: true, noDelta: noDelta})
			valid := make([]bool, p.B*p.T)
			for i := range valid {
				valid[i] = isValid(i/p.T, i%p.T)
			}
			for _, d := range allDtypes {
				p := p
				p.round(t, d)
				want := p.shortened(valid)
				for _, x := range []*[]float64{&p.q, &p.k, &p.v, &p.g, &p.β, &p.do} {
					*x = slices.Clone(*x)
					row := len(*x) / len(valid)
					for i := range *x {
						if !valid[i/row] {
							(*x)[i] = math.NaN()
						}
					}
				}
				for _, v := range variants(d) {
					t.Run(fmt.Sprintf("%s/nodelta=%t/%s", kind, noDelta, v), func(t *testing.T) {
						tape := autograd.NewTape()
						defer tape.Close()
						in, leaves := p.inputs(tape, v)
						in.Mask = tensor.FromSlice(valid, p.B, p.T)
						got := p.finish(t, tape, v, p.apply(in, v), leaves)
						for _, name := range resultNames {
							near(t, name, got[name], want[name], p.tolerance(d, name))
							row := len(got[name]) / len(valid)
							for i, x := range got[name] {
								if name != "ht" && name != "dh0" && !valid[i/row] && x != 0 {
									t.Fatalf("%s is %g at the padding, want 0", name, x)
								}
							}
						}
					})
				}
			}
		}
	}
}

// TestMaskBeforeFrontend has NaN in the padding of everything that the front end
// computes with: the gradients of parameters that all tokens share stay clean.
func TestMaskBeforeFrontend(t *testing.T) {
	p := sampleGate(2, sampling{B: 1, T: 20, Hk: 1, Hv: 2, K: 4, V: 3, h0: true, dht: true}, true)
	const padding = 6 // tokens on the left
	for _, v := range bothForms {
		run := func(t *testing.T, from int, edit func(in *Inputs)) [][]float64 {
			tape := autograd.NewTape()
			defer tape.Close()
			tokens := func(x []float64, d tensor.Dtype, shape ...int) *autograd.Var {
				row := len(x) / p.T
				return tape.Var(p.tensor(x[from*row:], d, append([]int{1, p.T - from}, shape...)...))
			}
			in := Inputs{
				Q: tokens(p.q, v.dtype, p.Hk, p.K), K: tokens(p.k, v.dtype, p.Hk, p.K), V: tokens(p.v, v.dtype, p.Hv, p.V),
				GateInput: tokens(p.a, v.dtype, p.Hv), BetaLogits: tokens(p.β, v.dtype, p.Hv),
				ALog: tape.Var(p.tensor(p.aLog, v.dtype, p.Hv)), DtBias: tape.Var(p.tensor(p.dtBias, v.dtype, p.Hv)),
				InitialState: tape.Var(p.tensor(p.h0, v.dtype, 1, p.Hv, p.K, p.V)),
			}
			edit(&in)
			opt := p.options(v)
			opt.QKL2Norm = true
			out := Apply(in, opt)
			grads, err := tape.Grad([]*autograd.Var{out.FinalState}, p.seeds(v)[1:], in.ALog, in.DtBias, in.InitialState)
			if err != nil {
				t.Fatal(err)
			}
			list := [][]float64{read(t, out.FinalState.Value())}
			for _, g := range grads {
				list = append(list, read(t, g))
			}
			return list
		}
		t.Run(v.String(), func(t *testing.T) {
			want := run(t, padding, func(*Inputs) {})
			for _, x := range [][]float64{p.q, p.k, p.v, p.a, p.β} {
				for i := range len(x) / p.T * padding {
					x[i] = math.NaN()
				}
			}
			valid := make([]float32, p.T)
			for i := padding; i < p.T; i++ {
				valid[i] = 1
			}
			got := run(t, 0, func(in *Inputs) { in.Mask = tensor.FromSlice(valid, 1, p.T) })
			for i, name := range []string{"ht", "daLog", "ddtBias", "dh0"} {
				near(t, name, got[i], want[i], 1e-12)
			}
		})
	}
}

// TestPackedFrontend packs sequences with padding in them and NaN behind the last
// one, and lets the front end compute all that it can: each sequence must come
// out as alone and shortened.
func TestPackedFrontend(t *testing.T) {
	c := sampling{B: 1, T: 50, Hk: 1, Hv: 2, K: 6, V: 4, h0: true, dht: true}
	p := sampleGate(3, c, true)
	cu := []int{0, 20, 20, 21, 44} // six tokens behind
	n := len(cu) - 1
	c.B = n
	states := sample(4, c)
	p.h0, p.dht = states.h0, states.dht
	valid := make([]float32, p.T)
	for i := range valid {
		if i%5 != 1 && i != 0 {
			valid[i] = 1
		}
	}
	for i := range p.T {
		if i >= cu[n] || valid[i] == 0 {
			for _, x := range [][]float64{p.q, p.k, p.v, p.a, p.β} {
				row := len(x) / p.T
				for j := range row {
					x[i*row+j] = math.NaN()
				}
			}
		}
	}
	for _, v := range bothForms {
		// run applies the rule to some tokens, with states [len(sequences), ...].
		run := func(t *testing.T, tokens []int, sequences []int, edit func(*Inputs, *Options)) (o, ht []float64, grads [][]float64) {
			tape := autograd.NewTape()
			defer tape.Close()
			pick := func(x []float64, rows []int, n int) (y []float64) {
				for _, i := range rows {
					row := len(x) / n
					y = append(y, x[i*row:][:row]...)
				}
				return y
			}
			leaf := func(x []float64, shape ...int) *autograd.Var { return tape.Var(p.tensor(x, v.dtype, shape...)) }
			T := len(tokens)
			in := Inputs{
				Q: leaf(pick(p.q, tokens, p.T), 1, T, p.Hk, p.K), K: leaf(pick(p.k, tokens, p.T), 1, T, p.Hk, p.K),
				V:         leaf(pick(p.v, tokens, p.T), 1, T, p.Hv, p.V),
				GateInput: leaf(pick(p.a, tokens, p.T), 1, T, p.Hv), BetaLogits: leaf(pick(p.β, tokens, p.T), 1, T, p.Hv),
				ALog: leaf(p.aLog, p.Hv), DtBias: leaf(p.dtBias, p.Hv),
				InitialState: leaf(pick(p.h0, sequences, n), len(sequences), p.Hv, p.K, p.V),
			}
			opt := p.options(v)
			opt.QKL2Norm, opt.Validate = true, true
			edit(&in, &opt)
			out := Apply(in, opt)
			seeds := []*tensor.Tensor{
				p.tensor(pick(p.do, tokens, p.T), v.dtype, 1, T, p.Hv, p.V),
				p.tensor(pick(p.dht, sequences, n), v.dtype, len(sequences), p.Hv, p.K, p.V),
			}
			ds, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, seeds, in.Q, in.K, in.V, in.GateInput, in.BetaLogits, in.InitialState, in.ALog, in.DtBias)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range ds {
				grads = append(grads, read(t, d))
			}
			return read(t, out.O.Value()), read(t, out.FinalState.Value()), grads
		}
		t.Run(v.String(), func(t *testing.T) {
			all := make([]int, p.T)
			for i := range all {
				all[i] = i
			}
			o, ht, grads := run(t, all, []int{0, 1, 2, 3}, func(in *Inputs, opt *Options) {
				in.Mask, opt.CuSeqlens = tensor.FromSlice(valid, 1, p.T), cu
			})

			wantO, wantHt, want := make([]float64, len(o)), slices.Clone(p.h0), make([][]float64, len(grads))
			for i, g := range grads {
				want[i] = make([]float64, len(g))
			}
			put := func(to, from []float64, rows []int, n int) {
				row := len(to) / n
				for i, at := range rows {
					copy(to[at*row:][:row], from[i*row:])
				}
			}
			put(want[5], p.dht, []int{0, 1, 2, 3}, n)
			for s := range n {
				var tokens []int
				for i := cu[s]; i < cu[s+1]; i++ {
					if valid[i] == 1 {
						tokens = append(tokens, i)
					}
				}
				if tokens == nil {
					continue
				}
				o, ht, grads := run(t, tokens, []int{s}, func(*Inputs, *Options) {})
				put(wantO, o, tokens, p.T)
				put(wantHt, ht, []int{s}, n)
				for i, g := range grads {
					switch {
					case i < 5:
						put(want[i], g, tokens, p.T)
					case i == 5:
						put(want[i], g, []int{s}, n)
					default: // shared by all sequences
						for j := range g {
							want[i][j] += g[j]
						}
					}
				}
			}
			near(t, "o", o, wantO, 1e-12)
			near(t, "ht", ht, wantHt, 1e-12)
			for i, name := range []string{"dq", "dk", "dv", "da", "db", "dh0", "daLog", "ddtBias"} {
				near(t, name, grads[i], want[i], 1e-11)
			}
		})
	}
}
