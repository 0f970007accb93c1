package qla

import (
	"encoding/json"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
)

// configKey is where a file's metadata hold the configuration.
const configKey = "config"

// Save writes the weights to a safetensors file, under their Hugging Face names,
// with the configuration as JSON under "config" in its metadata, but for
// Implementation and CheckKernels, which are choices for a machine. The file appears
// whole or not at all.
func (m *Model) Save(path string) error {
	cfg := m.cfg
	cfg.Implementation, cfg.CheckKernels = "", false
	config, err := json.Marshal(cfg)
	if err != nil {
		return errors.Wrap(err, "qla.Model.Save")
	}
	metadata := map[string]string{configKey: string(config), "format": "pt"}
	return errors.Wrap(tensor.Save(path, nn.State(m), metadata), "qla.Model.Save")
}

// Load rebuilds a model from a file that Save wrote. Weights keep the dtypes
// that they have in the file.
func Load(path string) (*Model, error) {
	values, metadata, err := tensor.Load(path)
	if err != nil {
		return nil, errors.Wrap(err, "qla.Load")
	}
	defer func() {
		for _, v := range values {
			tensor.Free(v)
		}
	}()
	m, err := rebuild(values, metadata)
	return m, errors.Wrapf(err, "qla.Load: %s", path)
}

func rebuild(values map[string]*tensor.Tensor, metadata map[string]string) (*Model, error) {
	text, ok := metadata[configKey]
	if !ok {
		return nil, errors.Errorf("the file's metadata have no %q; want a file that Model.Save wrote", configKey)
	}
	var cfg Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return nil, errors.Wrap(err, "the configuration in the metadata")
	}
	if err := cfg.Validate(); err != nil {
		return nil, errors.WithMessage(err, "the configuration in the metadata")
	}
	cfg = cfg.WithDefaults()
	if cfg.Layers > len(values) {
		return nil, errors.Errorf("the configuration has %d layers, but there are %d tensors", cfg.Layers, len(values))
	}
	key := tensor.Key(0)
	defer tensor.Free(key)
	m := build(cfg, key)
	for name, p := range m.Params() {
		if v := values[name]; v != nil && v.Dtype().IsFloat() {
			nn.Cast([]*autograd.Param{p}, v.Dtype())
		}
	}
	if err := nn.Load(m, values); err != nil {
		return nil, err
	}
	if err := evaluate(m); err != nil {
		return nil, err
	}
	return m, nil
}
