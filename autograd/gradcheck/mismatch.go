package gradcheck

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
)

// Mismatch is a gradient that disagrees with central differences: the worst
// entry of the first pair of output and input where one does.
type Mismatch struct {
	Output      int    // position of the output
	OutputIndex []int  // element of it; nil where a fast check can't tell
	Input       int    // position of the input, or −1 for a parameter
	Param       string // name of the parameter
	ParamNumber int    // which one of that name, from 1, in the order of their use; 0 if there is one only
	Index       []int  // element of the input; nil where a fast check can't tell

	Analytic, Numeric float64 // derivative by the backward pass, and by differences
	Wrong, Total      int     // derivatives of this pair that disagree, and all
	Cause             string  // a guess
}

// Error names the place, both values and the likely cause.
func (m *Mismatch) Error() string {
	var b strings.Builder
	input := fmt.Sprintf("input %d", m.Input)
	if m.Input < 0 {
		input = paramName(m.Param, m.ParamNumber)
	}
	if m.Index == nil {
		fmt.Fprintf(&b, "wrong gradient of output %d with respect to %s, along a random direction", m.Output, input)
	} else {
		fmt.Fprintf(&b, "wrong gradient of output %d%v with respect to %s%v", m.Output, m.OutputIndex, input, m.Index)
	}
	fmt.Fprintf(&b, ": analytic %.9g, numeric %.9g", m.Analytic, m.Numeric)
	if m.Total > 1 {
		fmt.Fprintf(&b, " (%d of %d derivatives are wrong)", m.Wrong, m.Total)
	}
	if m.Cause != "" {
		fmt.Fprintf(&b, "; %s", m.Cause)
	}
	return b.String()
}

// paramName tells a parameter from others of its name by a number, unless that
// is 0.
func paramName(name string, number int) string {
	if number > 0 {
		return fmt.Sprintf("parameter %q #%d", name, number)
	}
	return fmt.Sprintf("parameter %q", name)
}

// cause guesses what is wrong from the pattern of a block.
func (b *block) cause(numeric *mat.Dense) string {
	a, n := b.analytic.RawMatrix().Data, numeric.RawMatrix().Data
	v := b.c.vars[b.cols[0].v]
	switch {
	case !finite(a):
		return "the gradient is not finite"
	case !finite(n):
		return "the function is not finite near this point"
	case b.c.stepped[b.rows[0].o]:
		return "the function moves in steps: it rounds to less than float32, or is constant in pieces, and differences can't tell its gradient; Parity compares two implementations"
	case allZero(a):
		return "no gradient arrives: the path is detached, or nil or zero is returned for it"
	case allZero(n):
		return "a gradient arrives although the output doesn't depend on the input"
	}
	c, proportional := factor(a, n)
	switch {
	case proportional && math.Abs(c+1) < 1e-3:
		return "the sign is wrong"
	case b.c.opt.Fast:
		return fmt.Sprintf("along a random direction it is %.4g times what it should be; a check without Fast compares all elements", c)
	case proportional:
		return fmt.Sprintf("it looks like a wrong factor: %.4g times what it should be%s", c, b.average(c, v))
	}
	if j := b.swapped(); j != nil {
		return fmt.Sprintf("it looks like the gradient of %v", j)
	}
	switch {
	case b.ignoresSeed():
		return "it is the same for every element of the output: the backward pass ignores the gradient that it is given, or its place"
	case b.transposed(numeric, v):
		return "it looks transposed"
	case b.zeroWhereWrong():
		return "it is zero where it is wrong: a missing term, or a missing reduction over a broadcast axis"
	}
	if axis := b.rightAtFirst(v); axis >= 0 {
		return fmt.Sprintf("it is right only at index 0 of axis %d of the input", axis)
	}
	return "a term is missing or wrong"
}

// average recognises the factor between a sum and a mean over axes of the input
// or the output.
func (b *block) average(c float64, v *variable) string {
	lengths := append(slices.Clone(v.shape), b.base.outs[b.rows[0].o].Shape()...)
	for _, n := range append(lengths, len(v.value), len(b.rows)) {
		switch {
		case n < 2:
		case math.Abs(c*float64(n)-1) < 1e-6:
			return fmt.Sprintf(", a mean over %d in place of a sum?", n)
		case math.Abs(c/float64(n)-1) < 1e-6:
			return fmt.Sprintf(", a sum over %d in place of a mean?", n)
		}
	}
	return ""
}

