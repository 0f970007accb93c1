package gateddelta

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// TestInverse compares both ways to invert I + A with forward substitution in
// float64. Nearly equal keys make A as large as it gets.
func TestInverse(t *testing.T) {
	for _, C := range chunkSizes {
		r := rand.New(rand.NewPCG(1, 1))
		random, signs := make([]float64, C*C), make([]float64, C)
		for i := range random {
			random[i] = r.NormFloat64() / 8
		}
		for i := range signs {
			signs[i] = math.Copysign(1, r.Float64()-0.5)
		}
		for name, entry := range map[string]func(i, j int) float64{
			"random":    func(i, j int) float64 { return random[i*C+j] },
			"identical": func(int, int) float64 { return 1 },
			"collinear": func(i, j int) float64 { return 2 * signs[i] * signs[j] }, // β = 2
		} {
			A := make([]float64, C*C)
			for i := range C {
				for j := range i {
					A[i*C+j] = entry(i, j)
				}
			}
			want := substitute(A, C)
			for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
				x := tensor.AsType(tensor.FromSlice(A, 1, C, C), d)
				m := masksOf(d, C)
				m.below = blocksBelow(d, C)
				tol := map[tensor.Dtype]float64{tensor.Float64: 1e-12, tensor.Float32: 1e-5}[d]
				for method, T := range map[string]*tensor.Tensor{
					"substitution": tensor.TriInv(tensor.Add(x, m.identity), false),
					"doubling":     doublingInverse(x, m),
				} {
					if e := relative(read(t, T), want, 0); !(e <= tol) {
						t.Errorf("%s, C=%d, %s keys, %s: relative error %.1e, want at most %.0e", method, C, name, d, e, tol)
					}
				}
			}
		}
	}
}

// substitute inverts I + A column by column.
func substitute(A []float64, C int) []float64 {
	T := make([]float64, C*C)
	for j := range C {
		for i := j; i < C; i++ {
			x := 0.0
			if i == j {
				x = 1
			}
			for l := j; l < i; l++ {
				x -= A[i*C+l] * T[l*C+j]
			}
			T[i*C+j] = x
		}
	}
	return T
}

// TestDecays compares the factors with exponentials of sums in float64, element
// by element: their relative accuracy is what that of dg rests on.
func TestDecays(t *testing.T) {
	const C = 64
	for _, gate := range gateKinds {
		p := sample(1, sampling{B: 1, T: C, Hk: 1, Hv: 1, K: 1, V: 1, gate: gate})
		g := p.tensor(p.g, tensor.Float32, 1, 1, 1, 1, C)
		d := decaysOf(g, masksOf(tensor.Float32, C))
		Γ, γ, ρ, γC := read(t, d.Γ), read(t, d.γ), read(t, d.ρ), read(t, d.γC)
		sum := func(lo, hi int) (s float64) { // over lo <= i < hi
			for _, x := range p.g[lo:hi] {
				s += x
			}
			return s
		}
		check := func(name string, got, exponent float64) {
			t.Helper()
			want := math.Exp(exponent)
			if want < 0x1p-120 { // near or below the range of float32
				if got > 0x1p-119 {
					t.Errorf("%s %s = %g, want %g", gate, name, got, want)
				}
				return
			}
			// A sum is accurate to some roundings of itself.
			if math.Abs(got-want) > want*(1e-6-4e-7*exponent) {
				t.Errorf("%s %s = %.9g, want %.9g", gate, name, got, want)
			}
		}
		for i := range C {
			check("γ", γ[i], sum(0, i+1))
			check("ρ", ρ[i], sum(i+1, C))
			for j := range C {
				if j > i {
					if Γ[i*C+j] != 0 {
						t.Errorf("%s Γ[%d, %d] = %g above the diagonal", gate, i, j, Γ[i*C+j])
					}
					continue
				}
				check("Γ", Γ[i*C+j], sum(j+1, i+1))
			}
		}
		check("e^{G_C}", γC[0], sum(0, C))
	}
}
