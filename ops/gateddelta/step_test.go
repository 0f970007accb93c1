package gateddelta

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// tokenAt returns the inputs of one token; parameters and masks aside, all have
// an axis of tokens. The state is that of the step before.
func (in Inputs) tokenAt(t int, state *autograd.Var) Inputs {
	tape := in.Q.Tape()
	for _, x := range []**autograd.Var{&in.Q, &in.K, &in.V, &in.LogDecay, &in.Beta, &in.GateInput, &in.BetaLogits} {
		if *x != nil {
			*x = tape.Const(tensor.SliceAxis((*x).Value(), 1, t, t+1))
		}
	}
	if in.Mask != nil {
		in.Mask = tensor.SliceAxis(in.Mask, 1, t, t+1)
	}
	if t > 0 {
		in.InitialState = state
	}
	return in
}

// stepped goes through the tokens one by one.
func stepped(in Inputs, opt Options) Output {
	var outs []*tensor.Tensor
	var last Output
	for t := range in.Q.Dim(1) {
		last = Step(in.tokenAt(t, last.FinalState), opt)
		outs = append(outs, last.O.Value())
	}
	last.O = in.Q.Tape().Const(tensor.Concat(1, outs...))
	return last
}

// TestStep wants of Step what Apply gives for the sequence.
func TestStep(t *testing.T) {
	base := sampling{B: 2, T: 37, Hk: 2, Hv: 4, K: 16, V: 24, h0: true}
	with := func(change func(*sampling)) sampling {
		c := base
		change(&c)
		return c
	}
	// Plain operands stand in for those of the front end: their values suit.
	gateInput := func(in *Inputs, o *Options) {
		in.GateInput, in.LogDecay = in.LogDecay, nil
		in.ALog = in.Q.Tape().Const(tensor.AsType(tensor.FromSlice([]float32{-3, -1, 0, 1}), in.GateInput.Dtype()))
		in.DtBias = in.ALog
	}
	for _, c := range []struct {
		name string
		sampling
		edit func(*Inputs, *Options)
	}{
		{"GQA", base, nil},
		{"one head", with(func(c *sampling) { c.Hk, c.Hv, c.B = 1, 1, 1 }), nil},
		{"no state", with(func(c *sampling) { c.h0 = false }), nil},
		{"strong gates", with(func(c *sampling) { c.gate = "a16" }), nil},
		{"resets", with(func(c *sampling) { c.gate = "inf" }), nil},
		{"collinear keys", with(func(c *sampling) { c.keys, c.beta = "collinear", "2sigmoid" }), nil},
		{"no gates", base, func(in *Inputs, _ *Options) { in.LogDecay, in.Beta = nil, nil }},
		{"normalised", base, func(_ *Inputs, o *Options) { o.QKL2Norm, o.L2NormEps, o.Scale = true, 1e-3, 2 }},
		{"gate inputs", base, gateInput},
		{"logits", base, func(in *Inputs, o *Options) {
			in.BetaLogits, in.Beta, o.AllowNegativeEigenvalues = in.Beta, nil, true
		}},
		{"no delta", base, func(_ *Inputs, o *Options) { o.NoDelta = true }},
		{"VK", base, func(in *Inputs, o *Options) {
			o.StateLayout = VK
			in.InitialState = in.Q.Tape().Const(tensor.SwapAxes(in.InitialState.Value(), -1, -2))
		}},
		{"mask", base, func(in *Inputs, _ *Options) {
			mask := tensor.Ones(tensor.Int32, 2, 37)
			in.Mask = tensor.SliceUpdate(mask, tensor.Zeros(tensor.Int32, 1, 9), []int{1, 0}, []int{2, 9})
		}},
		{"validated", base, func(_ *Inputs, o *Options) { o.Validate = true }},
	} {
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.BFloat16, tensor.Float16} {
			t.Run(fmt.Sprint(c.name, "/", d), func(t *testing.T) {
				p := sample(1, c.sampling)
				v := variant{dtype: d}
				tape := autograd.NoGrad()
				defer tape.Close()
				in, _ := p.inputs(tape, v)
				opt := Options{FinalState: true}
				if c.edit != nil {
					c.edit(&in, &opt)
				}
				got := stepped(in, opt)
				if got.O.Dtype() != d || got.FinalState.Dtype() != v.work() {
					t.Errorf("O is %s and the state %s, want %s and %s", got.O.Dtype(), got.FinalState.Dtype(), d, v.work())
				}
				for _, opt.Implementation = range []Implementation{Recurrent, Chunk} {
					want := Apply(in, opt)
					for _, x := range []struct {
						name      string
						got, want *autograd.Var
					}{{"O", got.O, want.O}, {"FinalState", got.FinalState, want.FinalState}} {
						if !slices.Equal(x.got.Shape(), x.want.Shape()) {
							t.Fatalf("%s is %v, want %v", x.name, x.got.Shape(), x.want.Shape())
						}
						e := relative(read(t, x.got.Value()), read(t, x.want.Value()), smallest(d))
						if limit := p.tolerance(d, x.name); !(e <= limit) {
							t.Errorf("%s: relative error %.1e to %s, want at most %.0e", x.name, e, opt.Implementation, limit)
						}
					}
				}
			})
		}
	}
}

