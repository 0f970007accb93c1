package gateddelta

import (
	"math"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func TestValidate(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	// with makes zeros and puts x at one index.
	with := func(x float32, at int, shape ...int) *autograd.Var {
		data := make([]float32, tensor.Zeros(tensor.Float32, shape...).Size())
		if len(data) > 0 {
			data[at] = x
		}
		return tape.Const(tensor.FromSlice(data, shape...))
	}
	for _, c := range []struct {
		name string
		edit func(*Inputs)
		want string // "" if the inputs are good
	}{
		{"good", func(*Inputs) {}, ""},
		{"query", func(in *Inputs) { in.Q = with(nan, 14, 2, 3, 2, 4) }, "Q is NaN or infinite in 1 of 48 places, the first at [0 1 1 2]"},
		{"key", func(in *Inputs) { in.K = with(-inf, 47, 2, 3, 2, 4) }, "K is NaN or infinite in 1 of 48 places, the first at [1 2 1 3]"},
		{"value", func(in *Inputs) { in.V = with(inf, 0, 2, 3, 4, 5) }, "V is NaN or infinite in 1 of 120"},
		{"half values", func(in *Inputs) {
			for _, x := range []**autograd.Var{&in.Q, &in.K, &in.V} {
				*x = tape.Const(tensor.AsType((*x).Value(), tensor.BFloat16))
			}
			in.V = tape.Const(tensor.Full(math.Inf(-1), tensor.BFloat16, 2, 3, 4, 5))
		}, "V is NaN or infinite in 120 of 120 places, the first at [0 0 0 0]"},
		{"gate", func(in *Inputs) { in.LogDecay = with(1e-6, 7, 2, 3, 4) }, "LogDecay is above 0 in 1 of 24 places, the first at [0 1 3]"},
		{"gate of NaN", func(in *Inputs) { in.LogDecay = with(nan, 7, 2, 3, 4) }, "LogDecay is NaN in 1 of 24 places, the first at [0 1 3]"},
		{"reset", func(in *Inputs) { in.LogDecay = with(-inf, 7, 2, 3, 4) }, ""},
		{"beta", func(in *Inputs) { in.Beta = with(nan, 23, 2, 3, 4) }, "Beta is NaN or infinite in 1 of 24 places, the first at [1 2 3]"},
		{"state", func(in *Inputs) { in.InitialState = with(inf, 1, 2, 4, 4, 5) }, "InitialState is NaN or infinite"},
		{"gate input", func(in *Inputs) {
			in.LogDecay, in.GateInput, in.ALog = nil, with(nan, 0, 2, 3, 4), with(0, 0, 4)
		}, "GateInput is NaN or infinite"},
		{"rate", func(in *Inputs) {
			in.LogDecay, in.GateInput, in.ALog = nil, with(0, 0, 2, 3, 4), with(inf, 3, 4)
		}, "ALog is NaN or +Inf in 1 of 4 places, the first at [3]"},
		{"rate of zero", func(in *Inputs) {
			in.LogDecay, in.GateInput, in.ALog = nil, with(0, 0, 2, 3, 4), with(-inf, 3, 4)
		}, ""},
		{"bias", func(in *Inputs) {
			in.LogDecay, in.GateInput, in.ALog, in.DtBias = nil, with(0, 0, 2, 3, 4), with(0, 0, 4), with(nan, 2, 4)
		}, "DtBias is NaN or infinite"},
		{"logits", func(in *Inputs) { in.Beta, in.BetaLogits = nil, with(nan, 2, 2, 3, 4) }, "BetaLogits is NaN or infinite"},
		{"mask", func(in *Inputs) { in.Mask = with(0.5, 4, 2, 3).Value() }, "Mask is neither 0 nor 1 in 1 of 6 places, the first at [1 1]"},
		{"padding", func(in *Inputs) {
			in.Mask = tensor.FromSlice([]bool{true, false, true, true, true, true}, 2, 3)
			in.Q, in.LogDecay = with(nan, 14, 2, 3, 2, 4), with(1, 7, 2, 3, 4) // token 1 of sequence 0
		}, ""},
		{"beside the padding", func(in *Inputs) {
			in.Mask = tensor.FromSlice([]bool{true, false, true, true, true, true}, 2, 3)
			in.LogDecay = with(1, 8, 2, 3, 4)
		}, "LogDecay is above 0 in 1 of 24 places, the first at [0 2 0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Inputs{
				Q: with(0, 0, 2, 3, 2, 4), K: with(0, 0, 2, 3, 2, 4), V: with(0, 0, 2, 3, 4, 5),
				LogDecay: with(0, 0, 2, 3, 4), Beta: with(0, 0, 2, 3, 4), InitialState: with(0, 0, 2, 4, 4, 5),
			}
			c.edit(&in)
			if err := tensor.Try(func() { Apply(in, Options{}) }); err != nil {
				t.Fatalf("without Validate: %v", err)
			}
			err := tensor.Try(func() { Apply(in, Options{Validate: true}) })
			var mistake *tensor.Error
			switch {
			case c.want == "" && err != nil:
				t.Errorf("good inputs are refused: %v", err)
			case c.want != "" && !errors.As(err, &mistake):
				t.Errorf("got %v, want a *tensor.Error", err)
			case c.want != "" && !strings.Contains(err.Error(), c.want):
				t.Errorf("the error %q does not contain %q", err, c.want)
			}
		})
	}
}

// TestGateAboveZero wants NaN of a gate above 0 without Validate, from its token on,
// and none of it in other heads.
func TestGateAboveZero(t *testing.T) {
	const T, at = 20, 7
	p := sample(1, sampling{B: 1, T: T, Hk: 1, Hv: 2, K: 8, V: 8, h0: true, dht: true})
	p.g[at*p.Hv] = 1e-30
	for _, v := range append(variants(tensor.Float32), variant{implementation: Metal, chunk: 16, dtype: tensor.Float32}) {
		t.Run(v.String(), func(t *testing.T) {
			got := p.run(t, v)
			for i, x := range got["o"] {
				token, head := i/(p.Hv*p.V), i/p.V%p.Hv
				if spoilt := math.IsNaN(x); spoilt && head == 1 || !spoilt && head == 0 && token >= at {
					t.Fatalf("o of token %d, head %d is %g", token, head, x)
				}
			}
			if !math.IsNaN(got["dg"][0]) || math.IsNaN(got["dg"][1]) {
				t.Errorf("dg begins with %g, want NaN and a number", got["dg"][:2])
			}
		})
	}
}
