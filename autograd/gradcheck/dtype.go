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

// precision is what a correct gradient may lose in a dtype.
type precision struct {
	unit      float64 // what numbers are rounded by
	low, high float64 // norms between which numbers keep that, squares included
	outputs   float64 // relative error of outputs above which gradients say nothing

	// The error of a gradient is at most rtol of its size, and nearby times what
	// rounded inputs do to it, and cancelled times unit of the size of the outputs,
	// whose terms may cancel in it.
	rtol, nearby, cancelled float64

	// share, if not 0, makes that hold for each element, with errors of that share
	// of the largest one on top. Otherwise it holds for the norm.
	share float64
}

// In float32 a fault of 1 % shows. Half precision loses as much by itself.
var precisions = map[tensor.Dtype]precision{
	tensor.Float32:  {unit: 0x1p-24, low: 1e-25, high: 1e25, outputs: 1e-3, rtol: 2e-3, nearby: 16, cancelled: 32, share: 1e-4},
	tensor.Float16:  {unit: 0x1p-11, low: 1e-3, high: 1e4, outputs: 2e-2, rtol: 2e-2, nearby: 8, cancelled: 24},
	tensor.BFloat16: {unit: 0x1p-8, low: 1e-25, high: 1e25, outputs: 0.1, rtol: 0.1, nearby: 8, cancelled: 24},
}

// ownDtype runs the function once with the inputs and parameters as they came.
// There the gradients must have the right shapes and dtypes, and be those of
// float64 but for rounding.
func (c *checker) ownDtype(*trial, [][]float64, [][]float64) error {
	d := c.givenDtype()
	if d == tensor.Float64 || c.opt.Float64Only {
		return nil
	}
	s := tensor.NewScope()
	defer s.Close()
	m := measurement{inputs: c.given, seed: c.opt.Seed, rounded: d}
	for _, v := range c.vars {
		if v.param != nil {
			m.params = append(m.params, v.param)
		}
	}
	c.setParams(c.kept)
	got, err := m.of(s, c.f)
	promoted := err != nil && c.promotes()
	c.setParams(c.wide)
	switch {
	case promoted:
		c.opt.Report.skip("%s (the function makes float64 of it)", d)
		return nil
	case err != nil:
		return errors.WithMessagef(err, "with inputs of %s, as they came", d)
	}
	m.inputs = c.inputs
	want, err := m.of(s, c.f)
	if err != nil {
		return err
	}
	p := precisions[d]
	for i := range want.outs {
		off, err := p.distance(want.outs[i], got.outs[i])
		if err != nil {
			return err
		}
		if !(off <= p.outputs) {
			c.opt.Report.skip("gradients in %s (output %d is another one there)", d, i)
			return nil
		}
	}
	near, err := c.nearby(s, m, p)
	if err != nil {
		return errors.WithMessage(err, "at inputs nearby")
	}
	a, b, moved := want.lists(c), got.lists(c), near.lists(c)
	for i, v := range c.vars {
		if err := c.agreesIn(p, v, a[i], b[i], moved[i]); err != nil {
			return errors.WithMessagef(err, "the gradient of %v is wrong in %s", v, d)
		}
	}
	return nil
}

// nearby measures the function in float64 where inputs and parameters are off by
// what rounding does to them: how its gradients differ there is what any
// computation in that precision may lose.
func (c *checker) nearby(s *tensor.Scope, m measurement, p precision) (measured, error) {
	defer c.setParams(c.wide)
	m.inputs = slices.Clone(c.inputs)
	for _, v := range c.vars {
		list := slices.Clone(v.value)
		for k := range list {
			list[k] *= 1 + math.Copysign(p.unit, c.random.NormFloat64())
		}
		x := fromSlice(list, v.shape)
		s.Adopt(x)
		if v.param != nil {
			v.param.SetValue(x)
		} else {
			m.inputs[v.input] = x
		}
	}
	return m.of(s, c.f)
}

