package gateddelta

import (
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// TestNoDelta holds linear attention without correction to the oracle, at every
// gate and with lengths, heads and sizes taking turns.
func TestNoDelta(t *testing.T) {
	heads := [][2]int{{1, 1}, {1, 2}, {2, 6}}
	dims := [][2]int{{16, 16}, {16, 24}, {20, 12}}
	for i, gate := range gateKinds {
		for j, T := range []int{1, 16, 17, 65, 130} {
			turn := i + j
			p := sample(uint64(100*i+j), sampling{
				B: 1 + turn%2, T: T, gate: gate, beta: betaKinds[turn%4], keys: keyKinds[turn%4],
				Hk: heads[turn%3][0], Hv: heads[turn%3][1], K: dims[j%3][0], V: dims[j%3][1],
				h0: turn%3 != 0, dht: turn%5 != 0, noDo: turn%5 == 1, noDelta: true,
			})
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

// TestNoDeltaSegments wants the same from any number of chunks at a time, and
// half precision as near as with the correction.
func TestNoDeltaSegments(t *testing.T) {
	p := sample(1, sampling{B: 2, T: 150, Hk: 1, Hv: 2, K: 8, V: 12, gate: "reset", h0: true, dht: true, noDelta: true})
	want := p.solve()
	for _, n := range []int{1, 3, 10} {
		v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float64, segment: n}
		t.Run(v.String(), func(t *testing.T) { p.check(t, v, want) })
	}
	for _, d := range []tensor.Dtype{tensor.BFloat16, tensor.Float16} {
		p.round(t, d)
		want := p.solve()
		for _, v := range variants(d) {
			t.Run(v.String(), func(t *testing.T) { p.check(t, v, want) })
		}
	}
}

// TestNoDeltaFirstToken says that a first token finds nothing to correct: with an
// empty state both rules are one.
func TestNoDeltaFirstToken(t *testing.T) {
	p := sample(2, sampling{B: 2, T: 1, Hk: 1, Hv: 2, K: 4, V: 3})
	for _, v := range bothForms {
		t.Run(v.String(), func(t *testing.T) {
			tape := autograd.NoGrad()
			defer tape.Close()
			in, _ := p.inputs(tape, v)
			opt := p.options(v)
			want := read(t, Apply(in, opt).O.Value())
			opt.NoDelta = true
			if got := read(t, Apply(in, opt).O.Value()); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
