package cpukernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/internal/cpukernel"
)

// problem is a rule with its arrays.
type problem struct {
	cpukernel.Rule
	in   cpukernel.Operands
	out  cpukernel.Results
	grad cpukernel.Gradients
}

// array is filled with NaN.
func array(n int) []float32 {
	if n == 0 {
		return nil
	}
	return slices.Repeat([]float32{float32(math.NaN())}, n)
}

func newProblem(r cpukernel.Rule) *problem {
	p := &problem{Rule: r}
	draw := rand.New(rand.NewPCG(1, 2))
	drawn := func(n int, f func(x float64) float64) []float32 {
		x := array(n)
		for i := range x {
			x[i] = float32(f(draw.NormFloat64()))
		}
		return x
	}
	normal := func(x float64) float64 { return x }
	sequences, hv := len(r.Offsets)-1, r.HK*r.R
	tokens := r.Offsets[sequences]
	keys, values, gates, states := tokens*r.HK*r.DK, tokens*hv*r.DV, tokens*hv, sequences*hv*r.DK*r.DV
	key := func(x float64) float64 { return x / math.Sqrt(float64(r.DK)) }
	p.in = cpukernel.Operands{
		Q: drawn(keys, normal), K: drawn(keys, key), V: drawn(values, normal), H0: drawn(states, normal),
		G:    drawn(gates, func(x float64) float64 { return -math.Log1p(math.Exp(x - 2)) }),
		Beta: drawn(gates, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }),
	}
	p.out = cpukernel.Results{O: array(values), HT: array(states), Starts: array(r.Starts() * hv * r.DK * r.DV)}
	p.grad = cpukernel.Gradients{
		O: drawn(values, normal), HT: drawn(states, normal),
		Q: array(keys), K: array(keys), V: array(values), G: array(gates), Beta: array(gates), H0: array(states),
	}
	return p
}

func (p *problem) run() {
	p.Forward(p.in, p.out)
	p.Backward(p.in, p.out.Starts, p.grad)
}

// results are all that is written.
func (p *problem) results() map[string][]float32 {
	return map[string][]float32{
		"o": p.out.O, "ht": p.out.HT,
		"dq": p.grad.Q, "dk": p.grad.K, "dv": p.grad.V, "dg": p.grad.G, "dbeta": p.grad.Beta, "dh0": p.grad.H0,
	}
}

// oracle goes token by token in float64, forward and back.
func (p *problem) oracle() map[string][]float64 {
	like := func(x []float32) []float64 { return make([]float64, len(x)) }
	w := map[string][]float64{}
	for name, x := range p.results() {
		w[name] = like(x)
	}
	hv, K, V := p.HK*p.R, p.DK, p.DV
	for n, end := range p.Offsets[1:] {
		for h := range hv {
			lo, s0 := p.Offsets[n], (n*hv+h)*K*V
			S := make([]float64, K*V)
			for i := range S {
				S[i] = float64(p.in.H0[s0+i])
			}
			var before, after, errs [][]float64
			at := func(t int) (k, v, g int) { return (t*p.HK + h/p.R) * K, (t*hv + h) * V, t*hv + h }
			for t := lo; t < end; t++ {
				k, v, g := at(t)
				e := make([]float64, V)
				for i := range S {
					S[i] *= math.Exp(float64(p.in.G[g]))
					e[i%V] -= S[i] * float64(p.in.K[k+i/V])
				}
				before = append(before, slices.Clone(S))
				for j := range e {
					if e[j] += float64(p.in.V[v+j]); p.NoDelta {
						e[j] = float64(p.in.V[v+j])
					}
				}
				for i := range S {
					S[i] += float64(p.in.K[k+i/V]) * float64(p.in.Beta[g]) * e[i%V]
					w["o"][v+i%V] += float64(p.Scale) * S[i] * float64(p.in.Q[k+i/V])
				}
				after, errs = append(after, slices.Clone(S)), append(errs, e)
			}
			copy(w["ht"][s0:], S)
			d := make([]float64, K*V)
			for i := range d {
				d[i] = float64(p.grad.HT[s0+i])
			}
			for t := end - 1; t >= lo; t-- {
				k, v, g := at(t)
				dd := make([]float64, V)
				β, decay := float64(p.in.Beta[g]), math.Exp(float64(p.in.G[g]))
				for i := range d {
					do := float64(p.grad.O[v+i%V])
					d[i] += float64(p.Scale) * float64(p.in.Q[k+i/V]) * do
					w["dq"][k+i/V] += float64(p.Scale) * after[t-lo][i] * do
					dd[i%V] += d[i] * float64(p.in.K[k+i/V])
				}
				for j := range dd {
					w["dv"][v+j] = β * dd[j]
					w["dbeta"][g] += dd[j] * errs[t-lo][j]
				}
				for i := range d {
					w["dk"][k+i/V] += d[i] * β * errs[t-lo][i%V]
					if !p.NoDelta {
						w["dk"][k+i/V] -= β * before[t-lo][i] * dd[i%V]
						d[i] -= β * float64(p.in.K[k+i/V]) * dd[i%V]
					}
					w["dg"][g] += d[i] * before[t-lo][i]
					d[i] *= decay
				}
			}
			copy(w["dh0"][s0:], d)
		}
	}
	return w
}

