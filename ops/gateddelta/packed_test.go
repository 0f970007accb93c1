package gateddelta

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// states returns the number of states, one for each sequence.
func (p problem) states() int {
	if p.cu == nil {
		return p.B
	}
	return len(p.cu) - 1
}

// sequence returns a packed sequence as a problem of its own, of T = 0 tokens if
// it is empty.
func (p problem) sequence(n int) problem {
	cut := func(x []float64, row, lo, hi int) []float64 {
		if x == nil {
			return nil
		}
		return x[lo*row : hi*row]
	}
	lo, hi := p.cu[n], p.cu[n+1]
	s := p
	s.cu, s.T = nil, hi-lo
	s.q, s.k = cut(p.q, p.Hk*p.K, lo, hi), cut(p.k, p.Hk*p.K, lo, hi)
	s.v, s.do = cut(p.v, p.Hv*p.V, lo, hi), cut(p.do, p.Hv*p.V, lo, hi)
	s.g, s.β = cut(p.g, p.Hv, lo, hi), cut(p.β, p.Hv, lo, hi)
	s.h0, s.dht = cut(p.h0, p.Hv*p.K*p.V, n, n+1), cut(p.dht, p.Hv*p.K*p.V, n, n+1)
	s.wantFinalState = s.wantFinalState || p.dht != nil
	return s
}

// separately solves each sequence by itself. Those without tokens hand on their
// states, and tokens of no sequence have zeros.
func (p problem) separately(solve func(problem) result) result {
	res := result{}
	state := p.Hv * p.K * p.V
	orZeros := func(x []float64) []float64 {
		if x == nil {
			return make([]float64, state)
		}
		return x
	}
	for n := range p.states() {
		s := p.sequence(n)
		part := result{"ht": orZeros(s.h0), "dh0": orZeros(s.dht)}
		if s.T > 0 {
			part = solve(s)
		}
		for name, x := range part {
			res[name] = append(res[name], x...)
		}
	}
	for name, n := range map[string]int{
		"o": len(p.v), "dq": len(p.q), "dk": len(p.k), "dv": len(p.v), "dg": len(p.g), "dbeta": len(p.β),
	} {
		res[name] = append(res[name], make([]float64, n-len(res[name]))...)
	}
	return res
}

// offsets returns the offsets of sequences of the given lengths.
func offsets(lengths ...int) []int {
	cu := []int{0}
	for _, n := range lengths {
		cu = append(cu, cu[len(cu)-1]+n)
	}
	return cu
}

// randomLengths draws n lengths from 0 to most.
func randomLengths(seed uint64, n, most int) []int {
	r := rand.New(rand.NewPCG(seed, 1))
	lengths := make([]int, n)
	for i := range lengths {
		lengths[i] = r.IntN(most + 1)
	}
	return lengths
}

var packings = []struct {
	name    string
	lengths []int
	tail    int
}{
	{"one", []int{75}, 0},
	{"one-token", []int{1}, 0},
	{"falling", []int{70, 64, 33, 16, 2, 1}, 0},
	{"rising", []int{1, 15, 16, 17, 64, 65}, 0},
	{"equal", []int{20, 20, 20}, 0},
	{"zeros-and-ones", []int{0, 0, 1, 40, 0, 1, 1, 17, 0}, 0},
	{"tail", []int{5, 130, 0, 33}, 11},
	{"tail-after-one", []int{3}, 1},
	{"empty", []int{0, 0}, 6},
	{"many", randomLengths(1, 40, 20), 3},
}

