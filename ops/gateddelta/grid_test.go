package gateddelta

import (
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

var (
	gateKinds = []string{"zero", "mild", "logsigmoid", "a16", "all-30", "token-100", "reset", "inf"}
	betaKinds = []string{"sigmoid", "one", "2sigmoid", "zero"}
	keyKinds  = []string{"random", "identical", "collinear", "zero"}
)

// TestShapes goes through all lengths and gates with every variant; the other
// properties take turns, so that each meets each. Long sequences have half of the
// gates each, and a gradient of O: without one, what reaches h0 through several
// chunks of many times K tokens has the relative error that the package
// documentation says.
func TestShapes(t *testing.T) {
	heads := [][2]int{{1, 1}, {1, 2}, {1, 3}, {2, 8}, {2, 2}, {2, 4}, {1, 8}}
	dims := [][2]int{{16, 16}, {16, 24}, {24, 8}, {20, 12}, {32, 16}}
	turn := 0
	for _, T := range []int{1, 2, 15, 16, 17, 63, 64, 65, 75, 127, 130, 192, 200, 500, 1000} {
		for i, gate := range gateKinds {
			turn++
			long := T >= 500
			if long && (i+T/500)%2 == 0 {
				continue
			}
			c := sampling{
				B: 1 + turn%2, T: T, gate: gate,
				Hk: heads[turn%len(heads)][0], Hv: heads[turn%len(heads)][1],
				K: dims[turn%len(dims)][0], V: dims[turn%len(dims)][1],
				beta: betaKinds[turn%3], // β = 0 is for TestKinds
				h0:   turn%3 != 0, dht: turn%5 != 0, noDo: turn%5 == 1 && !long,
			}
			p := sample(uint64(turn), c)
			want := p.solve()
			for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
				for _, v := range variants(d) {
					t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
				}
			}
		}
	}
	report.log(t)
}

// TestKinds crosses gates, β and keys at one shape with a ragged tail.
func TestKinds(t *testing.T) {
	for i, gate := range gateKinds {
		for j, beta := range betaKinds {
			for k, keys := range keyKinds {
				p := sample(uint64(i*100+j*10+k), sampling{
					B: 2, T: 41, Hk: 1, Hv: 2, K: 16, V: 12, gate: gate, beta: beta, keys: keys, h0: true, dht: true,
				})
				want := p.solve()
				for _, v := range []variant{
					{implementation: Chunk, chunk: 16, dtype: tensor.Float64},
					{implementation: Chunk, chunk: 16, dtype: tensor.Float32},
					{implementation: Chunk, chunk: 64, dtype: tensor.Float32},
					{implementation: Recurrent, dtype: tensor.Float32},
				} {
					t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
				}
			}
		}
	}
	report.log(t)
}

// TestHeads is the size of real models' heads, where sums are longer.
func TestHeads(t *testing.T) {
	for i, c := range []sampling{
		{B: 1, T: 150, Hk: 1, Hv: 4, K: 128, V: 128, h0: true, dht: true},
		{B: 2, T: 90, Hk: 2, Hv: 4, K: 64, V: 128, gate: "logsigmoid", h0: true, dht: true},
		{B: 1, T: 130, Hk: 1, Hv: 2, K: 128, V: 64, gate: "a16", beta: "2sigmoid", h0: true, dht: true},
		{B: 1, T: 300, Hk: 1, Hv: 1, K: 60, V: 100, gate: "reset"},
	} {
		p := sample(uint64(i), c)
		want := p.solve()
		for _, v := range variants(tensor.Float32)[1:] {
			for _, v.segment = range []int{0, 1, 2} {
				t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
			}
		}
	}
	report.log(t)
}

// TestHalfPrecision rounds q, k, v and do, and nothing else.
func TestHalfPrecision(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.BFloat16, tensor.Float16} {
		for i, gate := range []string{"mild", "logsigmoid", "a16"} {
			p := sample(uint64(i), sampling{B: 2, T: 130, Hk: 2, Hv: 4, K: 32, V: 16, gate: gate, h0: true, dht: true})
			p.round(t, d)
			want := p.solve()
			for _, v := range variants(d) {
				t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
			}
		}
	}
	report.log(t)
}
