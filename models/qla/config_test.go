package qla

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

func TestDefaults(t *testing.T) {
	for _, test := range []struct {
		name string
		in   Config
		want Config
	}{
		{"empty", Config{}, Config{
			Layers: 4, Hidden: 128, Vocab: 256, KeyHeads: 2, ValueHeads: 4, KeyDim: 32, ValueDim: 32, ConvWidth: 4,
			Intermediate: 352, NormEps: 1e-6, Mixer: "delta", Layout: "qwen3_5", Implementation: "auto",
		}},
		{"key heads only", Config{KeyHeads: 3}, Config{
			Layers: 4, Hidden: 128, Vocab: 256, KeyHeads: 3, ValueHeads: 6, KeyDim: 32, ValueDim: 32, ConvWidth: 4,
			Intermediate: 352, NormEps: 1e-6, Mixer: "delta", Layout: "qwen3_5", Implementation: "auto",
		}},
		{"odd and small", Config{Layers: 1, Hidden: 24, ValueDim: 8, Mixer: MixerNone, TieEmbeddings: true}, Config{
			Layers: 1, Hidden: 24, Vocab: 256, KeyHeads: 3, ValueHeads: 3, KeyDim: 32, ValueDim: 8, ConvWidth: 4,
			Intermediate: 64, NormEps: 1e-6, TieEmbeddings: true, Mixer: "none", Layout: "qwen3_5", Implementation: "auto",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.in.WithDefaults(); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
			if err := test.in.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateNamesEverything(t *testing.T) {
	bad := Config{
		Layers: -1, Hidden: 1 << 21, Vocab: -3, KeyHeads: 2, ValueHeads: 3, KeyDim: 1 << 20, ValueDim: 4, ConvWidth: -4,
		Intermediate: -5, NormEps: math.NaN(), ChunkSize: 63, Mixer: "soup", Layout: "plain", Implementation: "magic",
	}
	_, err := New(bad, tensor.Key(1))
	if err == nil {
		t.Fatal("New accepts it")
	}
	for _, want := range []string{
		"layers is -1, want 1 to 4096", "hidden is 2097152", "vocab is -3", "conv_width is -4", "intermediate is -5",
		"the heads are 2097152 and 12 wide", "value_heads is 3, want a multiple of key_heads, which is 2",
		"norm_eps is NaN", "chunk_size is 63, want 16, 32, 64, 128, or 0 to choose", `mixer is "soup", want "delta" or "none"`,
		`layout is "plain"`, `implementation is "magic", want "auto", "recurrent", "chunk", "cpu" or "metal"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if _, err := NewGatedDeltaNet(bad, tensor.Key(1)); err == nil {
		t.Error("NewGatedDeltaNet accepts it")
	}
}

func TestValidateKernels(t *testing.T) {
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.ValueDim = 20 }, `implementation is "metal": the kernels take K and V that are multiples of 8`},
		{func(c *Config) { c.ChunkSize = 128 }, "the kernels take chunks of 16, 32 and 64, not 128"},
		{func(c *Config) { c.KeyHeads = -1 }, "key_heads is -1"},
	} {
		c := Config{Implementation: gateddelta.Metal, ChunkSize: 32}.WithDefaults()
		test.change(&c)
		if err := c.Validate(); (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

func TestValidateImplementations(t *testing.T) {
	for _, i := range []gateddelta.Implementation{"", gateddelta.Auto, gateddelta.Recurrent, gateddelta.Chunk, gateddelta.CPU, gateddelta.Metal} {
		if err := (Config{Implementation: i}).Validate(); err != nil {
			t.Errorf("%q: %v", i, err)
		}
	}
}

func TestConfigJSON(t *testing.T) {
	cfg := Config{Layers: 2, Hidden: 64, TieEmbeddings: true, NormEps: 1e-5}.WithDefaults()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(text, &back); err != nil || back != cfg {
		t.Errorf("%s comes back as %+v, %v", text, back, err)
	}
	for _, text := range []string{`{"layers": 2, "heads": 4}`, `{"layers": "two"}`, `{"layers": 1.5}`, `[]`} {
		if err := json.Unmarshal([]byte(text), &back); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	// Inside another document, too.
	var run struct{ Model Config }
	err = json.Unmarshal([]byte(`{"Model": {"heads": 4}}`), &run)
	if err == nil || !strings.Contains(err.Error(), `unknown field "heads"`) {
		t.Errorf("an unknown field: %v", err)
	}
}