// TestPacked compares packed sequences with the oracle's of each by itself. Heads,
// widths, gates and the presence of states take turns.
func TestPacked(t *testing.T) {
	heads := [][2]int{{1, 1}, {1, 2}, {2, 6}, {2, 2}, {1, 4}}
	dims := [][2]int{{16, 16}, {16, 24}, {24, 8}}
	for turn, c := range packings {
		for i, gate := range [][]string{{"mild", "inf"}, {"logsigmoid", "reset"}}[turn%2] {
			turn := turn + i
			cu := offsets(c.lengths...)
			p := sample(uint64(turn), sampling{
				B: 1, T: cu[len(cu)-1] + c.tail, cu: cu, gate: gate, beta: betaKinds[turn%3],
				Hk: heads[turn%len(heads)][0], Hv: heads[turn%len(heads)][1],
				K: dims[turn%len(dims)][0], V: dims[turn%len(dims)][1],
				h0: turn%3 != 0, dht: turn%4 != 1, noDo: turn%4 == 2,
			})
			want := p.solve()
			for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
				for _, v := range variants(d) {
					v.segment = i
					t.Run(c.name+"/"+p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
				}
			}
		}
	}
	report.log(t)
}

// TestPackedEqualsSeparate compares packed sequences with runs of each by itself,
// by the same form.
func TestPackedEqualsSeparate(t *testing.T) {
	lengths := []int{40, 0, 1, 100, 17, 16, 0, 2, 65}
	cu := offsets(lengths...)
	for i, states := range [][2]bool{{true, true}, {false, true}, {true, false}, {false, false}} {
		p := sample(uint64(i), sampling{
			B: 1, T: cu[len(cu)-1] + 5, Hk: 2, Hv: 4, K: 16, V: 24, cu: cu, gate: "logsigmoid", h0: states[0], dht: states[1],
		})
		p.wantFinalState = true
		for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			bound := map[tensor.Dtype]float64{tensor.Float64: 1e-12, tensor.Float32: 1e-6}[d]
			for _, v := range variants(d) {
				t.Run(fmt.Sprintf("h0=%t,dht=%t/%s", states[0], states[1], v), func(t *testing.T) {
					want := p.separately(func(s problem) result { return s.run(t, v) })
					if p.h0 == nil {
						delete(want, "dh0")
					}
					same(t, p.run(t, v), want, bound)
				})
			}
		}
	}
}

// TestManySequences packs more short sequences than go side by side.
func TestManySequences(t *testing.T) {
	cu := offsets(randomLengths(2, 500, 20)...)
	p := sample(1, sampling{B: 1, T: cu[len(cu)-1], Hk: 1, Hv: 2, K: 48, V: 48, cu: cu, h0: true, dht: true})
	want := p.solve()
	for _, v := range []variant{
		{implementation: Chunk, chunk: 16, dtype: tensor.Float32},
		{implementation: Chunk, chunk: 16, dtype: tensor.Float64, segment: 1},
		{implementation: Chunk, dtype: tensor.Float32},
		{implementation: Recurrent, dtype: tensor.Float32},
	} {
		t.Run(v.String(), func(t *testing.T) { p.check(t, v, want) })
	}
}

// TestPackedRepeats wants equal bits from equal inputs.
func TestPackedRepeats(t *testing.T) {
	cu := offsets(33, 0, 70, 1, 16, 90)
	p := sample(1, sampling{B: 1, T: 215, Hk: 1, Hv: 4, K: 32, V: 16, cu: cu, h0: true, dht: true})
	for _, v := range variants(tensor.Float32) {
		t.Run(v.String(), func(t *testing.T) { same(t, p.run(t, v), p.run(t, v), 0) })
	}
}

// TestPackedNaN wants a NaN to stay in its sequence, wherever it is in it, and
// what is beyond the last sequence not to matter.
func TestPackedNaN(t *testing.T) {
	cu := offsets(20, 21, 40, 7)
	for _, v := range bothForms {
		for _, token := range []int{20, 30, 40, 90} {
			t.Run(fmt.Sprintf("%s/token%d", v, token), func(t *testing.T) {
				p := sample(1, sampling{B: 1, T: 92, Hk: 1, Hv: 1, K: 4, V: 3, cu: cu, h0: true, dht: true})
				want := p.run(t, v)
				for _, x := range [][]float64{p.q, p.k, p.v, p.do, p.g, p.β} {
					row := len(x) / p.T
					for i := token * row; i < (token+1)*row; i++ {
						x[i] = math.NaN()
					}
				}
				got := p.run(t, v)
				if token >= 88 {
					same(t, got, want, 0)
					return
				}
				for _, name := range []string{"o", "dq", "dk", "dv", "dg", "dbeta"} {
					row := len(got[name]) / p.T
					lo, hi := 20*row, 41*row // the sequence of the NaN
					if !slices.Equal(got[name][:lo], want[name][:lo]) || !slices.Equal(got[name][hi:], want[name][hi:]) {
						t.Errorf("%s of other sequences is affected", name)
					}
				}
			})
		}
	}
}

