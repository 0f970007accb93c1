package qla

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// tiny is a model with K ≠ V and shared key heads.
var tiny = Config{Layers: 2, Hidden: 6, Vocab: 9, KeyHeads: 1, ValueHeads: 2, KeyDim: 4, ValueDim: 3, ConvWidth: 3, Intermediate: 5, ChunkSize: 16}

func newModel(t testing.TB, cfg Config, seed uint64) *Model {
	t.Helper()
	m, err := New(cfg, tensor.Key(seed))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func with(cfg Config, change func(*Config)) Config {
	change(&cfg)
	return cfg
}

func tokens(vocab, b, n int) *tensor.Tensor {
	ids := make([]int32, b*n)
	for i := range ids {
		ids[i] = int32((i*i*7 + i*3 + i/n) % vocab)
	}
	return tensor.FromSlice(ids, b, n)
}

// logits is a forward pass on a tape of its own.
func logits(t testing.TB, m *Model, ids *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	tape := autograd.NoGrad()
	defer tape.Close()
	y := m.Forward(tape, ids).Value()
	tape.Keep(y)
	return y
}

func TestParameterNames(t *testing.T) {
	layer := func(i int, projections ...string) []string {
		var list []string
		for _, name := range slices.Concat([]string{"input_layernorm.weight"}, projections, []string{
			"linear_attn.conv1d.weight", "linear_attn.A_log", "linear_attn.dt_bias", "linear_attn.norm.weight", "linear_attn.out_proj.weight",
			"post_attention_layernorm.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight",
		}) {
			list = append(list, fmt.Sprintf("model.layers.%d.%s", i, name))
		}
		return list
	}
	plain := []string{"linear_attn.in_proj_qkv.weight", "linear_attn.in_proj_z.weight", "linear_attn.in_proj_b.weight", "linear_attn.in_proj_a.weight"}
	grouped := []string{"linear_attn.in_proj_qkvz.weight", "linear_attn.in_proj_ba.weight"}
	first, last := []string{"model.embed_tokens.weight"}, []string{"model.norm.weight"}
	for _, test := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"qwen3_5, untied", tiny, slices.Concat(first, layer(0, plain...), layer(1, plain...), last, []string{"lm_head.weight"})},
		{"qwen3_next, tied", with(tiny, func(c *Config) { c.TieEmbeddings, c.Layout, c.Layers = true, LayoutQwen3Next, 1 }),
			slices.Concat(first, layer(0, grouped...), last)},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for name := range newModel(t, test.cfg, 1).Params() {
				got = append(got, name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestShapesAndDeterminism(t *testing.T) {
	ids := tokens(9, 2, 7)
	a, b, c := newModel(t, tiny, 1), newModel(t, tiny, 1), newModel(t, tiny, 2)
	y := logits(t, a, ids)
	if !slices.Equal(y.Shape(), []int{2, 7, 9}) || y.Dtype() != tensor.Float32 {
		t.Fatalf("logits are %s %v", y.Dtype(), y.Shape())
	}
	if d := layertest.Distance(t, logits(t, b, ids), y); d != 0 {
		t.Errorf("two models of one key differ by %g", d)
	}
	if d := layertest.Distance(t, logits(t, c, ids), y); d < 0.1 {
		t.Errorf("models of different keys differ by %g only", d)
	}
}

// TestInitialGates checks the ranges that the documentation promises.
func TestInitialGates(t *testing.T) {
	l, err := NewGatedDeltaNet(Config{KeyHeads: 100, ValueHeads: 400, KeyDim: 2, ValueDim: 2}, tensor.Key(3))
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		p         *autograd.Param
		value     func(float64) float64
		low, high float64
	}{
		"A":    {l.ALog, math.Exp, 0.01, 16},
		"step": {l.DtBias, func(v float64) float64 { return math.Log1p(math.Exp(v)) }, 0.001, 0.1},
	} {
		list := layertest.Floats(t, test.p.Value())
		for i, v := range list {
			list[i] = test.value(v)
		}
		slices.Sort(list)
		const slack = 1e-4
		if low, high := list[0], list[len(list)-1]; low < test.low*(1-slack) || high > test.high*(1+slack) || high < test.high*0.9 {
			t.Errorf("%s is from %v to %v, want %v to %v", what, low, high, test.low, test.high)
		}
	}
}

// TestCausality changes one token: logits before it must not move.
func TestCausality(t *testing.T) {
	const n, at = 40, 21
	m := newModel(t, tiny, 4)
	before := tokens(9, 1, n)
	list, err := tensor.Data[int32](before)
	if err != nil {
		t.Fatal(err)
	}
	list[at] = (list[at] + 1) % 9
	a := layertest.Floats(t, logits(t, m, before))
	b := layertest.Floats(t, logits(t, m, tensor.FromSlice(list, 1, n)))
	for i := range a[:at*9] {
		if math.Abs(a[i]-b[i]) > 1e-6 {
			t.Fatalf("the logits of token %d depend on token %d", i/9, at)
		}
	}
	for i := at; i < n; i++ {
		if slices.Equal(a[i*9:(i+1)*9], b[i*9:(i+1)*9]) {
			t.Errorf("the logits of token %d don't depend on token %d", i, at)
		}
	}
}

// TestModelGradients checks layer, block and model against finite differences.
func TestModelGradients(t *testing.T) {
	x := tensor.Normal(tensor.Key(5), 2, 5, 6)
	for _, layout := range []Layout{LayoutQwen35, LayoutQwen3Next} {
		cfg := with(tiny, func(c *Config) { c.Layout, c.Layers, c.TieEmbeddings = layout, 1, true })
		m := newModel(t, cfg, 6)
		t.Run("layer/"+string(layout), func(t *testing.T) {
			l := m.Blocks[0].Mixer
			layertest.Gradients(t, l, func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var { return l.Forward(tape, in[0]) }, x)
		})
		t.Run("model/"+string(layout), func(t *testing.T) {
			ids, labels := tokens(9, 1, 5), tensor.FromSlice([]int32{1, 2, 0, 8, 4}, 1, 5)
			layertest.Gradients(t, m, func(tape *autograd.Tape, _ ...*autograd.Var) *autograd.Var {
				return ops.CrossEntropy(m.Forward(tape, ids), labels)
			})
		})
	}
}

// TestTiedGradientsAdd checks that a tied table gets the gradients of both of
// its uses: their sum in an untied model with the same values.
func TestTiedGradientsAdd(t *testing.T) {
	ids, labels := tokens(9, 2, 6), tokens(9, 2, 6)
	grads := func(m *Model) map[string]*tensor.Tensor {
		tape := autograd.NewTape()
		defer tape.Close()
		g, err := tape.Backward(ops.CrossEntropy(m.Forward(tape, ids), labels))
		if err != nil {
			t.Fatal(err)
		}
		list := map[string]*tensor.Tensor{}
		for name, p := range m.Params() {
			list[name] = g.OfParam(p)
			tape.Keep(list[name])
		}
		return list
	}
	tied := newModel(t, with(tiny, func(c *Config) { c.TieEmbeddings = true }), 7)
	untied := newModel(t, tiny, 8)
	values := nn.State(tied)
	values["lm_head.weight"] = values["model.embed_tokens.weight"]
	if err := nn.Load(untied, values); err != nil {
		t.Fatal(err)
	}
	a, b := grads(tied), grads(untied)
	b["model.embed_tokens.weight"] = tensor.Add(b["model.embed_tokens.weight"], b["lm_head.weight"])
	for name, g := range a {
		layertest.Close(t, name, g, b[name], 1e-6)
	}
	if len(a) != len(b)-1 {
		t.Errorf("%d gradients tied and %d untied", len(a), len(b))
	}
}

// TestMixerNone checks the control: the same parameters, tokens that meet only
// in the convolution, and a gradient for all that trains.
func TestMixerNone(t *testing.T) {
	for _, layout := range []Layout{LayoutQwen35, LayoutQwen3Next} {
		t.Run(string(layout), func(t *testing.T) {
			cfg := with(tiny, func(c *Config) { c.Layout = layout })
			full, control := newModel(t, cfg, 9), newModel(t, with(cfg, func(c *Config) { c.Mixer = MixerNone }), 9)
			if a, b := nn.Count(full), nn.Count(control); a != b {
				t.Errorf("%d parameters with the rule and %d without", a, b)
			}
			ids := tokens(9, 1, 12)
			list, _ := tensor.Data[int32](ids)
			list[0] = (list[0] + 1) % 9
			other := tensor.FromSlice(list, 1, 12)
			// Two layers of three taps reach back four tokens.
			last := func(m *Model, ids *tensor.Tensor) *tensor.Tensor {
				return tensor.SliceAxis(logits(t, m, ids), 1, 5, 12)
			}
			if d := layertest.Distance(t, last(control, ids), last(control, other)); d != 0 {
				t.Errorf("without the rule a token is still seen after the convolutions' reach: %g", d)
			}
			if d := layertest.Distance(t, last(full, ids), last(full, other)); d == 0 {
				t.Error("with the rule the first token is forgotten")
			}
			tape := autograd.NewTape()
			defer tape.Close()
			grads, err := tape.Backward(ops.CrossEntropy(control.Forward(tape, ids), ids))
			if err != nil {
				t.Fatal(err)
			}
			for name, p := range control.Params() {
				if got := grads.OfParam(p) != nil; got != p.Trainable() {
					t.Errorf("%s: trainable %v, gradient %v", name, p.Trainable(), got)
				}
			}
		})
	}
}

// TestHandlesReturn checks that passes leave no handle open.
func TestHandlesReturn(t *testing.T) {
	m := newModel(t, tiny, 10)
	ids := tokens(9, 2, 20)
	step := func() {
		tape := autograd.NewTape()
		defer tape.Close()
		loss := ops.CrossEntropy(m.Forward(tape, ids), ids)
		if _, err := tape.Backward(loss); err != nil {
			t.Fatal(err)
		}
		if err := tensor.Eval(loss.Value()); err != nil {
			t.Fatal(err)
		}
	}
	step()
	before := tensor.Live()
	for range 5 {
		step()
	}
	if after := tensor.Live(); after > before {
		t.Errorf("%d handles before, %d after 5 steps", before, after)
	}
}

func TestForwardMisuse(t *testing.T) {
	m := newModel(t, tiny, 11)
	tape := autograd.NoGrad()
	defer tape.Close()
	ints := func(shape ...int) *tensor.Tensor { return tensor.Zeros(tensor.Int32, shape...) }
	for _, test := range []struct {
		name string
		call func()
		want []string
	}{
		{"nil", func() { m.Forward(tape, nil) }, []string{"qla.Model", "nil"}},
		{"one axis", func() { m.Forward(tape, ints(4)) }, []string{"[B, T]", "[4]"}},
		{"empty", func() { m.Forward(tape, ints(2, 0)) }, []string{"T >= 1", "[2 0]"}},
		{"floats", func() { m.Forward(tape, tensor.Zeros(tensor.Float32, 2, 3)) }, []string{"integer", "float32"}},
		{"id too great", func() { m.Forward(tape, tensor.FromSlice([]int32{0, 9}, 1, 2)) }, []string{"9", "[0, 9)"}},
		{"negative id", func() { m.Forward(tape, tensor.FromSlice([]int32{0, -1}, 1, 2)) }, []string{"-1", "[0, 9)"}},
		{"layer input", func() { m.Blocks[0].Mixer.Forward(tape, tape.Const(tensor.Zeros(tensor.Float32, 2, 6))) },
			[]string{"qla.GatedDeltaNet", "[B, T, 6]", "[2 6]"}},
		{"layer width", func() { m.Blocks[0].Mixer.Forward(tape, tape.Const(tensor.Zeros(tensor.Float32, 1, 2, 7))) },
			[]string{"[1 2 7]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := tensor.Try(test.call)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %q", err, want)
				}
			}
		})
	}
}
