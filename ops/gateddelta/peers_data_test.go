package gateddelta

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// full asks for the cases of other projects at their own lengths and with every
// variant (make test-full). That takes hours on a CPU and up to 20 GB of memory.
// Without it lengths and batches are shortened, and variants take turns.
var full = flag.Bool("gateddelta.full", false, "run the cases taken over from other projects at full length")

// peerCase is a case of another project's tests.
type peerCase struct {
	B, T, Hk, Hv, D int     // D is K and V
	scale           float64 // 0 means D^-1/2
	norm            float64 // gates are divided by it; 0 means 1
	mask            float64 // this share of the gates is 0
	cu              []int   // offsets of packed sequences; B is 1 then, and T that of the last one unless given

	l2norm       bool // queries and keys are normalised by the op
	gate, bias   bool // gates are computed by the op, with dt_bias
	logits       bool // β is computed by the op from N(0, 1)
	doubled      bool // and doubled
	withoutState bool
}

func (c peerCase) String() string {
	s := fmt.Sprintf("B%d-T%d-H%d.%d-D%d", c.B, c.T, c.Hk, c.Hv, c.D)
	if c.cu != nil {
		s += fmt.Sprintf("-N%d", len(c.cu)-1)
	}
	for _, x := range []struct {
		name string
		is   bool
	}{{"l2norm", c.l2norm}, {"gate", c.gate}, {"bias", c.bias}, {"logits", c.logits}, {"doubled", c.doubled}, {"nostate", c.withoutState}} {
		if x.is {
			s += "-" + x.name
		}
	}
	return s
}

// sized completes the sizes, and shortens the axis of tokens unless all is asked
// for: long sequences become two chunks of 64 and leave over what they did after
// chunks of 16, 32 and 64; of more than two rows and of more than a thousand packed
// sequences the first are kept.
func (c peerCase) sized() peerCase {
	short := func(n int) int {
		if *full || n <= 128 {
			return n
		}
		return 65 + (n-1)%64
	}
	c.B = max(c.B, 1)
	if !*full {
		c.B = min(c.B, 2)
	}
	if c.cu == nil {
		c.T = short(c.T)
		return c
	}
	if !*full {
		c.cu = c.cu[:min(len(c.cu), 1001)]
	}
	last := c.cu[len(c.cu)-1]
	tail := max(c.T-last, 0)
	var lengths []int
	for i, end := range c.cu[1:] {
		lengths = append(lengths, short(end-c.cu[i]))
	}
	c.cu = offsets(lengths...)
	c.T = c.cu[len(c.cu)-1] + tail
	return c
}

// distribution draws a number.
type distribution func(*rand.Rand) float64

func uniform(r *rand.Rand) float64 { return r.Float64() }
func normal(r *rand.Rand) float64  { return r.NormFloat64() }

// peerData says how a project draws the data of its tests.
type peerData struct {
	qk           distribution
	unitQ, unitK bool // normalised before the rule, unless it is asked to
	v            distribution
	β, g         distribution // through a sigmoid and a logsigmoid
	h0           distribution
	dht          distribution
	aLog         distribution // of gates that are computed
	qwen         bool         // gates are −A softplus(N/2 + 1), with A uniform in 0 to 16 for each head
}

func zero(*rand.Rand) float64     { return 0 }
func eighth(r *rand.Rand) float64 { return r.NormFloat64() / 8 }

// logRate is that of A uniform between 1 and 16.
func logRate(r *rand.Rand) float64 { return math.Log(1 + 15*r.Float64()) }

var (
	// flash-linear-attention's tests of its chunk form, whose keys are positive and
	// thus strongly correlated; of its recurrent form; of packed sequences; and of
	// other implementations of both.
	flaChunk     = peerData{qk: uniform, unitQ: true, unitK: true, v: uniform, β: uniform, g: uniform, h0: zero, dht: normal, aLog: normal}
	flaRecurrent = peerData{qk: normal, v: normal, β: uniform, g: uniform, h0: normal, dht: normal, aLog: logRate}
	flaPacked    = peerData{qk: normal, unitK: true, v: normal, β: uniform, g: uniform, h0: normal, dht: uniform, aLog: normal}
	flaBackends  = peerData{qk: normal, v: normal, β: normal, g: normal, h0: normal, dht: normal}
	// FlashQLA's tests, and those of its port to MLX.
	flashQLA    = peerData{qk: normal, unitQ: true, unitK: true, v: normal, β: normal, h0: normal, dht: eighth, qwen: true}
	flashQLAMLX = peerData{qk: normal, unitK: true, v: normal, β: normal, g: normal, h0: normal, dht: normal}
)

// draw makes the problem of a case. In half precision, q, k, v and do and what
// the front end takes are numbers of that dtype.
func (d peerData) draw(t testing.TB, seed uint64, c peerCase, dtype tensor.Dtype) rawProblem {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	n := func(n int, f distribution) []float64 { return drawn(n, func(int) float64 { return f(r) }) }
	p := rawProblem{doubled: c.doubled, problem: problem{
		name: "peer", B: c.B, T: c.T, Hk: c.Hk, Hv: c.Hv, K: c.D, V: c.D, scale: c.scale, cu: c.cu,
	}}
	keys, values, gates := c.B*c.T*c.Hk*c.D, c.B*c.T*c.Hv*c.D, c.B*c.T*c.Hv
	p.q, p.k, p.v, p.do = n(keys, d.qk), n(keys, d.qk), n(values, d.v), n(values, normal)
	switch {
	case c.l2norm:
		p.l2eps = defaultL2NormEps
	default:
		if d.unitQ {
			p.q = unitRows(p.q, c.D)
		}
		if d.unitK {
			p.k = unitRows(p.k, c.D)
		}
	}
	p.β = drawn(gates, func(int) float64 { return 1 / (1 + math.Exp(-d.β(r))) })
	if c.logits {
		p.logits = n(gates, normal)
	}
	switch {
	case c.gate:
		p.a, p.aLog = n(gates, normal), n(c.Hv, d.aLog)
		if c.bias {
			p.dtBias = n(c.Hv, normal)
		}
		p.g = make([]float64, gates)
	case d.qwen:
		rates := make([]float64, c.Hv)
		for h := range rates {
			rates[h] = 16 * r.Float64()
		}
		rates[0], rates[c.Hv-1] = 0, 16
		p.g = drawn(gates, func(i int) float64 { return -rates[i%c.Hv] * softplus(r.NormFloat64()/2+1) })
	default:
		p.g = drawn(gates, func(int) float64 {
			if r.Float64() < c.mask {
				return 0
			}
			return -softplus(-d.g(r)) / cmp.Or(c.norm, 1)
		})
	}
	states := p.states() * c.Hv * c.D * c.D
	if !c.withoutState {
		p.h0 = n(states, d.h0)
	}
	p.dht = n(states, d.dht)
	if dtype == tensor.BFloat16 || dtype == tensor.Float16 {
		p.round(t, dtype)
	}
	return p
}
