package gateddelta

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// TestPeerGate holds the gate alone to its formula, with its three gradients.
func TestPeerGate(t *testing.T) {
	for i, c := range []struct {
		B, T, Hv int
		bias     bool
	}{{1, 32, 2, false}, {2, 64, 4, true}, {4, 128, 8, true}, {4, 128, 16, false}} {
		for d, tol := range map[tensor.Dtype]float64{tensor.Float64: 1e-14, tensor.Float32: 1e-5} {
			t.Run(fmt.Sprintf("B%d-T%d-H%d/%s", c.B, c.T, c.Hv, d), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(i), 3))
				n := c.B * c.T * c.Hv
				p := rawProblem{problem: problem{Hv: c.Hv}}
				p.a, p.aLog = drawn(n, func(int) float64 { return normal(r) }), drawn(c.Hv, func(int) float64 { return logRate(r) })
				dg := drawn(n, func(int) float64 { return normal(r) })
				if c.bias {
					p.dtBias = drawn(c.Hv, func(int) float64 { return normal(r) })
				}
				want := p.gateGradients(dg, p.plain().g)
				want["g"] = p.plain().g

				tape := autograd.NewTape()
				defer tape.Close()
				leaves, names := []*autograd.Var{tape.Var(p.tensor(p.a, d, c.B, c.T, c.Hv)), tape.Var(p.tensor(p.aLog, d, c.Hv))}, []string{"da", "daLog"}
				var dtBias *autograd.Var
				if c.bias {
					dtBias = tape.Var(p.tensor(p.dtBias, d, c.Hv))
					leaves, names = append(leaves, dtBias), append(names, "ddtBias")
				}
				g := autograd.Apply(decayGate{d}, leaves[0], leaves[1], dtBias)[0]
				grads, err := tape.Grad([]*autograd.Var{g}, []*tensor.Tensor{p.tensor(dg, d, c.B, c.T, c.Hv)}, leaves...)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "g", read(t, g.Value()), want["g"], tol)
				for j, name := range names {
					near(t, name, read(t, grads[j]), want[name], tol)
				}
			})
		}
	}
}

// TestPeerL2Norm holds the norm alone, and its gradient, to the formula.
func TestPeerL2Norm(t *testing.T) {
	float, half := []tensor.Dtype{tensor.Float32}, []tensor.Dtype{tensor.BFloat16, tensor.Float16}
	for i, c := range []struct {
		B, T, H, D int
		dtypes     []tensor.Dtype
	}{
		{1, 63, 1, 60, float}, {2, 500, 4, 64, float}, {2, 1000, 2, 100, float}, {3, 1024, 4, 128, float},
		{1, 63, 1, 1024, half}, {2, 64, 2, 2048, half},
	} {
		for _, d := range c.dtypes {
			t.Run(fmt.Sprintf("B%d-T%d-H%d-D%d/%s", c.B, c.T, c.H, c.D, d), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(i), 4))
				n := c.B * c.T * c.H * c.D
				x := rounded(t, drawn(n, func(int) float64 { return normal(r) }), d)
				dy := rounded(t, drawn(n, func(int) float64 { return normal(r) }), d)
				y, dx := make([]float64, n), make([]float64, n)
				for lo := 0; lo < n; lo += c.D {
					sum, along := defaultL2NormEps, 0.0
					for _, v := range x[lo : lo+c.D] {
						sum += v * v
					}
					inverse := 1 / math.Sqrt(sum)
					for j := lo; j < lo+c.D; j++ {
						y[j] = x[j] * inverse
						along += y[j] * dy[j]
					}
					for j := lo; j < lo+c.D; j++ {
						dx[j] = (dy[j] - along*y[j]) * inverse
					}
				}
				tape := autograd.NewTape()
				defer tape.Close()
				var p problem
				leaf := tape.Var(p.tensor(x, d, c.B, c.T, c.H, c.D))
				out := ops.L2Norm(leaf, defaultL2NormEps)
				grads, err := tape.Grad([]*autograd.Var{out}, []*tensor.Tensor{p.tensor(dy, d, c.B, c.T, c.H, c.D)}, leaf)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "y", read(t, out.Value()), y, p.tolerance(d, "o"))
				near(t, "dx", read(t, grads[0]), dx, p.tolerance(d, "dq"))
			})
		}
	}
}

