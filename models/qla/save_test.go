package qla

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// TestSaveIsForAnyMachine wants a model that was trained by the kernels of one machine
// to be free of them where it is loaded.
func TestSaveIsForAnyMachine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := newModel(t, with(tiny, func(c *Config) { c.Implementation, c.CheckKernels = gateddelta.CPU, true }), 1).Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Config().Implementation; got != gateddelta.Auto {
		t.Errorf("the implementation came back as %q, want %q", got, gateddelta.Auto)
	}
	if back.Config().CheckKernels {
		t.Error("the check of kernels came back")
	}
}

func TestSaveAndLoad(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		dtype  tensor.Dtype
	}{
		{"untied", func(*Config) {}, tensor.Float32},
		{"tied, qwen3_next, float64", func(c *Config) { c.TieEmbeddings, c.Layout = true, LayoutQwen3Next }, tensor.Float64},
		{"no rule, bfloat16", func(c *Config) { c.Mixer = MixerNone }, tensor.BFloat16},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.safetensors")
			m := newModel(t, with(tiny, test.change), 1)
			nn.Cast(m, test.dtype)
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
			back, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if back.Config() != m.Config() {
				t.Errorf("the configuration came back as %+v", back.Config())
			}
			for name, p := range m.Params() {
				got := nn.State(back)[name]
				if got.Dtype() != test.dtype {
					t.Errorf("%s came back as %s", name, got.Dtype())
				}
				layertest.Close(t, name, got, p.Value(), 0)
			}
			ids := tokens(9, 1, 5)
			layertest.Close(t, "logits", logits(t, back, ids), logits(t, m, ids), 0)
			// The file can be written over by the model that came from it.
			if err := back.Save(path); err != nil {
				t.Fatal(err)
			}
			layertest.Close(t, "logits after Save", logits(t, back, ids), logits(t, m, ids), 0)
		})
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	m := newModel(t, tiny, 1)
	if err := m.Save(good); err != nil {
		t.Fatal(err)
	}
	_, metadata, err := tensor.Load(good)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	// saved writes the model's file with changes.
	saved := func(change func(values map[string]*tensor.Tensor, metadata map[string]string)) []byte {
		values, metadata := nn.State(m), maps.Clone(metadata)
		change(values, metadata)
		path := filepath.Join(dir, "changed")
		if err := tensor.Save(path, values, metadata); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	config := func(from, to string) []byte {
		return saved(func(_ map[string]*tensor.Tensor, metadata map[string]string) {
			text := strings.Replace(metadata["config"], from, to, 1)
			if text == metadata["config"] {
				t.Fatalf("%s has no %s", text, from)
			}
			metadata["config"] = text
		})
	}
	for _, test := range []struct {
		name string
		data []byte
		want []string
	}{
		{"empty", nil, nil},
		{"not safetensors", []byte("hello, world: %s%n"), nil},
		{"cut short", whole[:len(whole)-1], nil},
		{"no config", saved(func(_ map[string]*tensor.Tensor, metadata map[string]string) { delete(metadata, "config") }), []string{`no "config"`, "Model.Save"}},
		{"config not JSON", config("{", "["), []string{"configuration"}},
		{"unknown field", config(`"layers"`, `"lairs"`), []string{`unknown field "lairs"`}},
		{"bad field", config(`"vocab":9`, `"vocab":-9`), []string{"vocab is -9"}},
		{"more layers than tensors", config(`"layers":2`, `"layers":4000`), []string{"4000 layers"}},
		{"another width", config(`"intermediate":5`, `"intermediate":6`), []string{"mlp.up_proj.weight: want shape [6 6], got [5 6]"}},
		{"missing and unexpected", saved(func(values map[string]*tensor.Tensor, _ map[string]string) {
			values["extra"] = values["lm_head.weight"]
			delete(values, "lm_head.weight")
		}), []string{"1 missing (lm_head.weight)", "1 unexpected (extra)"}},
		{"integers", saved(func(values map[string]*tensor.Tensor, _ map[string]string) {
			values["lm_head.weight"] = tensor.Zeros(tensor.Int32, 9, 6)
		}), []string{"lm_head.weight: want floating-point values, got int32"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, "100%sbad")
			if err := os.WriteFile(path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			for _, want := range append(test.want, "qla.Load", path) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %q", err, want)
				}
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		if _, err := Load(filepath.Join(dir, "none")); err == nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want a file that does not exist", err)
		}
	})
}

func TestSaveErrors(t *testing.T) {
	m := newModel(t, tiny, 1)
	dir := filepath.Join(t.TempDir(), "absent")
	if err := m.Save(filepath.Join(dir, "model")); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
