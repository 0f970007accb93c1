package qla

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// golden reads the reference values of one layer, calculated in float32 by
// Hugging Face transformers 5.23.0 (testdata/layers in the module's root).
func golden(t *testing.T, family Layout) (cfg Config, values map[string]*tensor.Tensor) {
	t.Helper()
	values, metadata, err := tensor.Load(filepath.Join("..", "..", "testdata", "layers", string(family)+"_layer", "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var sizes struct {
		Hidden     int     `json:"hidden_size"`
		KeyHeads   int     `json:"linear_num_key_heads"`
		ValueHeads int     `json:"linear_num_value_heads"`
		KeyDim     int     `json:"linear_key_head_dim"`
		ValueDim   int     `json:"linear_value_head_dim"`
		ConvWidth  int     `json:"linear_conv_kernel_dim"`
		NormEps    float64 `json:"rms_norm_eps"`
	}
	if err := json.Unmarshal([]byte(metadata["config"]), &sizes); err != nil {
		t.Fatal(err)
	}
	return Config{
		Hidden: sizes.Hidden, KeyHeads: sizes.KeyHeads, ValueHeads: sizes.ValueHeads, KeyDim: sizes.KeyDim,
		ValueDim: sizes.ValueDim, ConvWidth: sizes.ConvWidth, NormEps: sizes.NormEps, Layout: family,
	}, values
}

// TestGoldenLayer compares a layer's output and all its gradients with the
// reference. The bound is 3e-5 for float64 as well: there only the reference
// rounds, by up to 9e-6 in the worst gradient as its makers measured.
func TestGoldenLayer(t *testing.T) {
	const limit = 3e-5
	for _, layout := range []Layout{LayoutQwen3Next, LayoutQwen35} {
		cfg, values := golden(t, layout)
		for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			for _, rule := range []struct {
				implementation gateddelta.Implementation
				chunk          int
			}{{gateddelta.Recurrent, 0}, {gateddelta.Chunk, 16}, {gateddelta.Chunk, 32}, {gateddelta.Chunk, 64}, {gateddelta.Chunk, 128}} {
				cfg.Implementation, cfg.ChunkSize = rule.implementation, rule.chunk
				t.Run(fmt.Sprintf("%s/%s/%s%d", layout, dtype, rule.implementation, rule.chunk), func(t *testing.T) {
					layer := goldenLayer(t, cfg, values, dtype)
					tape := autograd.NewTape()
					defer tape.Close()
					x := tape.Var(tensor.AsType(values["input"], dtype))
					y := layer.Forward(tape, x)
					layertest.Close(t, "output", y.Value(), values["output"], limit)

					wrt, names := []*autograd.Var{x}, []string{"grad_input"}
					for name, p := range nn.Named(layer) {
						wrt, names = append(wrt, tape.Param(p)), append(names, "grad."+name)
					}
					seed := tensor.AsType(values["grad_output"], dtype)
					grads, err := tape.Grad([]*autograd.Var{y}, []*tensor.Tensor{seed}, wrt...)
					if err != nil {
						t.Fatal(err)
					}
					for i, g := range grads {
						layertest.Close(t, names[i], g, values[names[i]], limit)
					}
				})
			}
		}
	}
}

func goldenLayer(t *testing.T, cfg Config, values map[string]*tensor.Tensor, dtype tensor.Dtype) *GatedDeltaNet {
	t.Helper()
	layer, err := NewGatedDeltaNet(cfg, tensor.Key(0))
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]*tensor.Tensor{}
	for name, v := range values {
		if name, ok := strings.CutPrefix(name, "weight."); ok {
			weights[name] = v
		}
	}
	nn.Cast(layer, dtype)
	if err := nn.Load(layer, weights); err != nil {
		t.Fatal(err)
	}
	return layer
}
