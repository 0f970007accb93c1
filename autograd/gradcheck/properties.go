package gradcheck

import (
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
	"github.com/deltatape/deltatape/tensor"
)

// repeats checks that the backward pass gives the same bits each time: on one
// tape, after the function ran on other values, and on a tape of its own.
func (c *checker) repeats(base *trial) error {
	seeds := base.seeds()
	first, err := base.gradients(seeds)
	if err != nil {
		return err
	}
	second, err := base.gradients(seeds)
	if err != nil {
		return err
	}
	if err := c.same(first, second, 0); err != nil {
		return errors.WithMessage(err, "a second backward pass gives another gradient: the function is not deterministic, or its backward pass changes its own state")
	}

	elsewhere, err := c.elsewhere()
	if err != nil {
		return errors.WithMessage(err, "forward pass at other values")
	}
	defer elsewhere.close()
	third, err := base.gradients(seeds)
	if err != nil {
		return errors.WithMessage(err, "after a forward pass at other values")
	}
	if err := c.same(first, third, 0); err != nil {
		return errors.WithMessage(err, "the gradient changes when the function runs on other values before the backward pass: it keeps state outside of its Context")
	}

	fresh, err := c.baseline()
	if err != nil {
		return err
	}
	defer fresh.close()
	for o, y := range base.values {
		if i := differs(y, fresh.values[o], 0); i >= 0 {
			return errors.Errorf("output %d differs between two calls with the same inputs: %.9g and %.9g at %v: the function is not deterministic, or keeps state between calls",
				base.at[o], y[i], fresh.values[o][i], rowmajor.Index(i, base.outs[o].Shape()))
		}
	}
	fourth, err := fresh.gradients(seeds)
	if err != nil {
		return err
	}
	return errors.WithMessage(c.same(first, fourth, 0), "the gradient differs between two calls with the same inputs: the function keeps state between calls")
}

// elsewhere is a trial at other values of the inputs.
func (c *checker) elsewhere() (*trial, error) {
	inputs := append([]*tensor.Tensor(nil), c.inputs...)
	for _, v := range c.vars {
		if v.param == nil {
			inputs[v.input] = tensor.MulScalar(inputs[v.input], 1.5)
		}
	}
	return c.try(autograd.NewTape(), inputs)
}

// properties checks what holds for every correct backward pass.
func (c *checker) properties(base *trial) error {
	seeds := base.seeds()
	grads, err := base.gradients(seeds)
	if err != nil {
		return err
	}
	checks := []func(*trial, [][]float64, [][]float64) error{c.zeroSeeds, c.linear, c.nilSeeds, c.strided}
	for _, check := range checks {
		if err := check(base, seeds, grads); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) zeroSeeds(base *trial, seeds, _ [][]float64) error {
	grads, err := base.gradients(scaled(seeds, 0))
	if err != nil {
		return errors.WithMessage(err, "zero seeds")
	}
	return errors.WithMessage(c.same(scaled(grads, 0), grads, 0), "zero seeds give a gradient that is not zero")
}

// linear doubles the seeds, which is exact, and turns their sign.
func (c *checker) linear(base *trial, seeds, grads [][]float64) error {
	double, err := base.gradients(scaled(seeds, -2))
	if err != nil {
		return errors.WithMessage(err, "seeds times -2")
	}
	return errors.WithMessage(c.same(scaled(grads, -2), double, 1e-10), "the gradient is not linear in the seeds: seeds times -2 don't give the gradient times -2")
}

// nilSeeds checks for each of several outputs that no gradient of the others
// is the same as a gradient of zero.
func (c *checker) nilSeeds(base *trial, seeds, _ [][]float64) error {
	if len(seeds) < 2 {
		return nil
	}
	for o := range seeds {
		zeros := scaled(seeds, 0)
		zeros[o] = seeds[o]
		absent := make([][]float64, len(seeds))
		absent[o] = seeds[o]
		want, err := base.gradients(zeros)
		if err != nil {
			return err
		}
		got, err := base.gradients(absent)
		if err != nil {
			return errors.WithMessagef(err, "a gradient of output %d only", base.at[o])
		}
		if err := c.same(want, got, 1e-12); err != nil {
			return errors.WithMessagef(err, "a gradient of output %d only is not the same as zeros for the other outputs", base.at[o])
		}
	}
	return nil
}

// strided checks inputs and seeds of which only every second element in memory
// counts.
func (c *checker) strided(base *trial, seeds, grads [][]float64) error {
	inputs := append([]*tensor.Tensor(nil), c.inputs...)
	for _, v := range c.vars {
		if v.param == nil {
			inputs[v.input] = spread(inputs[v.input])
		}
	}
	tape := autograd.NewTape()
	tr, err := c.try(tape, inputs)
	if err != nil {
		return errors.WithMessage(err, "inputs that are not contiguous")
	}
	defer tr.close()
	for o, y := range base.values {
		if i := differs(y, tr.values[o], 1e-10); i >= 0 {
			return errors.Errorf("output %d depends on how the inputs lie in memory: contiguous %.9g, not contiguous %.9g at %v",
				base.at[o], y[i], tr.values[o][i], rowmajor.Index(i, base.outs[o].Shape()))
		}
	}
	tensors := make([]*tensor.Tensor, len(seeds))
	for o, seed := range seeds {
		x := fromSlice(seed, base.outs[o].Shape())
		c.scope.Adopt(x)
		tensors[o] = spread(x)
	}
	got, err := tr.sweep(tensors)
	if err != nil {
		return errors.WithMessage(err, "inputs and seeds that are not contiguous")
	}
	return errors.WithMessage(c.same(grads, got, 1e-10), "the gradient depends on how inputs and seeds lie in memory")
}

// spread returns x as a view with gaps, which hold NaN.
func spread(x *tensor.Tensor) *tensor.Tensor {
	if x.NDim() == 0 {
		return x
	}
	pair := tensor.Contiguous(tensor.Stack(x.NDim(), x, tensor.FullLike(x, math.NaN())))
	return tensor.Squeeze(tensor.SliceAxis(pair, -1, 0, 1), -1)
}

// same compares gradients of all variables to a relative bound.
func (c *checker) same(want, got [][]float64, rtol float64) error {
	for i, v := range c.vars {
		if at := differs(want[i], got[i], rtol); at >= 0 {
			return errors.Errorf("%s: want %.9g, got %.9g at %v", v, want[i][at], got[i][at], rowmajor.Index(at, v.shape))
		}
	}
	return nil
}

func (v *variable) String() string {
	if v.param != nil {
		return fmt.Sprintf("parameter %q", v.param.Name())
	}
	return fmt.Sprintf("input %d", v.input)
}

// differs returns a position where two lists differ by more than rtol of the
// largest element, or −1. Here NaN is the same as NaN.
func differs(want, got []float64, rtol float64) int {
	bound := 0.0
	for _, x := range want {
		bound = max(bound, rtol*math.Abs(x))
	}
	for i, x := range want {
		if !(math.Abs(x-got[i]) <= bound || x == got[i] || math.IsNaN(x) && math.IsNaN(got[i])) {
			return i
		}
	}
	return -1
}

func scaled(lists [][]float64, s float64) [][]float64 {
	out := make([][]float64, len(lists))
	for i, list := range lists {
		out[i] = make([]float64, len(list))
		for k, x := range list {
			out[i][k] = s * x
		}
	}
	return out
}
