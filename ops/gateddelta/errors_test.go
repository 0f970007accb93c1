package gateddelta

import (
	"math"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func TestMistakes(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	zeros := func(d tensor.Dtype, shape ...int) *autograd.Var { return tape.Const(tensor.Zeros(d, shape...)) }
	f32 := func(shape ...int) *autograd.Var { return zeros(tensor.Float32, shape...) }
	valid := func() Inputs {
		return Inputs{Q: f32(2, 3, 2, 4), K: f32(2, 3, 2, 4), V: f32(2, 3, 4, 5), LogDecay: f32(2, 3, 4), Beta: f32(2, 3, 4), InitialState: f32(2, 4, 4, 5)}
	}
	Apply(valid(), Options{})

	for _, c := range []struct {
		name string
		edit func(*Inputs, *Options)
		want []string // parts of the message
	}{
		{"no keys", func(in *Inputs, _ *Options) { in.K = nil }, []string{"Q, K and V must be given"}},
		{"axes", func(in *Inputs, _ *Options) { in.Q = f32(2, 3, 8) }, []string{"want Q, K [B, T, Hk, K]", "[2 3 8]"}},
		{"key width", func(in *Inputs, _ *Options) { in.K = f32(2, 3, 2, 6) }, []string{"one shape", "[2 3 2 4] x [2 3 2 6]"}},
		{"length", func(in *Inputs, _ *Options) { in.V = f32(2, 7, 4, 5) }, []string{"agree in B and T", "[2 3 2 4] x [2 7 4 5]"}},
		{"empty", func(in *Inputs, _ *Options) { in.V = f32(2, 3, 4, 0) }, []string{"length 0", "[2 3 4 0]"}},
		{"no tokens", func(in *Inputs, _ *Options) {
			in.Q, in.K, in.V = f32(2, 0, 2, 4), f32(2, 0, 2, 4), f32(2, 0, 4, 5)
		}, []string{"length 0", "[2 0 2 4]"}},
		{"head ratio", func(in *Inputs, _ *Options) { in.V = f32(2, 3, 3, 5) }, []string{"V has 3 heads", "multiple of the 2", "[2 3 3 5]"}},
		{"decay", func(in *Inputs, _ *Options) { in.LogDecay = f32(2, 3, 2) }, []string{"LogDecay must be [B, T, Hv] = [2 3 4]", "[2 3 2] x [2 3 4 5]"}},
		{"beta", func(in *Inputs, _ *Options) { in.Beta = f32(2, 3) }, []string{"Beta must be [B, T, Hv] = [2 3 4]"}},
		{"state", func(in *Inputs, _ *Options) { in.InitialState = f32(2, 4, 5, 4) }, []string{"InitialState must be [B, Hv, K, V] = [2 4 4 5]", "[2 4 5 4]"}},
		{"two dtypes", func(in *Inputs, _ *Options) { in.V = zeros(tensor.BFloat16, 2, 3, 4, 5) }, []string{"one dtype", "float32, float32 and bfloat16"}},
		{"integers", func(in *Inputs, _ *Options) {
			in.Q, in.K, in.V = zeros(tensor.Int32, 2, 3, 2, 4), zeros(tensor.Int32, 2, 3, 2, 4), zeros(tensor.Int32, 2, 3, 4, 5)
		}, []string{"Q is int32"}},
		{"double gate", func(in *Inputs, _ *Options) { in.LogDecay = zeros(tensor.Float64, 2, 3, 4) }, []string{"LogDecay is float64", "Q of float32"}},
		{"integer beta", func(in *Inputs, _ *Options) { in.Beta = zeros(tensor.Int32, 2, 3, 4) }, []string{"Beta is int32"}},
		{"half state", func(in *Inputs, _ *Options) { in.InitialState = zeros(tensor.Float16, 2, 4, 4, 5) }, []string{"InitialState is float16, want float32"}},
		{"chunk size", func(_ *Inputs, o *Options) { o.ChunkSize = 48 }, []string{"ChunkSize is 48", "[16 32 64 128]"}},
		{"negative chunk size", func(_ *Inputs, o *Options) { o.ChunkSize = -1 }, []string{"ChunkSize is -1"}},
		{"segment", func(_ *Inputs, o *Options) { o.Segment = -2 }, []string{"Segment is -2"}},
		{"threads", func(_ *Inputs, o *Options) { o.Threads = 3 }, []string{"Threads is 3, want 1 or 2, or 0"}},
		{"negative threads", func(_ *Inputs, o *Options) { o.Threads = -1 }, []string{"Threads is -1"}},
		{"two decays", func(in *Inputs, _ *Options) { in.GateInput, in.ALog = f32(2, 3, 4), f32(4) }, []string{"both LogDecay and GateInput"}},
		{"gate without rate", func(in *Inputs, _ *Options) { in.LogDecay, in.GateInput = nil, f32(2, 3, 4) }, []string{"GateInput is given without ALog"}},
		{"rate without gate", func(in *Inputs, _ *Options) { in.ALog = f32(4) }, []string{"ALog is given without GateInput"}},
		{"bias without gate", func(in *Inputs, _ *Options) { in.DtBias = f32(4) }, []string{"DtBias is given without GateInput"}},
		{"gate input", func(in *Inputs, _ *Options) {
			in.LogDecay, in.GateInput, in.ALog = nil, f32(2, 3, 2), f32(4)
		}, []string{"GateInput must be [B, T, Hv] = [2 3 4]", "[2 3 2]"}},
		{"rate", func(in *Inputs, _ *Options) {
			in.LogDecay, in.GateInput, in.ALog = nil, f32(2, 3, 4), f32(2)
		}, []string{"ALog must be [Hv] = [4]", "[2]"}},
		{"double bias", func(in *Inputs, _ *Options) {
			in.LogDecay, in.GateInput, in.ALog, in.DtBias = nil, f32(2, 3, 4), f32(4), zeros(tensor.Float64, 4)
		}, []string{"DtBias is float64", "Q of float32"}},
		{"two betas", func(in *Inputs, _ *Options) { in.BetaLogits = f32(2, 3, 4) }, []string{"both Beta and BetaLogits"}},
		{"beta logits", func(in *Inputs, _ *Options) { in.Beta, in.BetaLogits = nil, f32(2, 3) }, []string{"BetaLogits must be [B, T, Hv] = [2 3 4]"}},
		{"doubled beta", func(_ *Inputs, o *Options) { o.AllowNegativeEigenvalues = true }, []string{"AllowNegativeEigenvalues", "without BetaLogits"}},
		{"mask", func(in *Inputs, _ *Options) { in.Mask = tensor.Ones(tensor.Bool, 3, 2) }, []string{"Mask must be [B, T] = [2 3]", "[3 2]"}},
		{"eps", func(_ *Inputs, o *Options) { o.QKL2Norm, o.L2NormEps = true, -1 }, []string{"L2NormEps is -1"}},
		{"infinite eps", func(_ *Inputs, o *Options) { o.QKL2Norm, o.L2NormEps = true, math.Inf(1) }, []string{"L2NormEps is +Inf"}},
		{"eps for nothing", func(_ *Inputs, o *Options) { o.L2NormEps = 1e-5 }, []string{"L2NormEps is 1e-05 without QKL2Norm"}},
		{"layout", func(_ *Inputs, o *Options) { o.StateLayout = "kkv" }, []string{`no StateLayout "kkv"`, `"kv" or "vk"`}},
		{"turned state", func(_ *Inputs, o *Options) { o.StateLayout = VK }, []string{"InitialState must be [B, Hv, V, K] = [2 4 5 4]", "[2 4 4 5]"}},
		{"scale", func(_ *Inputs, o *Options) { o.Scale = math.NaN() }, []string{"Scale is NaN"}},
		{"implementation", func(_ *Inputs, o *Options) { o.Implementation = "magic" }, []string{`no implementation "magic"`, `"recurrent"`, `"chunk"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, opt := valid(), Options{}
			c.edit(&in, &opt)
			err := tensor.Try(func() { Apply(in, opt) })
			var mistake *tensor.Error
			if !errors.As(err, &mistake) {
				t.Fatalf("got %v, want a *tensor.Error", err)
			}
			for _, part := range append(c.want, "gateddelta.Apply: ") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not contain %q", err, part)
				}
			}
			if e := tensor.Try(func() { Explain(in, opt) }); e == nil || e.Error() != err.Error() {
				t.Errorf("Explain says %v, Apply says %v", e, err)
			}
		})
	}
}

func TestClosedInput(t *testing.T) {
	tape := autograd.NewTape()
	p := sample(1, sampling{B: 1, T: 3, Hk: 1, Hv: 1, K: 2, V: 2})
	in, _ := p.inputs(tape, variant{dtype: tensor.Float32})
	tape.Close()
	if err := tensor.Try(func() { Apply(in, Options{}) }); err == nil {
		t.Error("inputs of a closed tape were accepted")
	}
}