// TestPackedDtypes wants outputs and gradients in the dtypes promised, and the
// accuracy of half precision.
func TestPackedDtypes(t *testing.T) {
	cu := offsets(50, 0, 17, 33)
	for _, d := range []tensor.Dtype{tensor.BFloat16, tensor.Float16} {
		p := sample(1, sampling{B: 1, T: 103, Hk: 2, Hv: 4, K: 32, V: 16, cu: cu, gate: "logsigmoid", h0: true, dht: true})
		p.round(t, d)
		want := p.solve()
		for _, v := range variants(d) {
			t.Run(v.String(), func(t *testing.T) { p.check(t, v, want) })
		}
	}
}

func TestPackedGradients(t *testing.T) {
	cu := offsets(2, 0, 17, 1)
	in := sample(1, sampling{B: 1, T: 21, Hk: 1, Hv: 2, K: 3, V: 2, cu: cu, h0: true}).tensors(variant{dtype: tensor.Float64})
	for _, opt := range []Options{{Implementation: Recurrent}, {Implementation: Chunk, ChunkSize: 16}} {
		opt.CuSeqlens = cu
		t.Run(string(opt.Implementation), func(t *testing.T) {
			gradcheck.Run(t, checkable(opt), in, gradcheck.Options{Fast: true})
		})
	}
}

// TestPackedConstants wants gradients for those inputs alone that require one.
func TestPackedConstants(t *testing.T) {
	p := sample(7, sampling{B: 1, T: 30, Hk: 1, Hv: 2, K: 4, V: 3, cu: offsets(3, 18, 0, 7), h0: true, dht: true})
	p.checkConstants(t)
}

// TestPackedLeaks wants what packing takes to be released.
func TestPackedLeaks(t *testing.T) {
	p := sample(1, sampling{B: 1, T: 101, Hk: 1, Hv: 2, K: 16, V: 16, cu: offsets(30, 0, 51, 19), h0: true, dht: true})
	for _, v := range variants(tensor.Float32)[:3] {
		t.Run(v.String(), func(t *testing.T) { leaksNothing(t, func() { p.run(t, v) }) })
	}
}

// TestPackedMemory holds what the tape keeps, and the peak of the backward pass,
// to the formulas of the package documentation.
func TestPackedMemory(t *testing.T) {
	const C = 64
	cu := offsets(300, 0, 200, 40, 1, 120, 64, 500)
	p := sample(1, sampling{B: 1, T: cu[len(cu)-1], Hk: 1, Hv: 4, K: 64, V: 64, cu: cu, h0: true, dht: true})
	v := variant{implementation: Chunk, chunk: C, dtype: tensor.Float32, segment: 2}
	u := p.usage(t, v)
	state := int64(p.Hv * p.K * p.V * 4)
	// Segments that start within sequences: two after 2 chunks of 7, 4 and 5, and
	// so on. States of finished sequences are not kept.
	kept := (3 + 2 + 1) * state
	const chunks = 7 + 4 // in the first two steps: all seven sequences, and the four of more than a chunk
	bound := int64(10 * chunks * p.Hv * (C*p.K + C*C + p.K*p.V) * 4)
	u.check(t, kept, bound+4*u.gradients)
}

