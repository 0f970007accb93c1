package gateddelta

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
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
	if p.l2eps > 0 {
		return p.solveNormalised()
	}
	if p.cu != nil {
		return p.separately(problem.solve)
	}
	res := result{
		"o": make([]float64, len(p.v)), "ht": make([]float64, p.B*p.Hv*p.K*p.V),
		"dq": make([]float64, len(p.q)), "dk": make([]float64, len(p.k)), "dv": make([]float64, len(p.v)),
		"dg": make([]float64, len(p.g)), "dbeta": make([]float64, len(p.β)), "dh0": make([]float64, p.B*p.Hv*p.K*p.V),
	}
	var groups sync.WaitGroup // of value heads, which share dq and dk
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range p.B * p.Hk {
		groups.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			x := newHead(p, i/p.Hk, i%p.Hk, res)
			for range p.Hv / p.Hk {
				x.solve()
				x.h++
			}
		})
	}
	groups.Wait()
	return res
}

// oracleBlock is the number of tokens that the oracle keeps the states of.
const oracleBlock = 32

// head is one value head of a problem. States are [K][V] matrices by rows.
type head struct {
	problem
	b, h, hk int
	res      result

	// Of each token of a block: the state after its decay, the state after it, and
	// the error e.
	decayed, after, errors []float64
}

// newHead returns the first value head of a key head.
func newHead(p problem, b, hk int, res result) *head {
	if p.scale == 0 {
		p.scale = 1 / math.Sqrt(float64(p.K))
	}
	n := min(p.T, oracleBlock)
	return &head{
		problem: p, b: b, h: hk * (p.Hv / p.Hk), hk: hk, res: res,
		decayed: make([]float64, n*p.K*p.V), after: make([]float64, n*p.K*p.V), errors: make([]float64, n*p.V),
	}
}

func (x *head) key(a []float64, t int) []float64 {
	return a[((x.b*x.T+t)*x.Hk+x.hk)*x.K:][:x.K]
}

func (x *head) value(a []float64, t int) []float64 {
	return a[((x.b*x.T+t)*x.Hv+x.h)*x.V:][:x.V]
}

func (x *head) gate(t int) int { return (x.b*x.T+t)*x.Hv + x.h }

func (x *head) state(a []float64) []float64 {
	n := x.K * x.V
	return a[(x.b*x.Hv+x.h)*n:][:n]
}

// solve goes forward, keeping the states at the starts of blocks, and back, for
// which it goes through each block again.
func (x *head) solve() {
	S, dS := make([]float64, x.K*x.V), make([]float64, x.K*x.V)
	if x.h0 != nil {
		copy(S, x.state(x.h0))
	}
	if x.dht != nil {
		copy(dS, x.state(x.dht))
	}
	var starts [][]float64
	for lo := 0; lo < x.T; lo += oracleBlock {
		starts = append(starts, slices.Clone(S))
		S = x.forward(S, lo)
	}
	copy(x.state(x.res["ht"]), S)
	for i, start := range slices.Backward(starts) {
		if i+1 < len(starts) {
			x.forward(start, i*oracleBlock)
		}
		x.backward(dS, i*oracleBlock)
	}
	copy(x.state(x.res["dh0"]), dS)
}

// forward takes the state S through the block from lo on and returns the state
// after it, which the next block overwrites.
func (x *head) forward(S []float64, lo int) []float64 {
	K, V := x.K, x.V
	for t := lo; t < min(lo+oracleBlock, x.T); t++ {
		q, k, o := x.key(x.q, t), x.key(x.k, t), x.value(x.res["o"], t)
		a, β := math.Exp(x.g[x.gate(t)]), x.β[x.gate(t)]
		Sd, e, after := x.decayed[(t-lo)*K*V:][:K*V], x.errors[(t-lo)*V:][:V], x.after[(t-lo)*K*V:][:K*V]
		for i := range S {
			Sd[i] = a * S[i]
		}
		copy(e, x.value(x.v, t))
		if !x.noDelta {
			for i, ki := range k {
				for j, s := range Sd[i*V:][:V] {
					e[j] -= s * ki
				}
			}
		}
		clear(o)
		for i := range K {
			row, ki, qi := after[i*V:][:V], k[i]*β, x.scale*q[i]
			for j, s := range Sd[i*V:][:V] {
				s += ki * e[j]
				row[j] = s
				o[j] += s * qi
			}
		}
		S = after
	}
	return S
}