// TestPeerWithoutGate wants the bits of g = 0 of an absent gate.
func TestPeerWithoutGate(t *testing.T) {
	for i, c := range []peerCase{{B: 1, T: 128, Hk: 1, Hv: 1, D: 64}, {B: 2, T: 256, Hk: 2, Hv: 4, D: 64}} {
		c.norm = math.Inf(1) // g = 0
		p := flashQLAMLX.draw(t, uint64(i), c.sized(), tensor.Float32)
		for _, v := range variants(tensor.Float32) {
			t.Run(c.String()+"/"+v.String(), func(t *testing.T) {
				want := p.run(t, v)
				delete(want, "dg")
				tape := autograd.NewTape()
				defer tape.Close()
				in, leaves := p.inputs(tape, v)
				in.LogDecay = nil
				out := p.apply(in, v)
				grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, p.seeds(v), slices.Delete(leaves, 3, 4)...)
				if err != nil {
					t.Fatal(err)
				}
				got := result{"o": read(t, out.O.Value()), "ht": read(t, out.FinalState.Value())}
				for j, name := range []string{"dq", "dk", "dv", "dbeta", "dh0"} {
					got[name] = read(t, grads[j])
				}
				same(t, got, want, 0)
			})
		}
	}
}

// TestPeerInverse holds the triangular inverse of every chunk's matrix, padding
// included, to forward substitution.
func TestPeerInverse(t *testing.T) {
	const K = 64
	for i, c := range []struct {
		peerCase
		C int
	}{
		{peerCase{B: 1, T: 63, Hk: 1}, 16}, {peerCase{B: 2, T: 500, Hk: 4}, 32}, {peerCase{B: 2, T: 1000, Hk: 5}, 64},
		{peerCase{B: 3, T: 1024, Hk: 6}, 64}, {peerCase{B: 4, T: 2048, Hk: 8}, 64},
		{peerCase{Hk: 2, cu: []int{0, 15}}, 16}, {peerCase{Hk: 2, cu: []int{0, 256, 500, 1000}}, 32}, {peerCase{Hk: 2, cu: packedLong}, 64},
		{peerCase{Hk: 2, cu: []int{0, 1, 100, 300, 1200, 2048}}, 16}, {peerCase{Hk: 2, cu: []int{0, 200, 512, 1200, 2048}}, 32},
	} {
		t.Run(fmt.Sprintf("%s-C%d", c, c.C), func(t *testing.T) {
			c.Hv, c.D = c.Hk, K
			c.peerCase = c.sized()
			p := flaPacked.draw(t, uint64(i), c.peerCase, tensor.Float32)
			lengths, repeat := []int{c.T}, c.B
			if c.cu != nil {
				lengths, repeat = nil, 1
				for j, end := range c.cu[1:] {
					lengths = append(lengths, end-c.cu[j])
				}
			}
			var A, want []float64
			first := 0
			for range repeat {
				for _, n := range lengths {
					for lo := first; lo < first+n; lo += c.C {
						for h := range c.Hk {
							a := p.correlations(lo, min(c.C, first+n-lo), h, c.C)
							A, want = append(A, a...), append(want, substitute(a, c.C)...)
						}
					}
					first += n
				}
			}
			x := p.tensor(A, tensor.Float32, len(A)/(c.C*c.C), c.C, c.C)
			m := masksOf(tensor.Float32, c.C)
			near(t, "substitution", read(t, tensor.TriInv(tensor.Add(x, m.identity), false)), want, 1e-5)
			m.below = blocksBelow(tensor.Float32, c.C)
			near(t, "doubling", read(t, doublingInverse(x, m)), want, 1e-5)
		})
	}
}

// correlations returns β_i k_i·k_j below the diagonal for n tokens from lo on,
// with zeros for padding to C.
func (p problem) correlations(lo, n, h, C int) []float64 {
	A := make([]float64, C*C)
	key := func(t int) []float64 { return p.k[((lo+t)*p.Hk+h)*p.K:][:p.K] }
	for i := range n {
		for j := range i {
			for l, x := range key(i) {
				A[i*C+j] += p.β[(lo+i)*p.Hv+h] * x * key(j)[l]
			}
		}
	}
	return A
}

