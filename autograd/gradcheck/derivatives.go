package gradcheck

import (
	"github.com/pkg/errors"
	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// mostDerivatives is what a full check takes on: 512 MiB a Jacobian.
const mostDerivatives = 1 << 26

// A Jacobian here has a row for each functional of an output and a column for
// each direction in a variable: elements in a full check, random vectors in a
// fast one.

// direction is a way to move in a variable.
type direction struct {
	v      int       // the variable
	at     int       // the element to move, or −1
	unit   float64   // by how much
	vector []float64 // or else how to move all of them
}

// functional maps an output to a number.
type functional struct {
	o    int
	at   int       // the element, or −1
	seed []float64 // or else the weights of all of them
}

// derivatives compares gradients with central differences.
func (c *checker) derivatives(base *trial) error {
	cols, rows := c.directions(), c.functionals(base)
	if len(cols) == 0 || len(rows) == 0 {
		c.opt.Report.compared(c.vars, nil, nil, nil)
		return nil // empty tensors
	}
	if len(rows)*len(cols) > mostDerivatives {
		return errors.Errorf("%d outputs by %d inputs are too many derivatives to compare one by one: choose smaller inputs, or Options.Fast", len(rows), len(cols))
	}
	analytic, err := c.analytic(base, rows, cols)
	if err != nil {
		return err
	}
	if !c.opt.Fast {
		c.jacobian, c.rows, c.cols = analytic, rows, cols
	}
	numeric, err := c.numeric(rows, cols, c.step(), c.formula())
	if err != nil {
		return err
	}
	c.opt.Report.compared(c.vars, cols, analytic, numeric)
	cmp := &comparison{c: c, base: base, rows: rows, cols: cols, analytic: analytic, numeric: numeric}
	return cmp.check()
}

func (c *checker) directions() []direction {
	var cols []direction
	for i, v := range c.vars {
		switch {
		case len(v.value) == 0:
		case c.opt.Fast:
			vector := c.normal(len(v.value))
			for k := range vector {
				vector[k] *= v.magnitude(k)
			}
			cols = append(cols, direction{v: i, at: -1, vector: vector})
		default:
			for k := range v.value {
				cols = append(cols, direction{v: i, at: k, unit: v.unit[k]})
			}
		}
	}
	return cols
}

func (c *checker) functionals(base *trial) []functional {
	var rows []functional
	for o, y := range base.values {
		switch {
		case len(y) == 0:
		case c.opt.Fast:
			rows = append(rows, functional{o, -1, c.normal(len(y))})
		default:
			for k := range y {
				rows = append(rows, functional{o, k, nil})
			}
		}
	}
	return rows
}

// analytic is the Jacobian by backward passes.
func (c *checker) analytic(base *trial, rows []functional, cols []direction) (*mat.Dense, error) {
	j := mat.NewDense(len(rows), len(cols), nil)
	for r, row := range rows {
		seeds := make([][]float64, len(base.outs))
		seeds[row.o] = row.weights(len(base.values[row.o]))
		grads, err := base.gradients(seeds)
		if err != nil {
			return nil, err
		}
		for k, col := range cols {
			j.Set(r, k, col.along(grads[col.v]))
		}
	}
	return j, nil
}

func (f functional) weights(n int) []float64 {
	if f.at < 0 {
		return f.seed
	}
	one := make([]float64, n)
	one[f.at] = 1
	return one
}

func (f functional) of(y []float64) float64 {
	if f.at >= 0 {
		return y[f.at]
	}
	return floats.Dot(f.seed, y)
}

// along is the derivative in the direction, from a gradient.
func (d direction) along(grad []float64) float64 {
	if d.at >= 0 {
		return grad[d.at] * d.unit
	}
	return floats.Dot(d.vector, grad)
}

// move adds h times the direction to x.
func (d direction) move(x []float64, h float64) {
	if d.at >= 0 {
		x[d.at] += h * d.unit
		return
	}
	for i, e := range d.vector {
		x[i] += h * e
	}
}

// length is how far a step of 1 goes.
func (d direction) length() float64 {
	if d.at >= 0 {
		return d.unit
	}
	return floats.Norm(d.vector, 2)
}

// The ways to take differences.
var (
	central   = fd.Central
	forwards  = fd.Forward
	backwards = fd.Backward
)

// step and formula are coarser for a function that rounds to float32.
func (c *checker) step() float64 {
	if c.opt.Report.Single {
		return 1e4 * c.opt.Eps
	}
	return c.opt.Eps
}

func (c *checker) formula() fd.Formula {
	if c.opt.Report.Single {
		return fivePoints
	}
	return central
}

// fivePoints are central differences whose error falls with the fourth power of
// the step, for coarse ones.
var fivePoints = fd.Formula{
	Stencil:    []fd.Point{{Loc: -2, Coeff: 1. / 12}, {Loc: -1, Coeff: -2. / 3}, {Loc: 1, Coeff: 2. / 3}, {Loc: 2, Coeff: -1. / 12}},
	Derivative: 1,
	Step:       1e-2,
}

// numeric is the Jacobian by central differences.
func (c *checker) numeric(rows []functional, cols []direction, step float64, formula fd.Formula) (*mat.Dense, error) {
	var failure error
	f := func(y, u []float64) {
		values := make([][]float64, len(c.vars))
		for i, v := range c.vars {
			values[i] = append([]float64(nil), v.value...)
		}
		for k, col := range cols {
			if u[k] != 0 {
				col.move(values[col.v], u[k])
			}
		}
		outs, err := c.shifted(values)
		for r, row := range rows {
			if err == nil {
				y[r] = row.of(outs[row.o])
			}
		}
		if failure == nil {
			failure = err
		}
	}
	j := mat.NewDense(len(rows), len(cols), nil)
	fd.Jacobian(j, f, make([]float64, len(cols)), &fd.JacobianSettings{Formula: formula, Step: step})
	return j, failure
}
