package main

import (
	"fmt"
	"iter"
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// judge compares the results of one variant with those of a fixture.
type judge struct {
	dtype tensor.Dtype // of q, k, v and do
	g     []float64    // [B, T, Hv]
	heads []head       // the value heads
	terms int          // of the longest sums, those of dg: K·V
	// lone are, for dq and dk, the rows [B, S, Hk] whose query or key is zero
	// before its norm: their gradients are about a thousand times those of others.
	lone map[string][]bool
}

const (
	// strong is the log decay below which tokens are judged alone, too: their dg
	// is small.
	strong = -5

	// vanishing bounds the absolute error of dg where the true dg is rounding noise.
	vanishing   = 1e-9
	vanishing64 = 1e-17 // in float64
)

// tolerance bounds the relative L2 error of a result. Parallel says that keys are
// parallel and written with β >= 1, which the gates' gradients feel.
func tolerance(d tensor.Dtype, name string, parallel bool) float64 {
	ofGates := name == "dg" || name == "dbeta"
	switch {
	case d == tensor.Float64:
		return 1e-9
	case d == tensor.BFloat16 && name == "dg":
		return 2e-2
	case d == tensor.BFloat16:
		return 1e-2
	case d == tensor.Float16 && ofGates:
		return 4e-3
	case d == tensor.Float16:
		return 2e-3
	case ofGates && parallel:
		return 3e-5
	}
	return 1e-5
}

// least is the smallest number that a result can be expected to hold. Below
// float32's normal range exp gives 0.
func (j *judge) least(name string) float64 {
	switch {
	case j.dtype == tensor.Float64:
		return 0x1p-1022
	case j.dtype == tensor.Float16 && slices.Contains([]string{"o", "dq", "dk", "dv"}, name):
		return 0x1p-24
	}
	return 0x1p-126
}

// lost is what a result's elements may lack where terms of their sums fell below the
// range.
func (j *judge) lost() float64 {
	if j.dtype == tensor.Float64 {
		return float64(j.terms) * 0x1p-1022
	}
	return float64(j.terms) * 0x1p-126
}

// judge compares a result, and besides the whole of it the parts in which large
// entries elsewhere would hide an error.
func (j *judge) judge(name string, got, want []float64) []finding {
	all := head{parallel: slices.ContainsFunc(j.heads, func(h head) bool { return h.parallel })}
	whole := j.compare(name, "", all, got, want)
	if len(got) != len(want) {
		return []finding{whole}
	}
	var findings []finding
	part := func(title string, h head, indices iter.Seq[int]) {
		var x, y []float64
		for i := range indices {
			x, y = append(x, got[i]), append(y, want[i])
		}
		if len(y) > 0 {
			findings = append(findings, j.compare(name, title, h, x, y))
		}
	}
	switch n := len(j.heads); {
	case name == "dg":
		// Heads where dg vanishes would be noise in what others show.
		sound := func(i int) bool { return !j.heads[i%n].vanishing }
		part("", all, where(len(want), sound))
		for h, kind := range j.heads {
			part(fmt.Sprintf("head %d", h), kind, indices(h, len(want), n))
		}
		part(fmt.Sprintf("tokens with g < %d", strong), all, where(len(want), func(i int) bool { return j.g[i] < strong && sound(i) }))
	case j.lone[name] != nil:
		rows := j.lone[name]
		width := len(want) / len(rows)
		findings = append(findings, whole)
		part("zero rows", all, where(len(want), func(i int) bool { return rows[i/width] }))
		part("other rows", all, where(len(want), func(i int) bool { return !rows[i/width] }))
	default:
		findings = append(findings, whole)
	}
	return findings
}

// compare compares a result, or a part of it that belongs to such heads.
func (j *judge) compare(name, part string, h head, got, want []float64) finding {
	var f finding
	switch {
	case name != "dg" || !h.vanishing:
		f = compare(got, want, tolerance(j.dtype, name, h.parallel), j.least(name), j.lost())
	case j.dtype == tensor.Float64:
		f = compareAbsolute(got, want, vanishing64)
	default:
		f = compareAbsolute(got, want, vanishing)
	}
	f.part = part
	return f
}

// indices are those from lo on, below n, in steps.
func indices(lo, n, step int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := lo; i < n && yield(i); i += step {
		}
	}
}

// where are the indices below n that are good.
func where(n int, good func(int) bool) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if good(i) && !yield(i) {
				return
			}
		}
	}
}
