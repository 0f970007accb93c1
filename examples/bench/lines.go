package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/deltatape/deltatape/tensor"
)

// line is what rows have in common that differ in T alone, as the options say it.
type line struct {
	impl    string
	shape   shape // T is 0
	chunk   int
	dtype   tensor.Dtype
	pass    string
	scan    string
	threads int
}

// String describes the line without its shape and dtype.
func (l line) String() string {
	text := l.impl + " " + l.pass
	if l.chunk > 0 {
		text += fmt.Sprintf(", chunks of %d", l.chunk)
	}
	if l.scan != "" {
		text += ", " + l.scan
	}
	if l.threads > 0 {
		text += fmt.Sprintf(", threads: %d", l.threads)
	}
	return text
}

// setting describes shape and dtype.
func (l line) setting() string {
	return fmt.Sprintf("%s %s", strings.Replace(l.shape.String(), ",0,", ",T,", 1), l.dtype)
}

// curve is a line with its rows by rising length.
type curve struct {
	line
	rows []row
}

// curves sorts rows into curves, in the order of their first rows.
func curves(rows []row) []curve {
	var all []curve
	for _, r := range rows {
		i := slices.IndexFunc(all, func(c curve) bool { return c.line == r.line })
		if i < 0 {
			i = len(all)
			all = append(all, curve{line: r.line})
		}
		all[i].rows = append(all[i].rows, r)
	}
	for _, c := range all {
		slices.SortFunc(c.rows, func(a, b row) int { return a.Shape.T() - b.Shape.T() })
	}
	return all
}

// crossovers tells, for each curve of the rule, how it compares with sdpa: its
// speed as a multiple at each length by the fastest runs, and the length from
// which on it is faster.
func crossovers(rows []row) string {
	var text strings.Builder
	all := curves(rows)
	for _, c := range all {
		rival := slices.IndexFunc(all, func(other curve) bool {
			return other.line == line{impl: sdpa, shape: c.shape, dtype: c.dtype, pass: c.pass}
		})
		if c.impl == sdpa || rival < 0 {
			continue
		}
		var lengths, ratios []float64
		fmt.Fprintf(&text, "%s at %s against sdpa:", c, c.setting())
		for _, r := range c.rows {
			for _, attention := range all[rival].rows {
				if attention.Shape == r.Shape {
					lengths, ratios = append(lengths, float64(r.Shape.T())), append(ratios, attention.MsMin/r.MsMin)
					fmt.Fprintf(&text, " %.3gx at T=%d,", attention.MsMin/r.MsMin, r.Shape.T())
				}
			}
		}
		fmt.Fprintf(&text, " %s\n", verdict(lengths, ratios))
	}
	return text.String()
}

// verdict says from which length on all ratios are above 1.
func verdict(lengths, ratios []float64) string {
	last := len(ratios) - 1
	for last >= 0 && ratios[last] > 1 {
		last--
	}
	switch {
	case last < 0:
		return "faster at each of these lengths"
	case last == len(ratios)-1:
		return "not faster at the longest"
	}
	// The crossing of 1 on a straight line between logarithms.
	low, high := math.Log(ratios[last]), math.Log(ratios[last+1])
	share := low / (low - high)
	at := math.Exp(math.Log(lengths[last])*(1-share) + math.Log(lengths[last+1])*share)
	return fmt.Sprintf("faster from T of about %.0f on", at)
}
