package gradcheck

import (
	"fmt"
	"math"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

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
		if i := differs(y, fresh.values[o], nil); i >= 0 {
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
	c.opt.Report.Also = append(c.opt.Report.Also, "repeated passes")
	for _, p := range []struct {
		name string
		f    func(base *trial, seeds, grads [][]float64) error
	}{
		{"zero seeds", c.zeroSeeds},
		{"linearity", c.linear},
		{"absent gradients of outputs", c.nilSeeds},
		{"seeds one by one", c.inParts},
		{"single inputs", c.alone},
		{"no recording", c.unrecorded},
		{"gaps in memory", c.strided},
		{"the inputs' own dtype", c.ownDtype},
	} {
		if err := p.f(base, seeds, grads); err != nil {
			return err
		}
		c.opt.Report.Also = append(c.opt.Report.Also, p.name)
	}
	return nil
}

func (c *checker) zeroSeeds(base *trial, seeds, _ [][]float64) error {
	grads, err := base.gradients(scaled(seeds, 0))
	if err != nil {
		return errors.WithMessage(err, "zero seeds")
	}
	zeros := make([][]float64, len(grads))
	for i, g := range grads {
		zeros[i] = make([]float64, len(g))
	}
	return errors.WithMessage(c.same(zeros, grads, 0), "zero seeds give a gradient that is not zero")
}

// linear scales the seeds by powers of two, which is exact, and adds seeds up.
func (c *checker) linear(base *trial, seeds, grads [][]float64) error {
	for _, factor := range []float64{-1024, 0x1p-20} {
		got, err := base.gradients(scaled(seeds, factor))
		if err != nil {
			return errors.WithMessagef(err, "seeds times %.4g", factor)
		}
		if err := c.same(scaled(grads, factor), got, 1e-10); err != nil {
			return errors.WithMessagef(err, "the gradient is not linear in the seeds: seeds times %.4g don't give the gradient times %.4g", factor, factor)
		}
	}
	off, err := c.additivity(base)
	if err != nil {
		return err
	}
	for i, r := range off {
		if r > coarsest {
			return errors.Errorf("the gradient is not linear in the seeds: %v: for the sum of two seeds it differs from the sum of its gradients by %.3g of the largest element", c.vars[i], r)
		}
	}
	return nil
}

// nilSeeds checks that absent gradients of outputs are the same as zeros: of all
// but one output, and of one.
func (c *checker) nilSeeds(base *trial, seeds, _ [][]float64) error {
	if len(seeds) < 2 {
		return nil
	}
	for o := range seeds {
		for _, only := range []bool{true, false} {
			zeros, absent := slices.Clone(seeds), slices.Clone(seeds)
			for i, zero := range scaled(seeds, 0) {
				if (i == o) != only {
					zeros[i], absent[i] = zero, nil
				}
			}
			what := fmt.Sprintf("a gradient of output %d only", base.at[o])
			if !only {
				what = fmt.Sprintf("no gradient of output %d", base.at[o])
			}
			want, err := base.gradients(zeros)
			if err != nil {
				return err
			}
			got, err := base.gradients(absent)
			if err != nil {
				return errors.WithMessage(err, what)
			}
			if err := c.same(want, got, 1e-12); err != nil {
				return errors.WithMessagef(err, "%s is not the same as zeros in place of what is absent", what)
			}
		}
	}
	return nil
}

// alone checks that each gradient is the same when no other is wanted.
func (c *checker) alone(_ *trial, seeds, grads [][]float64) error {
	if len(c.vars) < 2 {
		return nil
	}
	for i, v := range c.vars {
		tr, err := (&trial{c: c, tape: autograd.NewTape(), alone: v}).run(c.inputs)
		if err != nil {
			return errors.WithMessagef(err, "forward pass where only the gradient of %v is wanted", v)
		}
		got, err := tr.gradients(seeds)
		tr.close()
		if err != nil {
			return errors.WithMessagef(err, "where only the gradient of %v is wanted", v)
		}
		if at := c.differs(i, grads[i], got[i], 1e-10); at >= 0 {
			return errors.Errorf("the gradient of %v depends on whether others are wanted: with them %.9g, alone %.9g at %v", v, grads[i][at], got[i][at], rowmajor.Index(at, v.shape))
		}
	}
	return nil
}

// unrecorded checks that the outputs don't depend on being recorded.
func (c *checker) unrecorded(base *trial, _, _ [][]float64) error {
	tr, err := c.try(autograd.NoGrad(), c.inputs)
	if err != nil {
		return errors.WithMessage(err, "on a tape that doesn't record")
	}
	defer tr.close()
	return c.sameOutputs(base, tr, "depends on whether the tape records: recorded %.9g, not recorded %.9g")
}

// sameOutputs compares outputs but for rounding.
func (c *checker) sameOutputs(base, tr *trial, format string) error {
	for o, y := range base.values {
		bound := max(1e-10*floats.Norm(y, math.Inf(1)), 64*max(c.noise[o], double*floats.Norm(y, 2)))
		if i := differs(y, tr.values[o], func(int) float64 { return bound }); i >= 0 {
			return errors.Errorf("output %d "+format+" at %v", base.at[o], y[i], tr.values[o][i], rowmajor.Index(i, base.outs[o].Shape()))
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
	if err := c.sameOutputs(base, tr, "depends on how the inputs lie in memory: contiguous %.9g, not contiguous %.9g"); err != nil {
		return err
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

// same compares gradients of all variables: bit by bit if rtol is 0, else but for
// rounding.
func (c *checker) same(want, got [][]float64, rtol float64) error {
	for i, v := range c.vars {
		if at := c.differs(i, want[i], got[i], rtol); at >= 0 {
			return errors.Errorf("%s: want %.9g, got %.9g at %v", v, want[i][at], got[i][at], rowmajor.Index(at, v.shape))
		}
	}
	return nil
}

// differs returns a position where two gradients of variable i differ, or −1.
func (c *checker) differs(i int, want, got []float64, rtol float64) int {
	if rtol == 0 {
		return differs(want, got, nil)
	}
	bound := max(rtol, 64*c.gradNoise[i]) * floats.Norm(want, math.Inf(1))
	return differs(want, got, func(k int) float64 { return max(bound, c.rounding(c.vars[i], k)) })
}

func (v *variable) String() string {
	if v.param != nil {
		return paramName(v.param.Name(), v.number)
	}
	return fmt.Sprintf("input %d", v.input)
}

// differs returns a position where two lists differ by more than a bound, which
// is 0 if nil, or −1. Here NaN is the same as NaN.
func differs(want, got []float64, bound func(i int) float64) int {
	for i, x := range want {
		if x == got[i] || math.IsNaN(x) && math.IsNaN(got[i]) {
			continue
		}
		if bound == nil || !(math.Abs(x-got[i]) <= bound(i)) {
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