// backward takes the gradient dS of the state after the block from lo on to that
// of the state before it. Forward has been there last.
func (x *head) backward(dS []float64, lo int) {
	K, V := x.K, x.V
	dd := make([]float64, V)
	for t := min(lo+oracleBlock, x.T) - 1; t >= lo; t-- {
		q, k := x.key(x.q, t), x.key(x.k, t)
		dq, dk, dv := x.key(x.res["dq"], t), x.key(x.res["dk"], t), x.value(x.res["dv"], t)
		a, β := math.Exp(x.g[x.gate(t)]), x.β[x.gate(t)]
		Sd, e, after := x.decayed[(t-lo)*K*V:][:K*V], x.errors[(t-lo)*V:][:V], x.after[(t-lo)*K*V:][:K*V]
		if x.do != nil {
			do := x.value(x.do, t)
			for i := range K {
				row, qi, sum := dS[i*V:][:V], x.scale*q[i], 0.0
				for j, s := range after[i*V:][:V] {
					row[j] += qi * do[j]
					sum += s * do[j]
				}
				dq[i] += x.scale * sum
			}
		}
		clear(dd)
		for i, ki := range k {
			for j, s := range dS[i*V:][:V] {
				dd[j] += s * ki
			}
		}
		var dβ, dg float64
		for j := range V {
			dv[j] = β * dd[j]
			dβ += dd[j] * e[j]
		}
		for i, ki := range k {
			row, sum := dS[i*V:][:V], 0.0
			for j, s := range Sd[i*V:][:V] {
				dSd := row[j]
				sum += dSd * β * e[j]
				if !x.noDelta {
					sum -= s * dv[j]
					dSd -= ki * dv[j]
				}
				dg += dSd * s
				row[j] = a * dSd
			}
			dk[i] += sum
		}
		x.res["dbeta"][x.gate(t)], x.res["dg"][x.gate(t)] = dβ, dg
	}
}

// solveNormalised normalises queries and keys first, and takes their gradients
// back through that.
func (p problem) solveNormalised() result {
	inner := p
	inner.l2eps = 0
	inner.q, inner.k = make([]float64, len(p.q)), make([]float64, len(p.k))
	rowsOf := func(x []float64, row int) []float64 { return x[row*p.K:][:p.K] }
	// each calls f for all rows of queries or keys x, with 1/√(Σx² + ε).
	each := func(x []float64, f func(row int, inverse float64)) {
		for row := range len(x) / p.K {
			sum := p.l2eps
			for _, v := range rowsOf(x, row) {
				sum += v * v
			}
			f(row, 1/math.Sqrt(sum))
		}
	}
	for _, x := range [][2][]float64{{p.q, inner.q}, {p.k, inner.k}} {
		each(x[0], func(row int, inverse float64) {
			for i, v := range rowsOf(x[0], row) {
				x[1][row*p.K+i] = v * inverse
			}
		})
	}
	res := inner.solve()
	for _, x := range [][3][]float64{{p.q, inner.q, res["dq"]}, {p.k, inner.k, res["dk"]}} {
		each(x[0], func(row int, inverse float64) {
			y, dy := rowsOf(x[1], row), rowsOf(x[2], row)
			var along float64
			for i := range y {
				along += y[i] * dy[i]
			}
			for i := range y {
				dy[i] = (dy[i] - along*y[i]) * inverse
			}
		})
	}
	return res
}

// normalised has the keys and queries of a problem normalised by the op, with a
// large ε that is felt.
func normalised(p problem) problem {
	p.l2eps = 0.5
	for i := range p.k {
		p.k[i], p.q[i] = 3*p.k[i], 2*p.q[i]
	}
	clear(p.k[:p.K])
	return p
}

// TestOracle holds the oracle's gradients against central differences of its own
// forward pass, for every element of every input.
func TestOracle(t *testing.T) {
	for _, p := range []problem{
		sample(1, sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 3, V: 2, gate: "logsigmoid", h0: true, dht: true}),
		sample(2, sampling{B: 1, T: 3, Hk: 2, Hv: 6, K: 2, V: 3, gate: "mild", beta: "2sigmoid", h0: true, dht: true}),
		sample(3, sampling{B: 1, T: 5, Hk: 1, Hv: 1, K: 2, V: 2, gate: "zero", beta: "one"}),
		sample(4, sampling{B: 1, T: 4, Hk: 1, Hv: 2, K: 2, V: 3, noDelta: true, h0: true, dht: true}),
		normalised(sample(5, sampling{B: 1, T: 3, Hk: 1, Hv: 2, K: 3, V: 2, h0: true, dht: true})),
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