// ignoresSeed reports whether all elements of the output have one gradient.
func (b *block) ignoresSeed() bool {
	for r := range b.rows {
		if !floats.EqualApprox(b.analytic.RawRowView(r), b.analytic.RawRowView(0), 1e-9*b.largest) {
			return false
		}
	}
	return len(b.rows) > 1
}

// swapped returns the variable whose gradient this is, if it is that of another
// one of the same shape.
func (b *block) swapped() *variable {
	i := b.cols[0].v
	for k := 0; k < len(b.comparison.cols); k += len(b.c.vars[b.comparison.cols[k].v].value) {
		j := b.comparison.cols[k].v
		if j == i || !slices.Equal(b.c.vars[i].shape, b.c.vars[j].shape) {
			continue
		}
		same := true
		for r := range b.rows {
			for e := range b.cols {
				x := b.analytic.At(r, e) / b.cols[e].unit
				y := b.comparison.numeric.At(b.row+r, k+e) / b.comparison.cols[k+e].unit
				same = same && math.Abs(x-y) <= 1e-4*(math.Abs(x)+math.Abs(y))+1e-6*b.largest/b.cols[e].unit
			}
		}
		if same {
			return b.c.vars[j]
		}
	}
	return nil
}

func finite(list []float64) bool {
	return !slices.ContainsFunc(list, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

func allZero(list []float64) bool {
	return !slices.ContainsFunc(list, func(x float64) bool { return x != 0 })
}

// factor fits a = c·n, and reports whether that holds element by element.
func factor(a, n []float64) (c float64, ok bool) {
	unit := floats.Norm(n, 2) // divided by, lest squares overflow
	for i := range a {
		c += a[i] / unit * (n[i] / unit)
	}
	ok = true
	for i := range a {
		ok = ok && math.Abs(a[i]-c*n[i]) <= 1e-4*math.Abs(c*n[i])+1e-9*floats.Norm(a, math.Inf(1))
	}
	return c, ok
}

// transposed reports whether the gradient is right but for the order of the
// input's last two axes, or of the input and the output.
func (b *block) transposed(numeric *mat.Dense, v *variable) bool {
	same := func(a, n func(r, k int) float64) bool {
		for r := range b.rows {
			for k := range b.cols {
				x, y := a(r, k), n(r, k)
				if math.Abs(x-y) > 1e-4*(math.Abs(x)+math.Abs(y))+1e-6*b.largest {
					return false
				}
			}
		}
		return true
	}
	unscaled := func(j *mat.Dense) func(r, k int) float64 {
		return func(r, k int) float64 { return j.At(r, k) / b.cols[k].unit }
	}
	a, n := unscaled(b.analytic), unscaled(numeric)
	if len(b.rows) == len(b.cols) && same(a, func(r, k int) float64 { return n(k, r) }) {
		return true
	}
	axes := len(v.shape)
	if axes < 2 || v.shape[axes-1] != v.shape[axes-2] {
		return false
	}
	p := v.shape[axes-1]
	swapped := func(k int) int { return k - k%(p*p) + k%p*p + k%(p*p)/p }
	return same(a, func(r, k int) float64 { return n(r, swapped(k)) })
}

// zeroWhereWrong reports whether every wrong entry is zero.
func (b *block) zeroWhereWrong() bool {
	for r := range b.rows {
		for k := range b.cols {
			if !b.agrees(r, k, b.numeric.At(r, k), 0) && b.analytic.At(r, k) != 0 {
				return false
			}
		}
	}
	return true
}

// rightAtFirst finds an axis of the input such that the gradient is right
// exactly at its index 0, or −1.
func (b *block) rightAtFirst(v *variable) int {
	wrong := make([]bool, len(b.cols))
	for _, k := range b.suspects() {
		wrong[k] = true
	}
axes:
	for axis, length := range v.shape {
		if length < 2 {
			continue
		}
		for k := range b.cols {
			if wrong[k] == (rowmajor.Index(k, v.shape)[axis] == 0) {
				continue axes
			}
		}
		return axis
	}
	return -1
}
