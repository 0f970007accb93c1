package autograd

import (
	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// Backward returns the gradients of a loss of one element with respect to every
// Var and trainable Param of the tape. It frees what the operations saved as it
// goes (see Retain).
func (t *Tape) Backward(loss *Var) (*Gradients, error) {
	grads, err := t.backward([]*Var{loss}, nil, nil)
	return grads, errors.Wrap(err, "autograd.Backward")
}

// BackwardFrom is Backward for several results and results of any shape. seeds
// are the gradients of outs, of their shapes and dtypes; a nil seed, or nil
// seeds, stands for ones and needs an output of one element.
func (t *Tape) BackwardFrom(outs []*Var, seeds []*tensor.Tensor) (*Gradients, error) {
	grads, err := t.backward(outs, seeds, nil)
	return grads, errors.Wrap(err, "autograd.BackwardFrom")
}

// Grad returns the gradients of outs with respect to the given Vars, which may
// be anywhere on the tape. Seeds are as for BackwardFrom. It is an error if one
// of wrt gets no gradient.
func (t *Tape) Grad(outs []*Var, seeds []*tensor.Tensor, wrt ...*Var) ([]*tensor.Tensor, error) {
	grads, err := t.grad(outs, seeds, wrt)
	return grads, errors.Wrap(err, "autograd.Grad")
}

func (t *Tape) grad(outs []*Var, seeds []*tensor.Tensor, wrt []*Var) ([]*tensor.Tensor, error) {
	for i, v := range wrt {
		switch {
		case v == nil:
			return nil, errors.Errorf("Var %d of wrt is nil", i)
		case v.graph != t.root:
			return nil, errors.Errorf("Var %d of wrt is not on this tape", i)
		case !v.requires:
			return nil, errors.Errorf("Var %d of wrt, of shape %v, is a constant", i, v.Shape())
		}
	}
	grads, err := t.backward(outs, seeds, wrt)
	if err != nil {
		return nil, err
	}
	list := make([]*tensor.Tensor, len(wrt))
	for i, v := range wrt {
		if list[i] = grads.Of(v); list[i] == nil {
			return nil, errors.Errorf("the result doesn't depend on Var %d of wrt, of shape %v, or an operation between them gives it no gradient", i, v.Shape())
		}
	}
	return list, nil
}

// backward sweeps the tape. Gradients of wrt are kept, of all leaves if it is
// nil.
func (t *Tape) backward(outs []*Var, seeds []*tensor.Tensor, wrt []*Var) (*Gradients, error) {
	switch {
	case t.closed:
		return nil, errors.New("the tape is closed")
	case t.graph != t.root:
		return nil, errors.New("a backward pass can't start inside a Checkpoint")
	case len(outs) == 0:
		return nil, errors.New("there is no result to start from")
	case seeds != nil && len(seeds) != len(outs):
		return nil, errors.Errorf("want a seed for each of %d results, got %d", len(outs), len(seeds))
	}
	s := newSweep(t.root)
	depends := false
	for i, v := range outs {
		var seed *tensor.Tensor
		if seeds != nil {
			seed = seeds[i]
		}
		if err := s.start(i, v, seed); err != nil {
			return nil, err
		}
		depends = depends || v.requires
	}
	if !depends {
		if t.root.mode == off {
			return nil, errors.New("the tape doesn't record")
		}
		return nil, errors.New("the result depends on no Var and no trainable Param of this tape")
	}
	if wrt != nil {
		s.only(wrt)
	}
	if t.anomaly {
		if err := t.root.checkResults(outs); err != nil {
			return nil, err
		}
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	for _, p := range t.inOrder {
		if l := t.leaves[p]; l.version != p.version && s.reached(l.v) {
			return nil, errors.Errorf("parameter %q was set after the forward pass used it: the gradient would belong to the old value", p.name)
		}
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return &Gradients{graph: t.root, bySlot: s.grads, leaves: t.leaves}, nil
}
