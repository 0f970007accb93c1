package gateddelta

import (
	"fmt"
	"math"
	"testing"
)

// problem is one application of the rule with the gradients of its results, in
// row-major float64 slices of the shapes in the package documentation.
type problem struct {
	B, T, Hk, Hv, K, V int
	scale              float64 // 0 means K^-1/2
	cu                 []int   // offsets of packed sequences; nil: a batch

	q, k, v, g, β  []float64
	h0             []float64 // nil: absent
	do, dht        []float64 // nil: absent
	wantFinalState bool      // ask for ht even without dht
	l2eps          float64   // > 0: q and k are normalised with it before the rule
	noDelta        bool      // values are written as they are

	name           string
	degenerateKeys bool // nearly parallel keys that are written with β >= 1
	vanishingDg    bool // the true dg is rounding noise after the first token
}

func (p problem) String() string {
	return fmt.Sprintf("%s-B%d-T%d-H%d.%d-K%d-V%d", p.name, p.B, p.T, p.Hk, p.Hv, p.K, p.V)
}

// result holds outputs and gradients by the names of the golden files.
type result map[string][]float64

// resultNames are the keys of a result in the order in which they are reported.
var resultNames = []string{"o", "ht", "dq", "dk", "dv", "dg", "dbeta", "dh0"}

// solve is the oracle: the recurrence and its backward pass, token by token in
// float64, written with loops and nothing else.
func (p problem) solve() result {
	if p.cu != nil {
		return p.separately(problem.solve)
	}
	res := result{
		"o": make([]float64, len(p.v)), "ht": make([]float64, p.B*p.Hv*p.K*p.V),
		"dq": make([]float64, len(p.q)), "dk": make([]float64, len(p.k)), "dv": make([]float64, len(p.v)),
		"dg": make([]float64, len(p.g)), "dbeta": make([]float64, len(p.β)), "dh0": make([]float64, p.B*p.Hv*p.K*p.V),
	}
	for b := range p.B {
		for h := range p.Hv {
			p.solveHead(b, h, res)
		}
	}
	return res
}

// solveHead works on one value head: states are [K][V] matrices by rows.
func (p problem) solveHead(b, h int, res result) {
	K, V, T := p.K, p.V, p.T
	s := p.scale
	if s == 0 {
		s = 1 / math.Sqrt(float64(K))
	}
	corrects := 1.0
	if p.noDelta {
		corrects = 0
	}
	hk := h / (p.Hv / p.Hk)
	key := func(x []float64, t int) []float64 { i := ((b*T+t)*p.Hk + hk) * K; return x[i : i+K] }
	val := func(x []float64, t int) []float64 { i := ((b*T+t)*p.Hv + h) * V; return x[i : i+V] }
	gate := func(t int) int { return (b*T+t)*p.Hv + h }
	state := (b*p.Hv + h) * K * V

	S := make([]float64, K*V)
	if p.h0 != nil {
		copy(S, p.h0[state:])
	}
	Sds, Ss, es := make([][]float64, T), make([][]float64, T), make([][]float64, T)
	for t := range T {
		q, k, v, o := key(p.q, t), key(p.k, t), val(p.v, t), val(res["o"], t)
		a, β := math.Exp(p.g[gate(t)]), p.β[gate(t)]
		Sd, next, e := make([]float64, K*V), make([]float64, K*V), make([]float64, V)
		for i := range Sd {
			Sd[i] = a * S[i]
		}
		copy(e, v)
		for i := range K {
			for j := range V {
				e[j] -= Sd[i*V+j] * k[i] * corrects
			}
		}
		for i := range K {
			for j := range V {
				next[i*V+j] = Sd[i*V+j] + k[i]*β*e[j]
				o[j] += s * next[i*V+j] * q[i]
			}
		}
		Sds[t], Ss[t], es[t] = Sd, next, e
		S = next
	}
	copy(res["ht"][state:], S)

	dS := make([]float64, K*V)
	if p.dht != nil {
		copy(dS, p.dht[state:])
	}
	for t := T - 1; t >= 0; t-- {
		q, k := key(p.q, t), key(p.k, t)
		dq, dk, dv := key(res["dq"], t), key(res["dk"], t), val(res["dv"], t)
		Sd, S, e := Sds[t], Ss[t], es[t]
		a, β := math.Exp(p.g[gate(t)]), p.β[gate(t)]
		if p.do != nil {
			do := val(p.do, t)
			for i := range K {
				for j := range V {
					dS[i*V+j] += s * q[i] * do[j]
					dq[i] += s * S[i*V+j] * do[j]
				}
			}
		}
		dd := make([]float64, V)
		for i := range K {
			for j := range V {
				dd[j] += dS[i*V+j] * k[i]
			}
		}
		for j := range V {
			dv[j] = β * dd[j]
			res["dbeta"][gate(t)] += dd[j] * e[j]
		}
		for i := range K {
			for j := range V {
				dk[i] += dS[i*V+j]*β*e[j] - β*Sd[i*V+j]*dd[j]*corrects
				dSd := dS[i*V+j] - β*k[i]*dd[j]*corrects
				res["dg"][gate(t)] += dSd * Sd[i*V+j]
				dS[i*V+j] = a * dSd
			}
		}
	}
	copy(res["dh0"][state:], dS)
}

// TestOracle holds the oracle's gradients against central differences of its own
// forward pass, for every element of every input.
func TestOracle(t *testing.T) {
	for _, p := range []problem{
		sample(1, sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 3, V: 2, gate: "logsigmoid", h0: true, dht: true}),
		sample(2, sampling{B: 1, T: 3, Hk: 2, Hv: 6, K: 2, V: 3, gate: "mild", beta: "2sigmoid", h0: true, dht: true}),
		sample(3, sampling{B: 1, T: 5, Hk: 1, Hv: 1, K: 2, V: 2, gate: "zero", beta: "one"}),
		sample(4, sampling{B: 1, T: 4, Hk: 1, Hv: 2, K: 2, V: 3, noDelta: true, h0: true, dht: true}),
	} {
		t.Run(p.String(), func(t *testing.T) {
			loss := func() float64 {
				r, sum := p.solve(), 0.0
				for i, d := range p.do {
					sum += r["o"][i] * d
				}
				for i, d := range p.dht {
					sum += r["ht"][i] * d
				}
				return sum
			}
			want := p.solve()
			for name, x := range map[string][]float64{"dq": p.q, "dk": p.k, "dv": p.v, "dg": p.g, "dbeta": p.β, "dh0": p.h0} {
				for i := range x {
					const step = 1e-5
					at := x[i]
					x[i] = at + step
					up := loss()
					x[i] = at - step
					down := loss()
					x[i] = at
					if got := (up - down) / (2 * step); math.Abs(got-want[name][i]) > 1e-8 {
						t.Errorf("%s[%d]: %.10g by differences, %.10g by the oracle", name, i, got, want[name][i])
					}
				}
			}
		})
	}
}
