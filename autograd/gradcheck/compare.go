package gradcheck

import (
	"math"

	"gonum.org/v1/gonum/diff/fd"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// comparison is that of two Jacobians.
type comparison struct {
	c                 *checker
	base              *trial
	rows              []functional
	cols              []direction
	analytic, numeric *mat.Dense
}

// block is the part of a comparison that concerns one output and one variable.
type block struct {
	*comparison
	row, col          int // where it begins
	rows              []functional
	cols              []direction
	analytic, numeric *mat.Dense
	largest           float64 // derivative in the block
}

// otherStep is tried where the first one disagrees.
type otherStep struct {
	factor    float64
	formula   fd.Formula
	magnitude bool // in units of the element's own magnitude
	rounding  bool // allowing for what rounding explains
}

// otherSteps are finer ones for functions that bend much within a unit, and
// coarser ones for small derivatives of large values, whose differences drown
// in rounding.
var otherSteps = []otherStep{
	{factor: 1, formula: central, magnitude: true},
	{factor: 1e-2, formula: fivePoints},
	{factor: 1e-4, formula: fivePoints},
	{factor: 1e2, formula: central},
	{factor: 1e4, formula: fivePoints, rounding: true},
}

// check returns a *Mismatch for the first block that disagrees.
func (m *comparison) check() error {
	for k := 0; k < len(m.cols); {
		kEnd := k + 1
		for kEnd < len(m.cols) && m.cols[kEnd].v == m.cols[k].v {
			kEnd++
		}
		for r := 0; r < len(m.rows); {
			rEnd := r + 1
			for rEnd < len(m.rows) && m.rows[rEnd].o == m.rows[r].o {
				rEnd++
			}
			b := &block{
				comparison: m, row: r, col: k, rows: m.rows[r:rEnd], cols: m.cols[k:kEnd],
				analytic: mat.DenseCopyOf(m.analytic.Slice(r, rEnd, k, kEnd)),
				numeric:  mat.DenseCopyOf(m.numeric.Slice(r, rEnd, k, kEnd)),
			}
			if err := b.check(); err != nil {
				return err
			}
			r = rEnd
		}
		k = kEnd
	}
	return nil
}

func (b *block) check() error {
	for _, j := range []*mat.Dense{b.analytic, b.numeric} {
		for _, d := range j.RawMatrix().Data {
			if d = math.Abs(d); d > b.largest && !math.IsInf(d, 0) {
				b.largest = d
			}
		}
	}
	original := mat.DenseCopyOf(b.numeric)
	suspects := b.suspects()
	for _, step := range otherSteps {
		if len(suspects) == 0 {
			return nil
		}
		if err := b.reconsider(suspects, original, step); err != nil {
			return err
		}
		suspects = b.suspects()
	}
	if len(suspects) == 0 {
		return nil
	}
	return b.mismatch(original)
}

// suspects lists the columns with a disagreement.
func (b *block) suspects() []int {
	var list []int
	for k := range b.cols {
		for r := range b.rows {
			if !b.agrees(r, k, b.numeric.At(r, k), 0) {
				list = append(list, k)
				break
			}
		}
	}
	return list
}

// agrees compares the gradient at (r, k) with a numeric value.
func (b *block) agrees(r, k int, numeric, slack float64) bool {
	a := b.analytic.At(r, k)
	if math.IsInf(a, 0) {
		return false
	}
	atol := (1e-7 + 16*b.c.gradNoise[b.cols[k].v]) * b.largest
	if b.c.opt.Atol > 0 {
		atol = b.c.opt.Atol * b.cols[k].length()
	}
	return math.Abs(a-numeric) <= slack+atol+b.c.opt.Rtol*max(math.Abs(a), math.Abs(numeric))
}

// reconsider takes differences with another step in the columns given, and
// settles the entries that agree then.
func (b *block) reconsider(suspects []int, first *mat.Dense, step otherStep) error {
	cols := make([]direction, len(suspects))
	for i, k := range suspects {
		cols[i] = b.cols[k]
		if step.magnitude && cols[i].at >= 0 {
			cols[i].unit = b.c.vars[cols[i].v].magnitude(cols[i].at)
		}
	}
	h := b.c.opt.Eps * step.factor
	slack := 0.0
	if step.rounding {
		o := b.rows[0].o
		slack = 64 * max(double*floats.Norm(b.base.values[o], 2), b.c.noise[o]) / h
	}
	second, err := b.c.numeric(b.rows, cols, h, step.formula)
	if err != nil {
		return err
	}
	for i, k := range suspects {
		unit := b.cols[k].length() / cols[i].length()
		for r := range b.rows {
			if b.agrees(r, k, b.numeric.At(r, k), 0) {
				continue
			}
			a, n := b.analytic.At(r, k), second.At(r, i)*unit
			off := math.Abs(a - first.At(r, k))
			// Where the derivative is zero, only the error of the differences
			// is left, which falls with the square of the step or faster.
			vanishes := step.factor < 1 && math.Abs(a) <= off && math.Abs(a-n) <= 1e-3*off
			if vanishes || b.agrees(r, k, n, slack) {
				b.numeric.Set(r, k, a)
			}
		}
	}
	return nil
}