// TestPeerStages looks at each chunk by itself: from the oracle's state before it
// and the oracle's gradient of the state after it must come its share of the
// whole. What goes wrong in one stage, such as the scan between chunks or the
// solve within one, can then not hide behind another.
func TestPeerStages(t *testing.T) {
	for i, c := range []peerCase{
		{B: 2, T: 128, Hk: 2, Hv: 2, D: 64}, {B: 2, T: 128, Hk: 2, Hv: 4, D: 64}, {B: 1, T: 256, Hk: 4, Hv: 4, D: 32}, {B: 1, T: 128, Hk: 1, Hv: 1, D: 64},
	} {
		for _, c.norm = range []float64{1, math.Inf(1)} { // with gates, and without
			p := flashQLAMLX.draw(t, uint64(i), c, tensor.Float32).problem
			whole := p.solve()
			for _, v := range variants(tensor.Float32)[1:] {
				t.Run(fmt.Sprintf("%s-gate=%t/%s", c, c.norm == 1, v), func(t *testing.T) {
					for lo := 0; lo < p.T; lo += v.chunk {
						stage, want := p.tokens(whole, lo, min(lo+v.chunk, p.T))
						stage.check(t, v, want)
					}
				})
			}
		}
	}
}

// tokens returns the problem of tokens lo to hi-1, between the states and their
// gradients that the whole has there, and its results.
func (p problem) tokens(whole result, lo, hi int) (problem, result) {
	cut := func(x []float64, lo, hi int) []float64 {
		row := len(x) / (p.B * p.T)
		var y []float64
		for b := range p.B {
			y = append(y, x[(b*p.T+lo)*row:(b*p.T+hi)*row]...)
		}
		return y
	}
	part := func(lo, hi int) problem {
		s := p
		s.T = hi - lo
		for _, x := range []*[]float64{&s.q, &s.k, &s.v, &s.g, &s.β, &s.do} {
			*x = cut(*x, lo, hi)
		}
		return s
	}
	s := part(lo, hi)
	want := result{}
	for _, name := range []string{"o", "dq", "dk", "dv", "dg", "dbeta"} {
		want[name] = cut(whole[name], lo, hi)
	}
	want["ht"] = whole["ht"]
	if lo > 0 {
		s.h0 = part(0, lo).solve()["ht"]
	}
	if hi < p.T {
		after := part(hi, p.T)
		after.h0 = part(0, hi).solve()["ht"]
		want["ht"], s.dht = after.h0, after.solve()["dh0"]
	}
	want["dh0"] = s.solve()["dh0"]
	return s, want
}

// TestPeerRepeats wants equal bits of equal inputs, where the source wants runs
// to be near a reference.
func TestPeerRepeats(t *testing.T) {
	repeats := 2
	if *full {
		repeats = 20
	}
	for i, c := range []peerCase{
		{B: 1, T: 4096, Hk: 2, Hv: 8, D: 128},
		{Hk: 4, Hv: 4, D: 128, cu: offsets(randomLengths(27, 3, 4095)...)},
		{B: 32, T: 1024, Hk: 2, Hv: 4, D: 128},
	} {
		t.Run(c.String(), func(t *testing.T) {
			p := flashQLA.draw(t, uint64(i), c.sized(), tensor.BFloat16)
			v := variant{implementation: Chunk, chunk: 64, dtype: tensor.BFloat16}
			want := p.run(t, v)
			for range repeats {
				same(t, p.run(t, v), want, 0)
			}
		})
	}
}

// TestPeerParts runs a sequence in several parts, each from the state that the one
// before leaves, where the source has a part on each of several devices.
func TestPeerParts(t *testing.T) {
	lists := [][]int{{3000, 4000, 3240}, {5120, 5120}, {7000, 3240}, {10240}, {1000, 1500, 2000, 2500, 1240, 1000, 1000}}
	if *full {
		lists = append(lists, []int{32768, 32768})
	}
	for i, lengths := range lists {
		t.Run(fmt.Sprint(lengths), func(t *testing.T) {
			c := peerCase{Hk: 2, Hv: 4, D: 64, cu: offsets(lengths...)}.sized()
			cuts := c.cu
			c.cu = nil
			p := flaPacked.draw(t, uint64(i), c, tensor.Float32)
			want := p.solve()
			for _, v := range []variant{{implementation: Chunk, chunk: 32, dtype: tensor.Float32}, {implementation: Chunk, chunk: 64, dtype: tensor.Float32}} {
				t.Run(v.String(), func(t *testing.T) {
					for name, got := range p.runInParts(t, v, cuts) {
						p.compare(t, v, name, got, want[name])
					}
				})
			}
		})
	}
}
