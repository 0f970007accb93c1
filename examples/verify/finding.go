package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// finding is one comparison.
type finding struct {
	part         string // "" is the whole
	error, bound float64
	what         string // the error is of; why there is none where it is NaN
}

// ok reports whether the bound is kept, which a NaN does not.
func (f finding) ok() bool { return f.error <= f.bound }

// compare takes the relative L2 error. A want of zeros is met by zeros alone, and
// one below the range of the arithmetic, whose least number is given, by what is
// below it. Beside larger ones an element may lack as much as lost for the range.
func compare(got, want []float64, tolerance, least, lost float64) finding {
	if what := incomparable(got, want); what != "" {
		return finding{what: what, error: math.NaN(), bound: tolerance}
	}
	size := largest(want)
	switch {
	case size == 0:
		return finding{what: "the reference is zero, the largest magnitude", error: largest(got)}
	case size < least:
		return finding{what: "the reference is below the dtype's range, the largest magnitude", error: largest(got), bound: least}
	}
	var diff, norm float64
	for i, w := range want { // scaled, since squares may leave the range
		d := max(0, math.Abs(got[i]/size-w/size)-lost/size)
		diff += d * d
		norm += w / size * (w / size)
	}
	return finding{what: "the relative error", error: math.Sqrt(diff / norm), bound: tolerance}
}

// compareAbsolute takes the largest absolute error, but also has a want of zeros
// met by zeros.
func compareAbsolute(got, want []float64, bound float64) finding {
	if largest(want) == 0 || incomparable(got, want) != "" {
		return compare(got, want, bound, 0, 0)
	}
	f := finding{what: "the absolute error", bound: bound}
	for i, w := range want {
		f.error = max(f.error, math.Abs(got[i]-w))
	}
	return f
}

// incomparable returns why two results have no distance, or "".
func incomparable(got, want []float64) string {
	if len(got) != len(want) {
		return fmt.Sprintf("there are %d elements for a reference of %d", len(got), len(want))
	}
	for _, side := range []struct {
		name string
		x    []float64
	}{{"the reference", want}, {"the result", got}} {
		if i := slices.IndexFunc(side.x, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }); i >= 0 {
			return fmt.Sprintf("%s holds %v", side.name, side.x[i])
		}
	}
	return ""
}

func largest(x []float64) float64 {
	var m float64
	for _, v := range x {
		m = max(m, math.Abs(v))
	}
	return m
}

// worstOf returns the finding that comes closest to its bound, or passes it most.
func worstOf(findings []finding) finding {
	return slices.MaxFunc(findings, func(a, b finding) int { return cmp.Compare(a.severity(), b.severity()) })
}

// severity is 1 at the bound.
func (f finding) severity() float64 {
	switch {
	case math.IsNaN(f.error):
		return math.Inf(1)
	case f.error <= f.bound && f.bound == 0:
		return 0
	}
	return f.error / f.bound
}

// faults says of each bound that is passed by how much.
func faults(findings []finding) []string {
	const most = 4
	var lines []string
	more := 0
	for _, f := range findings {
		switch {
		case f.ok():
		case len(lines) == most:
			more++
		default:
			part := f.part
			if part == "" {
				part = "the whole"
			}
			line := part + ": " + f.what
			if !math.IsNaN(f.error) {
				line += fmt.Sprintf(" is %.2e, want at most %.2g", f.error, f.bound)
			}
			lines = append(lines, line)
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d parts more", more))
	}
	return lines
}
