package train

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
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
	return checkpoint{path, saver, params}, errors.Wrap(writable(path), "Checkpoint")
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

// writable returns an error unless a file can be made or replaced at path. It
// leaves everything as it was.
func writable(path string) error {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist): // to be made
	case err != nil:
		return errors.WithStack(err)
	case !info.Mode().IsRegular():
		return errors.Errorf("%s is no regular file", path)
	default:
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return errors.WithStack(err)
		}
		f.Close()
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".deltatape-*.tmp")
	if err != nil {
		return errors.Wrap(err, "no file can be made in the folder")
	}
	f.Close()
	return errors.WithStack(os.Remove(f.Name()))
}