func TestPackedMistakes(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	f32 := func(shape ...int) *autograd.Var { return tape.Const(tensor.Zeros(tensor.Float32, shape...)) }
	for _, c := range []struct {
		name string
		B    int
		cu   []int
		h0   int // number of initial states; 0: absent
		want string
	}{
		{"batch", 2, []int{0, 5}, 0, "B is 2 with CuSeqlens, want 1"},
		{"none", 1, []int{}, 0, "CuSeqlens is [], want N+1 numbers for N >= 1 sequences"},
		{"no sequences", 1, []int{0}, 0, "CuSeqlens is [0], want N+1 numbers"},
		{"start", 1, []int{1, 5}, 0, "CuSeqlens begins with 1, want 0"},
		{"negative", 1, []int{0, -2, 5}, 0, "CuSeqlens[1] is -2, want at least CuSeqlens[0] = 0"},
		{"falling", 1, []int{0, 3, 2, 5}, 0, "CuSeqlens[2] is 2, want at least CuSeqlens[1] = 3"},
		{"beyond", 1, []int{0, 3, 6}, 0, "CuSeqlens ends with 6, want at most T = 5"},
		{"states", 1, []int{0, 3, 5}, 3, "InitialState must be [N, Hv, K, V] = [2 4 4 6]"},
		{"one state", 1, []int{0, 3, 5}, 1, "InitialState must be [N, Hv, K, V] = [2 4 4 6] for this V: [1 4 4 6]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Inputs{Q: f32(c.B, 5, 2, 4), K: f32(c.B, 5, 2, 4), V: f32(c.B, 5, 4, 6)}
			if c.h0 > 0 {
				in.InitialState = f32(c.h0, 4, 4, 6)
			}
			err := tensor.Try(func() { Apply(in, Options{CuSeqlens: c.cu}) })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestPackedChunkSizes wants small chunks where large ones would be padding.
func TestPackedChunkSizes(t *testing.T) {
	for _, c := range []struct {
		lengths []int
		want    int
	}{
		{[]int{1000}, 64},
		{[]int{1000, 3}, 64},
		{randomLengths(1, 100, 20), 16},
		{randomLengths(1, 100, 40), 16},
		{slices.Repeat([]int{33}, 20), 16},
		{slices.Repeat([]int{64}, 20), 64},
		{[]int{0, 0}, 16},
	} {
		cu := offsets(c.lengths...)
		z := geometry{B: 1, T: cu[len(cu)-1], K: 128, cuSeqlens: cu, sequences: len(cu) - 1}
		if got, _ := chooseChunk(z); got != c.want {
			t.Errorf("lengths %v: chunks of %d, want %d", c.lengths, got, c.want)
		}
	}
}

// FuzzPacked compares both forms and the kernels of a CPU with the oracle for sequences of any lengths.
func FuzzPacked(f *testing.F) {
	f.Add([]byte{0, 1, 17, 0, 33}, uint8(3), uint8(0))
	f.Add([]byte{16, 16}, uint8(0), uint8(1))
	f.Add([]byte{0}, uint8(1), uint8(2))
	f.Add([]byte{70, 3, 1, 0, 20}, uint8(7), uint8(3))
	f.Fuzz(func(t *testing.T, lengths []byte, tail, segment uint8) {
		if len(lengths) == 0 || len(lengths) > 40 {
			return
		}
		cu := []int{0}
		for _, n := range lengths {
			cu = append(cu, cu[len(cu)-1]+int(n)%80)
		}
		T := cu[len(cu)-1] + int(tail)%20
		if T == 0 {
			return
		}
		p := sample(uint64(T), sampling{B: 1, T: T, Hk: 1, Hv: 2, K: 4, V: 3, cu: cu, h0: tail%2 == 0, dht: true})
		want := p.solve()
		forms := slices.Clip(bothForms)
		if hasCPU() {
			forms = append(forms, variant{implementation: CPU, chunk: 16, dtype: tensor.Float32})
		}
		for _, v := range forms {
			v.segment = int(segment % 4)
			p.check(t, v, want)
		}
	})
}
