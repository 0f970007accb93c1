package gateddelta

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// sampling says how to draw a problem. Empty kinds mean gate "mild", beta
// "sigmoid" and random keys of unit length.
type sampling struct {
	B, T, Hk, Hv, K, V int

	// gate is zero, mild (logsigmoid(N)/16), logsigmoid, a16 (−16 softplus(N/2+1),
	// as Qwen starts its strongest heads), all-30, token-100 (one token among mild
	// ones), reset (−1000 on some tokens among mild ones) or inf (−∞ on them).
	gate string
	// beta is zero, sigmoid, one or 2sigmoid.
	beta string
	// keys is random, identical, collinear (one direction, both signs) or zero.
	keys string

	cu      []int // offsets of packed sequences, B = 1; T may lie beyond the last
	h0, dht bool
	noDo    bool // no gradient reaches O
	noDelta bool
}

// sample draws a problem. All values are float32 numbers, so that every dtype's
// run starts from the same problem; the gradients of the results are normal.
func sample(seed uint64, c sampling) problem {
	orDefault := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	orDefault(&c.gate, "mild")
	orDefault(&c.beta, "sigmoid")
	orDefault(&c.keys, "random")
	p := problem{B: c.B, T: c.T, Hk: c.Hk, Hv: c.Hv, K: c.K, V: c.V, cu: c.cu, noDelta: c.noDelta}
	p.name = fmt.Sprintf("g_%s-beta_%s-keys_%s", c.gate, c.beta, c.keys)
	p.degenerateKeys = (c.keys == "identical" || c.keys == "collinear") && (c.beta == "one" || c.beta == "2sigmoid")
	p.vanishingDg = (c.keys == "identical" || c.keys == "collinear") && c.beta == "one" && c.gate == "a16"

	r := rand.New(rand.NewPCG(seed, 0))
	draw := func(n int, f func(i int) float64) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(float32(f(i)))
		}
		return x
	}
	normal := func(int) float64 { return r.NormFloat64() }
	unit := func(n int) []float64 { return unitRows(draw(n, normal), c.K) }

	keys := c.B * c.T * c.Hk * c.K
	p.q, p.k = unit(keys), unit(keys)
	switch c.keys {
	case "identical", "collinear":
		direction := unit(c.K)
		for i := range p.k {
			if c.keys == "collinear" && i%c.K == 0 && r.IntN(2) == 0 {
				for j := range direction {
					direction[j] = -direction[j]
				}
			}
			p.k[i] = direction[i%c.K]
		}
	case "zero":
		clear(p.k)
	}
	p.v = draw(c.B*c.T*c.Hv*c.V, normal)

	gates := c.B * c.T * c.Hv
	some := r.IntN(7)
	p.g = draw(gates, func(i int) float64 {
		x := r.NormFloat64()
		token := i / c.Hv % c.T
		mild := -softplus(-x) / 16
		switch c.gate {
		case "zero":
			return 0
		case "mild":
			return mild
		case "logsigmoid":
			return -softplus(-x)
		case "a16":
			return -16 * softplus(x/2+1)
		case "all-30":
			return -30
		case "token-100":
			if token == c.T/2 {
				return -100
			}
			return mild
		case "reset", "inf":
			if token%7 == some {
				return map[string]float64{"reset": -1000, "inf": math.Inf(-1)}[c.gate]
			}
			return mild
		}
		panic("unknown gate " + c.gate)
	})
	p.β = draw(gates, func(int) float64 {
		switch c.beta {
		case "zero":
			return 0
		case "one":
			return 1
		case "sigmoid":
			return 1 / (1 + math.Exp(-r.NormFloat64()))
		case "2sigmoid":
			return 2 / (1 + math.Exp(-r.NormFloat64()))
		}
		panic("unknown beta " + c.beta)
	})
	states := p.states() * c.Hv * c.K * c.V
	if c.h0 {
		p.h0 = draw(states, normal)
	}
	if c.dht {
		p.dht = draw(states, normal)
	}
	if !c.noDo {
		p.do = draw(len(p.v), normal)
	}
	return p
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// unitRows scales rows of n elements to unit length, as float32 numbers.
func unitRows(x []float64, n int) []float64 {
	for i := 0; i < len(x); i += n {
		sum := 1e-6
		for _, v := range x[i : i+n] {
			sum += v * v
		}
		for j := range n {
			x[i+j] = float64(float32(x[i+j] / math.Sqrt(sum)))
		}
	}
	return x
}
