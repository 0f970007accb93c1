package gradcheck

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
)

// mismatch describes the worst disagreement of a block, with the numeric values
// of the first step.
func (b *block) mismatch(numeric *mat.Dense) error {
	m := &Mismatch{Input: -1, Output: b.base.at[b.rows[0].o]}
	worst := -1.0
	var row functional
	var col direction
	for r := range b.rows {
		for k := range b.cols {
			if b.agrees(r, k, b.numeric.At(r, k), 0) {
				continue
			}
			m.Wrong++
			a, n := b.analytic.At(r, k), numeric.At(r, k)
			if off := gap(a, n); off > worst {
				worst, row, col = off, b.rows[r], b.cols[k]
				m.Analytic, m.Numeric = a, n
			}
		}
	}
	v := b.c.vars[col.v]
	m.Total = len(b.rows) * len(b.cols)
	m.Input = v.input
	if v.param != nil {
		m.Param, m.ParamNumber = v.param.Name(), v.number
	}
	m.Cause = b.cause(numeric)
	var err error
	if b.c.opt.Fast {
		if row, col, err = b.locate(m, row, col); err != nil {
			return err
		}
	}
	if col.at >= 0 {
		m.Index = rowmajor.Index(col.at, v.shape)
		m.Analytic /= col.unit
		m.Numeric /= col.unit
	}
	if row.at >= 0 {
		m.OutputIndex = rowmajor.Index(row.at, b.base.outs[row.o].Shape())
	}
	if bend, err := b.bend(row, col); err != nil {
		return err
	} else if bend != "" {
		m.Cause = bend
	}
	return m
}

// gap is how far apart a gradient and its numeric value are; NaN is farthest.
func gap(a, n float64) float64 {
	if d := math.Abs(a - n); !math.IsNaN(d) {
		return d
	}
	return math.Inf(1)
}

// locate finds elements of the output and of the input that a disagreement along
// a random direction comes from, by halving where it is greatest. It leaves m,
// row and col as they are if single elements agree.
func (b *block) locate(m *Mismatch, row functional, col direction) (functional, direction, error) {
	c, v := b.c, b.c.vars[col.v]
	gradient := func(seed []float64) ([]float64, error) {
		base, err := c.baseline() // the parameters were set since the last one
		if err != nil {
			return nil, err
		}
		defer base.close()
		seeds := make([][]float64, len(base.outs))
		seeds[row.o] = seed
		grads, err := base.gradients(seeds)
		if err != nil {
			return nil, err
		}
		return grads[col.v], nil
	}
	grad, err := gradient(row.seed)
	if err != nil {
		return row, col, err
	}
	h, formula := c.step(), c.formula()
	rows := []functional{row}
	low, high, off := 0, len(v.value), m.Analytic-m.Numeric
	for high-low > 1 {
		mid := (low + high) / 2
		half := direction{v: col.v, at: -1, vector: make([]float64, len(v.value))}
		copy(half.vector[low:mid], col.vector[low:mid])
		n, err := c.numeric(rows, []direction{half}, h, formula)
		if err != nil {
			return row, col, err
		}
		left := half.along(grad) - n.At(0, 0)
		if right := off - left; gap(left, 0) >= gap(right, 0) {
			high, off = mid, left
		} else {
			low, off = mid, right
		}
	}
	one := direction{v: col.v, at: low, unit: v.unit[low]}

	// All elements of the output move with one of the input.
	y := b.base.values[row.o]
	rows = make([]functional, len(y))
	for r := range rows {
		rows[r] = functional{row.o, r, nil}
	}
	numeric, err := c.numeric(rows, []direction{one}, h, formula)
	if err != nil {
		return row, col, err
	}
	part := func(low, high int) (a, n float64, err error) {
		seed := make([]float64, len(y))
		copy(seed[low:high], row.seed[low:high])
		grad, err := gradient(seed)
		if err != nil {
			return 0, 0, err
		}
		for r, weight := range seed {
			if weight != 0 {
				n += weight * numeric.At(r, 0)
			}
		}
		return one.along(grad), n, nil
	}
	low, high = 0, len(y)
	for high-low > 1 {
		mid := (low + high) / 2
		a, n, err := part(low, mid)
		if err != nil {
			return row, col, err
		}
		a2, n2, err := part(mid, high)
		if err != nil {
			return row, col, err
		}
		if gap(a, n) >= gap(a2, n2) {
			high = mid
		} else {
			low = mid
		}
	}
	a, n, err := part(low, high)
	if err != nil {
		return row, col, err
	}
	a, n = a/row.seed[low], n/row.seed[low]
	if math.Abs(a-n) <= 1e-4*max(math.Abs(a), math.Abs(n)) {
		return row, col, nil
	}
	m.Analytic, m.Numeric = a, n
	return functional{row.o, low, nil}, one, nil
}

// bend says whether the slopes on the two sides of the point differ: then there
// is no derivative to compare with.
func (b *block) bend(row functional, col direction) (string, error) {
	if b.c.opt.Report.Single {
		return "", nil // the slopes of short steps are noise
	}
	sides := func(h float64) (left, right float64, err error) {
		j, err := b.c.numeric([]functional{row}, []direction{col}, h, backwards)
		if err != nil {
			return 0, 0, err
		}
		left = j.At(0, 0)
		if j, err = b.c.numeric([]functional{row}, []direction{col}, h, forwards); err != nil {
			return 0, 0, err
		}
		return left, j.At(0, 0), nil
	}
	h := b.c.opt.Eps
	left, right, err := sides(h)
	if err != nil {
		return "", err
	}
	size := max(math.Abs(left), math.Abs(right))
	if !(math.Abs(left-right) > 0.01*size && math.Abs(left-right) > 1e-3*b.largest) || math.IsInf(size, 0) {
		return "", nil
	}
	shortLeft, shortRight, err := sides(h / 10)
	if err != nil {
		return "", err
	}
	if short := max(math.Abs(shortLeft), math.Abs(shortRight)); short > 5*size {
		return "the function jumps here: choose another point", nil
	}
	if math.Abs(shortLeft-shortRight) < 0.5*math.Abs(left-right) {
		return "", nil // it bends smoothly
	}
	return "the function has a kink here, with other slopes before and behind the point: choose another one", nil
}
