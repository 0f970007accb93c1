package main

import (
	"math"
	"slices"
)

// head is what a value head's data say about the accuracy to expect. The data
// decide, not the words for them in the metadata.
type head struct {
	// parallel: the keys of a sequence are identical, but for sign and length, and
	// some are written with β >= 1.
	parallel bool
	// vanishing: besides, the keys have unit length but for rounding, all β are 1
	// and gates are those of A = 16, so that each token erases what the others wrote
	// and dg is rounding noise after the first.
	vanishing bool
}

// newJudge looks for what the tolerances depend on.
func newJudge(f *fixture, v variant) (*judge, error) {
	data := map[string][]float64{}
	for _, name := range []string{"q", "k", "g", "beta"} {
		x, err := elements(f.inputs[name])
		if err != nil {
			return nil, err
		}
		data[name] = x
	}
	j := &judge{dtype: v.dtype, g: data["g"], heads: headsOf(f, data["k"], data["g"], data["beta"])}
	j.terms = f.inputs["k"].Dim(-1) * f.inputs["v"].Dim(-1)
	if f.l2norm {
		j.lone = map[string][]bool{"dq": zeroRows(f, data["q"]), "dk": zeroRows(f, data["k"])}
	}
	return j, nil
}

// headsOf looks at keys [B, T, Hk, K] and at gates and β [B, T, Hv].
func headsOf(f *fixture, k, g, β []float64) []head {
	Hk, Hv, K := f.sizes["Hk"], f.sizes["Hv"], f.sizes["K"]
	heads := make([]head, Hv)
	sequences := f.sequences()
	for h := range heads {
		hk := h / (Hv / Hk)
		some, every := false, true // of the sequences
		for _, s := range sequences {
			if s.end-s.start < 2 {
				continue
			}
			var direction []float64
			parallel, equal, low, high, sum := true, true, math.Inf(1), math.Inf(-1), 0.0
			for t := s.start; t < s.end; t++ {
				key := k[(t*Hk+hk)*K:][:K]
				if direction == nil && largest(key) > 0 {
					direction = key
				}
				parallel = parallel && alongside(direction, key, roundedToHalf)
				equal = equal && f.unit(key) && alongside(direction, key, roundedToSingle)
				i := t*Hv + h
				low, high, sum = min(low, β[i]), max(high, β[i]), sum+g[i]
			}
			parallel = parallel && direction != nil && high >= 1
			some = some || parallel
			every = every && parallel && equal && low == 1 && high == 1 && ofStrongestHead(sum/float64(s.end-s.start))
		}
		heads[h] = head{parallel: some, vanishing: some && every}
	}
	return heads
}

// span is a sequence among the B·T tokens.
type span struct{ start, end int }

// sequences returns all of them, empty ones included.
func (f *fixture) sequences() []span {
	var list []span
	if f.cuSeqlens == nil {
		for b := range f.sizes["B"] {
			list = append(list, span{b * f.sizes["T"], (b + 1) * f.sizes["T"]})
		}
		return list
	}
	for i, end := range f.cuSeqlens[1:] {
		list = append(list, span{f.cuSeqlens[i], end})
	}
	return list
}

// Slack for the squares of cosines and lengths.
const (
	roundedToHalf   = 1e-5 // what bfloat16 does to them
	roundedToSingle = 1e-10
	nearlyUnit      = 1e-2 // what bfloat16 and the ε of the norm do to a length of 1
)

// unit reports whether the rule sees the key with length 1.
func (f *fixture) unit(key []float64) bool {
	var square float64
	for _, x := range key {
		square += x * x
	}
	if f.l2norm {
		square /= square + f.eps
	}
	return math.Abs(square-1) <= nearlyUnit
}

// alongside reports whether two vectors have one direction, but for sign and some
// slack. A zero vector has every direction.
func alongside(a, b []float64, slack float64) bool {
	var ab, aa, bb float64
	for i, x := range a {
		ab += x * b[i]
		aa += x * x
		bb += b[i] * b[i]
	}
	return ab*ab >= (1-slack)*aa*bb
}

// ofStrongestHead reports whether a mean log decay is that of gates
// −A·softplus(N/2 + 1) with A = 16, which is −21.7. That of A = 8 is −10.9.
func ofStrongestHead(mean float64) bool { return mean > -28 && mean < -16 }

// zeroRows reports of each sampled row of x [B, T, Hk, K] whether it is zero.
func zeroRows(f *fixture, x []float64) []bool {
	if f.sampled != nil {
		x = f.sample(x)
	}
	var zero []bool
	for row := range slices.Chunk(x, f.sizes["K"]) {
		zero = append(zero, largest(row) == 0)
	}
	return zero
}
