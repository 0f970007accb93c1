package qla

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// served is a model that the kernels serve, with K ≠ V and shared key heads.
var served = Config{Layers: 2, Hidden: 16, Vocab: 9, KeyHeads: 2, ValueHeads: 4, KeyDim: 8, ValueDim: 16, ConvWidth: 4, Intermediate: 8, ChunkSize: 16, Implementation: gateddelta.Metal}

func byGraph(c *Config) { c.Implementation = gateddelta.Chunk }

// TestDecodeKernel compares steps by the kernel, on a CPU in the emulator, with those
// by the op graph.
func TestDecodeKernel(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
	}{
		{"qwen3_5", func(*Config) {}},
		{"qwen3_next", func(c *Config) { c.Layout, c.TieEmbeddings = LayoutQwen3Next, true }},
		{"three taps, three value heads a key head", func(c *Config) { c.ConvWidth, c.KeyHeads, c.ValueHeads = 3, 1, 3 }},
		{"two taps, keys longer than values", func(c *Config) { c.ConvWidth, c.KeyDim, c.ValueDim = 2, 24, 8 }},
		{"no convolution", func(c *Config) { c.ConvWidth, c.ValueHeads = 1, 2 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := with(served, test.change)
			kernel, graph := newModel(t, cfg, 1), newModel(t, with(cfg, byGraph), 1)
			ids := tokens(9, 3, 21)
			for _, d := range []struct {
				dtype tensor.Dtype
				limit float64
			}{{tensor.Float32, 1e-5}, {tensor.BFloat16, 1e-2}} {
				nn.Cast(kernel, d.dtype)
				nn.Cast(graph, d.dtype)
				for _, lengths := range [][]int{{1}, {17, 1}, {1, 3, 1}} {
					layertest.Close(t, fmt.Sprint(d.dtype, lengths), stepwise(t, kernel, ids, lengths...), stepwise(t, graph, ids, lengths...), d.limit)
				}
				prompt := []int32{1, 2, 3}
				if got, want := generate(t, kernel, prompt, 12, SampleOptions{}), generate(t, graph, prompt, 12, SampleOptions{}); !slices.Equal(got, want) {
					t.Errorf("%s: the kernel generates %v, the op graph %v", d.dtype, got, want)
				}
			}
		})
	}
}

// TestDecodeWeights holds that a cache converts weights once, and notices when a
// parameter gets another value.
func TestDecodeWeights(t *testing.T) {
	kernel, graph := newModel(t, served, 1), newModel(t, with(served, byGraph), 1)
	nn.Cast(kernel, tensor.BFloat16)
	nn.Cast(graph, tensor.BFloat16)
	caches := []*Cache{kernel.NewCache(), graph.NewCache()}
	defer caches[0].Close()
	defer caches[1].Close()
	// step reads a token and returns the logits of both models.
	step := func(id int32) (got, want *tensor.Tensor) {
		var list [2]*tensor.Tensor
		for i, m := range []*Model{kernel, graph} {
			tape := autograd.NoGrad()
			defer tape.Close()
			ids := tensor.FromSlice([]int32{id}, 1, 1)
			defer tensor.Free(ids)
			list[i] = tensor.AsType(m.Step(tape, ids, caches[i]).Value(), tensor.Float32)
			tape.Keep(list[i])
		}
		return list[0], list[1]
	}
	a, b := step(3)
	tensor.Free(a, b)
	first := caches[0].layers[0].weights
	a, b = step(4)
	tensor.Free(a, b)
	if first == nil || caches[0].layers[0].weights != first {
		t.Error("the second step did not take the weights of the first")
	}
	for _, m := range []*Model{kernel, graph} {
		p := m.Blocks[0].Mixer.Norm.Weight
		p.SetValue(tensor.MulScalar(p.Value(), -3))
	}
	got, want := step(5)
	layertest.Close(t, "logits after a change of weights", got, want, 1e-2)
	if caches[0].layers[0].weights == first || caches[0].layers[1].weights == nil {
		t.Error("the weights are still those from before the change")
	}
	tensor.Free(got, want)
}

func TestDecodeHandlesReturn(t *testing.T) {
	m := newModel(t, served, 1)
	nn.Cast(m, tensor.BFloat16)
	generate(t, m, []int32{1}, 3, SampleOptions{})
	before := tensor.Live()
	generate(t, m, []int32{1, 2, 3}, 10, SampleOptions{})
	if after := tensor.Live(); after > before {
		t.Errorf("%d handles before, %d after", before, after)
	}
}

func TestDecodeChoice(t *testing.T) {
	gpu := tensor.DefaultDevice() == tensor.GPU
	for _, test := range []struct {
		name   string
		change func(*Config)
		dtype  tensor.Dtype
		want   bool
	}{
		{"metal", func(*Config) {}, tensor.Float16, true},
		{"auto", func(c *Config) { c.Implementation = gateddelta.Auto }, tensor.Float32, gpu},
		{"auto, other sizes", func(c *Config) { c.Implementation, c.KeyDim = gateddelta.Auto, 12 }, tensor.Float32, false},
		{"auto, float64", func(c *Config) { c.Implementation = gateddelta.Auto }, tensor.Float64, false},
		{"chunk", byGraph, tensor.Float32, false},
		{"recurrent", func(c *Config) { c.Implementation = gateddelta.Recurrent }, tensor.Float32, false},
		{"no rule", func(c *Config) { c.Mixer = MixerNone }, tensor.Float64, false},
	} {
		if _, got := with(served, test.change).WithDefaults().decodeKernel(test.dtype); got != test.want {
			t.Errorf("%s: the kernel is chosen: %v, want %v", test.name, got, test.want)
		}
	}

	m := newModel(t, served, 1)
	nn.Cast(m, tensor.Float64)
	tape, cache := autograd.NoGrad(), m.NewCache()
	defer tape.Close()
	defer cache.Close()
	err := tensor.Try(func() { m.Step(tape, tensor.Zeros(tensor.Int32, 1, 1), cache) })
	if want := `Implementation is "metal", but the kernels take float32, bfloat16 and float16, not float64`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
	if cache.Len() != 0 {
		t.Errorf("a refused step moved the cache to %d", cache.Len())
	}
}