// TestStepMemory takes many steps and wants the memory of one.
func TestStepMemory(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16} {
		t.Run(d.String(), func(t *testing.T) {
			p := sample(1, sampling{B: 1, T: 1, Hk: 2, Hv: 4, K: 16, V: 16})
			var state *tensor.Tensor
			step := func() {
				tape := autograd.NoGrad()
				defer tape.Close()
				in, _ := p.inputs(tape, variant{dtype: d})
				if state != nil {
					in.InitialState = tape.Const(state)
				}
				out := Step(in, Options{QKL2Norm: true})
				next := out.FinalState.Value()
				tape.Keep(next)
				if err := tensor.Eval(out.O.Value(), next); err != nil {
					t.Fatal(err)
				}
				tensor.Free(state)
				state = next
			}
			step()
			step()
			settle(t)
			live, active := tensor.Live(), tensor.Memory().Active
			for range 1000 {
				step()
			}
			settle(t)
			if n := tensor.Live(); n > live {
				t.Errorf("%d handles are open after 1000 steps, %d were before", n, live)
			}
			if n := tensor.Memory().Active; n > active {
				t.Errorf("%d bytes are in use after 1000 steps, %d were before", n, active)
			}
			tensor.Free(state)
		})
	}
}

func TestStepMistakes(t *testing.T) {
	for _, c := range []struct {
		name, want string
		T          int
		recording  bool
		opt        Options
	}{
		{"tokens", "gateddelta.Step: got 2 tokens, want Q, K [B, 1, Hk, K]", 2, false, Options{}},
		{"packed", "gateddelta.Step: CuSeqlens is given", 1, false, Options{CuSeqlens: []int{0, 1}}},
		{"chunk", `gateddelta.Step: Implementation is "chunk"`, 1, false, Options{Implementation: Chunk}},
		{"unknown", `there is no implementation "magic"`, 1, false, Options{Implementation: "magic"}},
		{"recording", "gateddelta.Step: the tape records, want one made by autograd.NoGrad", 1, true, Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := autograd.NoGrad()
			if c.recording {
				tape = autograd.NewTape()
			}
			defer tape.Close()
			in, _ := sample(1, sampling{B: 1, T: c.T, Hk: 1, Hv: 2, K: 4, V: 4}).inputs(tape, variant{dtype: tensor.Float32})
			err := tensor.Try(func() { Step(in, c.opt) })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if err := tensor.Try(func() { Step(Inputs{}, Options{}) }); err == nil {
		t.Error("inputs without anything were accepted")
	}
}

// BenchmarkStep compares a token by Step with one by Apply.
func BenchmarkStep(b *testing.B) {
	for _, c := range []sampling{
		{B: 1, T: 1, Hk: 2, Hv: 4, K: 32, V: 32, h0: true},
		{B: 1, T: 1, Hk: 8, Hv: 32, K: 128, V: 128, h0: true},
	} {
		for name, apply := range map[string]func(Inputs, Options) Output{"Step": Step, "Apply": Apply} {
			b.Run(fmt.Sprintf("%s-Hv%d-K%d", name, c.Hv, c.K), func(b *testing.B) {
				tape := autograd.NoGrad()
				defer tape.Close()
				in, _ := sample(1, c).inputs(tape, variant{dtype: tensor.Float32})
				state := in.InitialState.Value()
				for b.Loop() {
					inner := autograd.NoGrad()
					in := in
					for _, x := range []**autograd.Var{&in.Q, &in.K, &in.V, &in.LogDecay, &in.Beta} {
						*x = inner.Const((*x).Value())
					}
					in.InitialState = inner.Const(state)
					out := apply(in, Options{FinalState: true, QKL2Norm: true})
					next := out.FinalState.Value()
					inner.Keep(next)
					if err := tensor.Eval(out.O.Value(), next); err != nil {
						b.Fatal(err)
					}
					inner.Close()
					state = next
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}
