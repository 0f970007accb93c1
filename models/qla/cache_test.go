package qla

import (
	"fmt"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// stepwise reads ids in pieces of the given lengths, the last one repeated.
func stepwise(t *testing.T, m *Model, ids *tensor.Tensor, lengths ...int) *tensor.Tensor {
	t.Helper()
	cache := m.NewCache()
	defer cache.Close()
	var parts []*tensor.Tensor
	for at := 0; at < ids.Dim(1); {
		n := min(lengths[min(len(parts), len(lengths)-1)], ids.Dim(1)-at)
		tape := autograd.NoGrad()
		y := m.Step(tape, tensor.SliceAxis(ids, 1, at, at+n), cache).Value()
		tape.Keep(y)
		tape.Close()
		parts = append(parts, y)
		at += n
		if cache.Len() != at {
			t.Fatalf("Len is %d after %d tokens", cache.Len(), at)
		}
	}
	return tensor.Concat(1, parts...)
}

func TestStepEqualsForward(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
	}{
		{"qwen3_5", func(*Config) {}},
		{"qwen3_next", func(c *Config) { c.Layout, c.TieEmbeddings = LayoutQwen3Next, true }},
		{"recurrent", func(c *Config) { c.Implementation = gateddelta.Recurrent }},
		{"chunk", func(c *Config) { c.Implementation = gateddelta.Chunk }},
		{"no convolution", func(c *Config) { c.ConvWidth = 1 }},
		{"no rule", func(c *Config) { c.Mixer = MixerNone }},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newModel(t, with(tiny, test.change), 1)
			for _, d := range []struct {
				dtype tensor.Dtype
				limit float64
			}{{tensor.Float32, 1e-5}, {tensor.Float64, 1e-12}, {tensor.BFloat16, 3e-2}} {
				nn.Cast(m, d.dtype)
				ids := tokens(9, 2, 37)
				want := logits(t, m, ids)
				for _, lengths := range [][]int{{1}, {37}, {2}, {20, 1}, {16, 17, 4}} {
					layertest.Close(t, fmt.Sprint(d.dtype, lengths), stepwise(t, m, ids, lengths...), want, d.limit)
				}
			}
		})
	}
}

func TestCacheMemory(t *testing.T) {
	m := newModel(t, tiny, 1)
	cache := m.NewCache()
	ids, sizes := tensor.Zeros(tensor.Int32, 2, 5), map[int64]bool{}
	before := tensor.Live()
	for range 4 {
		tape := autograd.NoGrad()
		y := m.Step(tape, ids, cache)
		if err := tensor.Eval(y.Value()); err != nil {
			t.Fatal(err)
		}
		tape.Close()
		var bytes int64
		for _, x := range cache.tensors() {
			bytes += x.Bytes()
		}
		sizes[bytes] = true
	}
	// B·((W−1)·(2·Hk·K + Hv·V) + Hv·K·V) floats a layer.
	if want := int64(2 * 2 * (2*(2*4+2*3) + 2*4*3) * 4); len(sizes) != 1 || !sizes[want] {
		t.Errorf("the cache took %v bytes, want always %d", sizes, want)
	}
	cache.Close()
	cache.Close()
	if after := tensor.Live(); after > before {
		t.Errorf("%d handles before, %d after Close", before, after)
	}
}

func TestStepMisuse(t *testing.T) {
	m, other := newModel(t, tiny, 1), newModel(t, with(tiny, func(c *Config) { c.ValueDim = 4 }), 1)
	tape := autograd.NoGrad()
	defer tape.Close()
	closed, used := m.NewCache(), m.NewCache()
	closed.Close()
	defer used.Close()
	ids := tensor.Zeros(tensor.Int32, 2, 3)
	m.Step(tape, ids, used)
	recording := autograd.NewTape()
	defer recording.Close()
	for _, test := range []struct {
		name string
		call func()
		want string
	}{
		{"nil", func() { m.Step(tape, ids, nil) }, "want an open cache"},
		{"closed", func() { m.Step(tape, ids, closed) }, "want an open cache"},
		{"of another model", func() { m.Step(tape, ids, other.NewCache()) }, "with this configuration"},
		{"of another batch", func() { m.Step(tape, tensor.Zeros(tensor.Int32, 3, 1), used) }, "the cache is of 2 sequences, the tokens of 3"},
		{"recording", func() { m.Step(recording, ids, m.NewCache()) }, "autograd.NoGrad"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := tensor.Try(test.call); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
	if used.Len() != 3 {
		t.Errorf("failed steps moved the cache to %d", used.Len())
	}
}
