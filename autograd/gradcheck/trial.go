package gradcheck

import (
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
	"github.com/deltatape/deltatape/tensor"
)

// trial is one call of the function on a tape.
type trial struct {
	c      *checker
	tape   *autograd.Tape
	leaves []*autograd.Var // of the variables
	outs   []*autograd.Var // those that are differentiable
	at     []int           // their positions among all outputs
	values [][]float64
	alone  *variable // the only one whose gradient is wanted; nil: all
}

// try calls the function on a tape with the given inputs.
func (c *checker) try(tape *autograd.Tape, inputs []*tensor.Tensor) (*trial, error) {
	return (&trial{c: c, tape: tape}).run(inputs)
}

// run calls the function, and closes the tape if it fails.
func (tr *trial) run(inputs []*tensor.Tensor) (*trial, error) {
	tr.c.opt.Report.Evaluations++
	var err error
	if panicked := tensor.Try(func() { err = tr.call(inputs) }); panicked != nil {
		err = panicked
	}
	if err != nil {
		tr.close()
		return nil, err
	}
	return tr, nil
}

func (tr *trial) call(inputs []*tensor.Tensor) error {
	args := make([]*autograd.Var, len(inputs))
	for i, x := range inputs {
		args[i] = tr.tape.Const(x)
	}
	for _, v := range tr.c.vars {
		wanted := tr.alone == nil || tr.alone == v
		if v.param != nil {
			trainable := v.param.Trainable()
			v.param.SetTrainable(trainable && wanted)
			tr.leaves = append(tr.leaves, tr.tape.Param(v.param))
			v.param.SetTrainable(trainable)
			continue
		}
		if wanted {
			args[v.input] = tr.tape.Var(inputs[v.input])
		}
		tr.leaves = append(tr.leaves, args[v.input])
	}
	var values []*tensor.Tensor
	for i, y := range tr.c.f(args...) {
		switch {
		case y == nil:
			return errors.Errorf("output %d is nil", i)
		case !y.Differentiable():
			if tr.c.sizes == nil {
				why := y.Dtype().String()
				if y.Dtype().IsFloat() {
					why = "marked as not differentiable"
				}
				tr.c.opt.Report.skip("output %d (%s)", i, why)
			}
			continue
		case y.Dtype() != tensor.Float64:
			return errors.Errorf("output %d is %s although all floating-point inputs are float64: the function loses precision, and differences would drown in it", i, y.Dtype())
		}
		tr.outs, tr.at = append(tr.outs, y), append(tr.at, i)
		values = append(values, y.Value())
	}
	if len(values) == 0 {
		return errors.New("the function has no floating-point output")
	}
	if err := tensor.Eval(values...); err != nil {
		return err
	}
	for _, y := range values {
		data, err := tensor.Data[float64](y)
		if err != nil {
			return err
		}
		tr.values = append(tr.values, data)
	}
	sizes := make([]int, len(tr.values))
	for o, list := range tr.values {
		sizes[o] = len(list)
	}
	if tr.c.sizes == nil {
		tr.c.sizes = sizes
		tr.c.opt.Report.Outputs = len(sizes)
	}
	if !slices.Equal(sizes, tr.c.sizes) {
		return errors.New("the number or the shapes of the outputs differ between calls")
	}
	return nil
}

func (tr *trial) close() { tr.tape.Close() }

// baseline is the trial at the inputs as they came, which may be swept often.
func (c *checker) baseline() (*trial, error) {
	tape := autograd.NewTape()
	tape.Retain()
	tr, err := c.try(tape, c.inputs)
	if err != nil {
		return nil, errors.WithMessage(err, "forward pass")
	}
	for o, list := range tr.values {
		for i, y := range list {
			if math.IsNaN(y) || math.IsInf(y, 0) {
				tr.close()
				return nil, errors.Errorf("output %d is %v at %v: no derivative can be checked at these inputs", tr.at[o], y, rowmajor.Index(i, tr.outs[o].Shape()))
			}
		}
	}
	return tr, nil
}

// gradients runs the backward pass with the given seeds, nil for outputs that
// get none, and returns the gradients of the variables. Those that are absent
// are zeros here.
func (tr *trial) gradients(seeds [][]float64) ([][]float64, error) {
	tensors := make([]*tensor.Tensor, len(seeds))
	for o, seed := range seeds {
		if seed != nil {
			tensors[o] = fromSlice(seed, tr.outs[o].Shape())
			defer tensor.Free(tensors[o])
		}
	}
	return tr.sweep(tensors)
}

func (tr *trial) sweep(seeds []*tensor.Tensor) ([][]float64, error) {
	var outs []*autograd.Var
	var given []*tensor.Tensor
	for o, seed := range seeds {
		if seed != nil && tr.outs[o].RequiresGrad() {
			outs, given = append(outs, tr.outs[o]), append(given, seed)
		}
	}
	found := make([]*tensor.Tensor, len(tr.leaves))
	if len(outs) > 0 {
		tr.c.opt.Report.Sweeps++
		grads, err := tr.tape.BackwardFrom(outs, given)
		if err != nil {
			return nil, err
		}
		var present []*tensor.Tensor
		for i, leaf := range tr.leaves {
			if found[i] = grads.Of(leaf); found[i] != nil {
				present = append(present, found[i])
			}
		}
		defer tensor.Free(present...)
		if err := tensor.Eval(present...); err != nil {
			return nil, err
		}
	}
	list := make([][]float64, len(tr.leaves))
	for i, v := range tr.c.vars {
		if found[i] == nil {
			list[i] = make([]float64, len(v.value))
			continue
		}
		data, err := tensor.Data[float64](found[i])
		if err != nil {
			return nil, err
		}
		list[i] = data
	}
	return list, nil
}

// seeds draws random seeds for all outputs.
func (tr *trial) seeds() [][]float64 {
	list := make([][]float64, len(tr.outs))
	for o, y := range tr.values {
		list[o] = tr.c.normal(len(y))
	}
	return list
}

// shifted evaluates the function at given values of the variables, without
// recording, and returns its outputs.
func (c *checker) shifted(values [][]float64) ([][]float64, error) {
	s := tensor.NewScope()
	defer s.Close()
	inputs := append([]*tensor.Tensor(nil), c.inputs...)
	for i, v := range c.vars {
		x := fromSlice(values[i], v.shape)
		s.Adopt(x)
		if v.param != nil {
			v.param.SetValue(x)
		} else {
			inputs[v.input] = x
		}
	}
	tr, err := c.try(autograd.NoGrad(), inputs)
	c.setParams(c.wide)
	if err != nil {
		return nil, err
	}
	tr.close()
	return tr.values, nil
}

// fromSlice makes a tensor of any shape, that without axes included.
func fromSlice(list []float64, shape []int) *tensor.Tensor {
	if len(shape) == 0 {
		return tensor.Scalar(list[0])
	}
	return tensor.FromSlice(list, shape...)
}
