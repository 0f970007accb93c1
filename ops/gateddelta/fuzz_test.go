package gateddelta

import (
	"math"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// FuzzShapes holds both forms to the oracle for sizes, kinds of data and options
// of any combination.
func FuzzShapes(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(17), uint8(1), uint8(2), uint8(8), uint8(6), uint16(0), uint16(0))
	f.Add(uint64(2), uint8(2), uint8(64), uint8(2), uint8(0), uint8(1), uint8(1), uint16(0x111), uint16(0x1ff))
	f.Add(uint64(3), uint8(0), uint8(130), uint8(0), uint8(7), uint8(15), uint8(31), uint16(0x23e), uint16(0x0a5))
	f.Add(uint64(4), uint8(1), uint8(0), uint8(2), uint8(3), uint8(30), uint8(0), uint16(0x3c1), uint16(0x05b))
	f.Add(uint64(5), uint8(0), uint8(99), uint8(0), uint8(1), uint8(4), uint8(4), uint16(0x0d7), uint16(0x132))
	f.Fuzz(func(t *testing.T, seed uint64, B, T, Hk, r, K, V uint8, kinds, options uint16) {
		c := sampling{
			B: 1 + int(B%3), T: 1 + int(T%160), Hk: 1 + int(Hk%3), K: 1 + int(K%40), V: 1 + int(V%40),
			gate: gateKinds[kinds%8], beta: betaKinds[kinds>>3%4], keys: keyKinds[kinds>>5%4],
			h0: options&1 != 0, dht: options&2 != 0, noDelta: options&8 != 0,
		}
		// Without a gradient of O, what reaches the first tokens through chunks of many
		// times K tokens is a small difference: see the package documentation.
		c.noDo = options&6 == 6 && c.K >= 16
		c.Hv = c.Hk * (1 + int(r%8))
		if c.beta == "one" && (c.keys != "random" || c.K == 1) {
			c.beta = "sigmoid" // dg would vanish but for rounding
		}
		p := sample(seed, c)
		if options&16 != 0 {
			p = normalised(p)
		}
		want := p.solve()
		chunk := variant{
			implementation: Chunk, chunk: chunkSizes[options>>5%4], dtype: tensor.Float64, segment: int(options >> 7 % 4),
			scan: []Scan{ScanAuto, ScanSequential, ScanTransition, ScanTwoLevel}[options>>9%4], length: int(options >> 11 % 4),
		}
		for _, v := range []variant{{implementation: Recurrent, dtype: tensor.Float64}, chunk} {
			p.check(t, v, want)
		}
	})
}

// fuzzedGates are what the first bytes stand for in FuzzGates. Others are moderate
// gates.
var fuzzedGates = []float64{0, math.Inf(-1), math.NaN(), -1000, -100, -30, -1e-30, 0x1p-8, math.Copysign(0, -1), -5}

// FuzzGates takes gates and β of any values, in each head's own order. Heads
// without NaN or gates above 0 are held to the oracle in float64, whatever is in
// the others, and have numbers in float32.
func FuzzGates(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, []byte{255, 0, 128}, uint8(0))
	f.Add([]byte{1, 200, 1, 100, 30, 1, 1}, []byte{90}, uint8(1))
	f.Add([]byte{100, 3, 3, 90, 4, 200, 5, 60, 250, 6, 7, 8, 9}, []byte{10, 250, 128, 255}, uint8(2))
	f.Add([]byte{50, 60, 2, 70, 80, 90}, []byte{20, 200}, uint8(3))
	f.Add(slices.Repeat([]byte{20}, 70), []byte{255}, uint8(0))
	f.Fuzz(func(t *testing.T, gates, betas []byte, options uint8) {
		if len(gates) == 0 || len(betas) == 0 || len(gates) > 150 {
			return
		}
		p := sample(uint64(len(gates)), sampling{B: 1, T: len(gates), Hk: 1, Hv: 3, K: 4, V: 3, h0: options&1 != 0, dht: options&2 != 0})
		spoilt := make([]bool, p.Hv)
		for i := range p.g {
			token, h := i/p.Hv, i%p.Hv
			// Heads take the gates from different tokens on; the last is as sampled.
			if h+1 < p.Hv {
				b := gates[(token+h*7)%len(gates)]
				if int(b) < len(fuzzedGates) {
					p.g[i] = fuzzedGates[b]
				} else {
					p.g[i] = -float64(b) / 64
				}
			}
			p.β[i] = float64(betas[i%len(betas)]) / 128
			spoilt[h] = spoilt[h] || !(p.g[i] <= 0)
		}
		want := p.solve()
		forms := []variant{
			{implementation: Recurrent, dtype: tensor.Float64},
			{implementation: Chunk, chunk: chunkSizes[options>>2%4], dtype: tensor.Float64, segment: int(options >> 4 % 4)},
			{implementation: Chunk, chunk: chunkSizes[options>>2%4], dtype: tensor.Float32},
		}
		if hasCPU() {
			forms = append(forms, variant{implementation: CPU, chunk: chunkSizes[options>>2%4], dtype: tensor.Float32, segment: int(options >> 4 % 4)})
		}
		for _, v := range forms {
			got := p.run(t, v)
			for _, name := range []string{"o", "dv", "dg", "dbeta"} {
				for h := range p.Hv {
					if spoilt[h] {
						continue
					}
					width := len(want[name]) / (p.T * p.Hv)
					own := func(i int) bool { return i/width%p.Hv == h }
					e, bound := relative(pick(got[name], own), pick(want[name], own), smallest(v.dtype)), 1e-9
					if v.dtype == tensor.Float32 {
						bound = math.MaxFloat64
					}
					if !(e <= bound) {
						t.Errorf("%s: %s of head %d: relative error %.2e, want at most %.0e", v, name, h, e, bound)
					}
				}
			}
		}
	})
}
