package train

import (
	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/internal/safetensors"
	"github.com/deltatape/deltatape/tensor"
)

// Saver is a model that can write itself to a file. Save replaces the file as a
// whole or leaves what was there.
type Saver interface{ Save(path string) error }

// checkpoint saves a model at a path; without a path it does nothing.
type checkpoint struct {
	path   string
	saver  Saver
	params []*autograd.Param // the trained ones
}

// newCheckpoint finds out before training that the model can be saved there.
func newCheckpoint(path string, model Model, params []*autograd.Param) (checkpoint, error) {
	if path == "" {
		return checkpoint{}, nil
	}
	saver, ok := model.(Saver)
	if !ok {
		return checkpoint{}, errors.Errorf("Checkpoint is set, but %T has no method Save(path string) error", model)
	}
	return checkpoint{path, saver, params}, errors.Wrap(safetensors.Writable(path), "Checkpoint")
}

// save replaces the file, unless the last update has ruined the weights.
func (c checkpoint) save() error {
	if c.path == "" {
		return nil
	}
	s := tensor.NewScope()
	defer s.Close()
	values := make([]*tensor.Tensor, len(c.params))
	for i, p := range c.params {
		values[i] = s.Use(p.Value())
	}
	norm, err := number(GlobalNorm(values))
	switch {
	case err != nil:
	case !finite(norm):
		err = errors.Wrapf(ErrNotFinite, "the norm of the weights is %v", norm)
	default:
		err = c.saver.Save(c.path)
	}
	return errors.Wrap(err, "checkpoint")
}