// TestRule holds every set of instructions to the definition.
func TestRule(t *testing.T) {
	for _, r := range []cpukernel.Rule{
		{HK: 1, R: 1, DK: 16, DV: 16, Offsets: []int{0, 16}, Chunk: 16, Segment: 1},
		{HK: 2, R: 3, DK: 20, DV: 12, Offsets: []int{0, 50, 100}, Chunk: 16, Segment: 2},
		{HK: 1, R: 2, DK: 33, DV: 65, Offsets: []int{0, 0, 1, 130, 130}, Chunk: 32, Segment: 3},
		{HK: 1, R: 2, DK: 128, DV: 128, Offsets: []int{0, 150}, Chunk: 64, Segment: 16},
		{HK: 2, R: 1, DK: 1, DV: 1, Offsets: []int{0, 200}, Chunk: 128, Segment: 1},
		{HK: 2, R: 2, DK: 24, DV: 40, Offsets: []int{0, 90}, Chunk: 48, Segment: 1, NoDelta: true},
	} {
		r.Scale, r.Threads = 0.3, 2
		var want map[string][]float64
		for r.Level = range cpukernel.Levels() {
			t.Run(fmt.Sprintf("%+v", r), func(t *testing.T) {
				p := newProblem(r)
				p.run()
				if want == nil {
					want = p.oracle()
				}
				for name, got := range p.results() {
					var diff, norm float64
					for i, w := range want[name] {
						diff += (float64(got[i]) - w) * (float64(got[i]) - w)
						norm += w * w
					}
					if e := math.Sqrt(diff / norm); !(e <= 2e-6) {
						t.Errorf("%s: relative error %.2g, want at most 2e-6", name, e)
					}
				}
			})
		}
	}
}

// TestThreads wants the same bits from any number of threads, and in each run.
func TestThreads(t *testing.T) {
	r := cpukernel.Rule{HK: 3, R: 2, DK: 32, DV: 48, Offsets: []int{0, 70, 75, 200}, Chunk: 32, Segment: 2, Scale: 1, Level: cpukernel.Levels() - 1}
	var first map[string][]float32
	for _, r.Threads = range []int{1, 2, 3, 2, 100} {
		p := newProblem(r)
		p.run()
		if first == nil {
			first = p.results()
		}
		for name, got := range p.results() {
			if !slices.Equal(got, first[name]) {
				t.Errorf("%s differs on %d threads", name, r.Threads)
			}
		}
	}
}