// lists returns the gradients of the variables, nil for absent ones.
func (m measured) lists(c *checker) []*tensor.Tensor {
	list := make([]*tensor.Tensor, len(c.vars))
	params := m.params
	for i, v := range c.vars {
		if v.param != nil {
			list[i], params = params[0], params[1:]
		} else {
			list[i] = m.grads[v.input]
		}
	}
	return list
}

// agreesIn compares the gradient of v in a lower precision with that in float64,
// given the one at inputs nearby.
func (c *checker) agreesIn(p precision, v *variable, want, got, nearby *tensor.Tensor) error {
	a, norm, err := v.inUnits(want)
	if err != nil {
		return err
	}
	b, _, err := v.inUnits(got)
	if err != nil {
		return err
	}
	near, _, err := v.inUnits(nearby)
	if err != nil {
		return err
	}
	kind := 2.0
	if p.share > 0 {
		kind = math.Inf(1)
	}
	slack := p.nearby*floats.Distance(a, near, kind) + p.cancelled*p.unit*c.scale + p.share*floats.Norm(a, kind)
	if norm != 0 && !p.reaches(norm) || math.IsNaN(slack) {
		return nil
	}
	apart, size := floats.Distance(a, b, 2), floats.Norm(a, 2)
	wrong := p.share == 0 && apart > slack+p.rtol*size
	at, most := 0, 0.0
	for k := range a {
		off := gap(a[k], b[k])
		wrong = wrong || math.IsInf(off, 0) || p.share > 0 && off > slack+p.rtol*math.Abs(a[k])
		if off > most {
			at, most = k, off
		}
	}
	if !wrong {
		return nil
	}
	return errors.Errorf("it differs from that in float64 by %.3g of its norm, while the outputs agree; it is %.6g at %v, and should be %.6g%s",
		apart/size, b[at]/v.unit[at], rowmajor.Index(at, v.shape), a[at]/v.unit[at], manner(b, a))
}

// inUnits returns a gradient in units of the variable's elements, so that it does
// not matter how they are scaled, and the norm it has without. An absent one is
// zeros.
func (v *variable) inUnits(grad *tensor.Tensor) (list []float64, norm float64, err error) {
	if grad == nil {
		return make([]float64, len(v.value)), 0, nil
	}
	if list, err = wide(grad); err != nil {
		return nil, 0, err
	}
	norm = floats.Norm(list, 2)
	floats.Mul(list, v.unit)
	return list, norm, nil
}

// manner says by what a gradient is off, if that is simple.
func manner(got, want []float64) string {
	switch {
	case !finite(got):
		return ": it is not finite"
	case allZero(want):
		return ": no output depends on it"
	case allZero(got):
		return ": no gradient arrives"
	}
	c, _ := factor(got, want)
	rest := floats.AddScaledTo(make([]float64, len(got)), got, -c, want)
	switch {
	case floats.Norm(rest, 2) > 0.1*math.Abs(c-1)*floats.Norm(want, 2):
		return ""
	case math.Abs(c+1) < 0.05:
		return ": the sign is wrong"
	}
	return fmt.Sprintf(": it looks like a wrong factor, %.4g", c)
}

// givenDtype is the coarsest floating-point dtype of the inputs and parameters as
// they came.
func (c *checker) givenDtype() tensor.Dtype {
	coarsest := tensor.Float64
	for _, x := range slices.Concat(c.given, c.kept) {
		if d := x.Dtype(); d.IsFloat() && precisions[d].unit > precisions[coarsest].unit {
			coarsest = d
		}
	}
	return coarsest
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

// reaches reports whether numbers of a norm are neither too large nor too small.
func (p precision) reaches(norm float64) bool { return norm > p.low && norm < p.high }

// distance is the norm of the difference by that of want; NaN where the numbers
// of the precision don't reach.
func (p precision) distance(want, got *tensor.Tensor) (float64, error) {
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
	case !p.reaches(norm):
		return math.NaN(), nil
	}
	return floats.Distance(a, b, 2) / norm, nil
}
