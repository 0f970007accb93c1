package gradcheck

import (
	"math"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// ownDtype runs the function once with the inputs and parameters as they came,
// where shapes and dtypes of the gradients have to be right, too. What rounding
// may do to a gradient in float32 nobody can say, but one that is off by a
// twentieth although the outputs are right is wrong.
func (c *checker) ownDtype(*trial, [][]float64, [][]float64) error {
	d, ok := c.givenDtype()
	if !ok || d == tensor.Float64 || c.opt.Float64Only {
		return nil
	}
	s := tensor.NewScope()
	defer s.Close()
	c.setParams(c.kept)
	got, err := measure(s, c.f, c.given, c.opt.Seed)
	promoted := err != nil && c.promotes()
	c.setParams(c.wide)
	switch {
	case promoted:
		c.opt.Report.skip("%s (the function makes float64 of it)", d)
		return nil
	case err != nil:
		return errors.WithMessagef(err, "with inputs of %s, as they came", d)
	case d != tensor.Float32:
		return nil
	}
	want, err := measure(s, c.f, c.inputs, c.opt.Seed)
	if err != nil {
		return err
	}
	for i := range want.outs {
		if off, err := relative(want.outs[i], got.outs[i]); err != nil || !(off <= 1e-3) {
			return err
		}
	}
	for _, v := range c.vars {
		if v.param != nil || want.grads[v.input] == nil || got.grads[v.input] == nil {
			continue
		}
		off, err := relative(want.grads[v.input], got.grads[v.input])
		if err != nil {
			return err
		}
		if off > 0.05 && !c.cancels(v, want.grads[v.input]) {
			return errors.Errorf("the gradient of %v is wrong in float32: it differs from that in float64 by %.3g of its norm, while the outputs agree", v, off)
		}
	}
	return nil
}

// cancels reports whether a gradient is so small beside the outputs that in
// float32 it may be nothing but rounding.
func (c *checker) cancels(v *variable, grad *tensor.Tensor) bool {
	list, err := wide(grad)
	largest := 0.0
	for k, g := range list {
		largest = max(largest, math.Abs(g)*v.unit[k])
	}
	return err != nil || largest < 1e-4*c.scale
}

// givenDtype is the floating-point dtype that all inputs and parameters came in.
func (c *checker) givenDtype() (d tensor.Dtype, ok bool) {
	for _, x := range slices.Concat(c.given, c.kept) {
		switch {
		case !x.Dtype().IsFloat():
		case !ok:
			d, ok = x.Dtype(), true
		case d != x.Dtype():
			return d, false
		}
	}
	return d, ok
}

// promotes reports whether the function has a float64 output for the inputs as
// they came.
func (c *checker) promotes() bool {
	tape := autograd.NoGrad()
	defer tape.Close()
	found := false
	_ = tensor.Try(func() {
		args := make([]*autograd.Var, len(c.given))
		for i, x := range c.given {
			args[i] = tape.Const(x)
		}
		for _, y := range c.f(args...) {
			found = found || y != nil && y.Dtype() == tensor.Float64
		}
	})
	return found
}

// relative is the norm of the difference by that of want; NaN where numbers of
// float32 don't reach.
func relative(want, got *tensor.Tensor) (float64, error) {
	a, err := wide(want)
	if err != nil {
		return 0, err
	}
	b, err := wide(got)
	if err != nil {
		return 0, err
	}
	if len(a) != len(b) {
		return math.NaN(), nil
	}
	norm := floats.Norm(a, 2)
	switch {
	case norm == 0 && floats.Norm(b, 2) == 0:
		return 0, nil
	case !(norm > 1e-25 && norm < 1e25): // out of float32's reach, or near it
		return math.NaN(), nil
	}
	return floats.Distance(a, b, 2) / norm, nil
}