// TestAbsent wants no gradients of outputs to be as good as zeros, and leaves out the
// gradient of H0.
func TestAbsent(t *testing.T) {
	r := cpukernel.Rule{HK: 1, R: 2, DK: 16, DV: 16, Offsets: []int{0, 40}, Chunk: 16, Segment: 2, Scale: 1, Threads: 1}
	p, q := newProblem(r), newProblem(r)
	for _, x := range [][]float32{p.grad.HT, p.in.H0} {
		clear(x)
	}
	q.grad.HT, q.in.H0 = nil, nil
	q.grad.H0, q.out.HT = nil, nil
	p.run()
	q.run()
	want := p.results()
	for name, got := range q.results() {
		if got != nil && !slices.Equal(got, want[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// TestOutside wants zeros for tokens in no sequence.
func TestOutside(t *testing.T) {
	p := newProblem(cpukernel.Rule{HK: 2, R: 1, DK: 16, DV: 8, Offsets: []int{2, 20, 25}, Chunk: 16, Segment: 2, Scale: 1, Threads: 2})
	p.Offsets = p.Offsets[:2]
	p.in.H0, p.grad.H0 = p.in.H0[:2*16*8], p.grad.H0[:2*16*8]
	p.out.HT, p.grad.HT = nil, nil
	p.run()
	got := p.results()
	delete(got, "dh0")
	for name, x := range got {
		for i, v := range x {
			if token := i * 25 / len(x); (v == 0) != (token < 2 || token >= 20) {
				t.Errorf("%s of token %d is %v", name, token, v)
				break
			}
		}
	}
}

// TestStrongGates wants what a gate of -Inf leaves to be numbers.
func TestStrongGates(t *testing.T) {
	p := newProblem(cpukernel.Rule{HK: 1, R: 1, DK: 16, DV: 16, Offsets: []int{0, 100}, Chunk: 32, Segment: 2, Scale: 1, Threads: 1})
	for i := 0; i < len(p.in.G); i += 3 {
		p.in.G[i] = float32(math.Inf(-1))
	}
	p.run()
	for name, x := range p.results() {
		if slices.ContainsFunc(x, func(v float32) bool { return math.IsNaN(float64(v)) }) {
			t.Errorf("%s has a NaN", name)
		}
	}
}

func TestMistakes(t *testing.T) {
	good := cpukernel.Rule{HK: 1, R: 1, DK: 16, DV: 16, Offsets: []int{0, 16}, Chunk: 16, Segment: 1}
	p := newProblem(good)
	for want, change := range map[string]func(*cpukernel.Rule){
		"a size is out of range":          func(r *cpukernel.Rule) { r.Chunk = 20 },
		"tokens 0 to 17, and the arrays":  func(r *cpukernel.Rule) { r.Offsets = []int{0, 17} },
		"the offsets [0 20 16] fall":      func(r *cpukernel.Rule) { r.Offsets = []int{0, 20, 16} },
		"V has 256 elements, want 320":    func(r *cpukernel.Rule) { r.DV = 20 },
		"H0 has 256 elements, want 512":   func(r *cpukernel.Rule) { r.Offsets = []int{0, 8, 16} },
		"Starts has 0 elements, want 256": func(*cpukernel.Rule) {},
	} {
		r := good
		change(&r)
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("%s, want %q", got, want)
				}
			}()
			in, out := p.in, p.out
			if strings.HasPrefix(want, "the offsets") {
				in.H0, out.HT = nil, nil
			}
			if strings.HasPrefix(want, "Starts") {
				in.G, in.Beta, out.O = slices.Repeat(in.G, 2), slices.Repeat(in.Beta, 2), slices.Repeat(out.O, 2)
				in.Q, in.K, in.V = slices.Repeat(in.Q, 2), slices.Repeat(in.K, 2), slices.Repeat(in.V, 2)
				r.Offsets = []int{0, 32}
			}
			r.Forward(in, out)
		}()
	}
}
