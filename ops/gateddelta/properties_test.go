package gateddelta

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// bothForms is a variant of each implementation.
var bothForms = []variant{
	{implementation: Recurrent, dtype: tensor.Float64},
	{implementation: Chunk, chunk: 16, dtype: tensor.Float64},
}

// same reports a difference of two results above a relative bound; 0 asks for
// equal bits.
func same(t *testing.T, got, want result, bound float64) {
	t.Helper()
	for _, name := range resultNames {
		if bound == 0 && !slices.Equal(got[name], want[name]) {
			t.Errorf("%s differs in its bits", name)
		}
		if e := relative(got[name], want[name], 0); !(e <= bound) {
			t.Errorf("%s differs by %.1e, want at most %.0e", name, e, bound)
		}
	}
}

// runInParts runs tokens cuts[i] to cuts[i+1]-1 by themselves, one part after the
// other, each from the state that the one before leaves. Gradients flow back
// through these states.
func (p problem) runInParts(t *testing.T, v variant, cuts []int) result {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	opt := p.options(v)
	opt.FinalState = true
	var outs []*autograd.Var
	state := in.InitialState
	for i, hi := range cuts[1:] {
		cut := func(x *autograd.Var) *autograd.Var { return ops.SliceAxis(x, 1, cuts[i], hi) }
		out := Apply(Inputs{
			Q: cut(in.Q), K: cut(in.K), V: cut(in.V), LogDecay: cut(in.LogDecay), Beta: cut(in.Beta), InitialState: state,
		}, opt)
		outs, state = append(outs, out.O), out.FinalState
	}
	return p.finish(t, tape, v, Output{O: ops.Concat(1, outs...), FinalState: state}, leaves)
}

// TestSplit runs a sequence in two halves.
func TestSplit(t *testing.T) {
	p := sample(1, sampling{B: 2, T: 70, Hk: 1, Hv: 2, K: 8, V: 6, h0: true, dht: true})
	for _, v := range bothForms {
		for _, at := range []int{1, 32, 37, 69} {
			t.Run(fmt.Sprintf("%s/at%d", v, at), func(t *testing.T) {
				same(t, p.runInParts(t, v, []int{0, at, p.T}), p.run(t, v), 1e-12)
			})
		}
	}
}

// TestRepeats wants equal bits from equal inputs, whatever ran in between.
func TestRepeats(t *testing.T) {
	p := sample(2, sampling{B: 2, T: 150, Hk: 2, Hv: 4, K: 32, V: 24, gate: "logsigmoid", h0: true, dht: true})
	other := sample(3, sampling{B: 1, T: 33, Hk: 1, Hv: 1, K: 16, V: 16})
	for _, v := range variants(tensor.Float32) {
		t.Run(v.String(), func(t *testing.T) {
			want := p.run(t, v)
			for range 3 {
				other.run(t, v)
				same(t, p.run(t, v), want, 0)
			}
		})
	}
}

// TestSegments wants the same from any number of chunks at a time.
func TestSegments(t *testing.T) {
	p := sample(4, sampling{B: 2, T: 150, Hk: 1, Hv: 2, K: 8, V: 12, gate: "reset", h0: true, dht: true})
	whole := p.run(t, variant{implementation: Chunk, chunk: 16, dtype: tensor.Float64, segment: 10})
	for _, n := range []int{1, 2, 3, 9} {
		v := variant{implementation: Chunk, chunk: 16, dtype: tensor.Float64, segment: n}
		t.Run(v.String(), func(t *testing.T) { same(t, p.run(t, v), whole, 1e-13) })
	}
}

// TestPermutation reorders sequences, key heads, and value heads of a key head:
// results must follow.
func TestPermutation(t *testing.T) {
	p := sample(5, sampling{B: 3, T: 21, Hk: 2, Hv: 6, K: 4, V: 5, h0: true, dht: true})
	sequences, keyHeads, valueHeads := []int{2, 0, 1}, []int{1, 0}, []int{4, 3, 5, 1, 2, 0}
	// permuted takes rows of x [B, rows, heads, ...] from elsewhere.
	permuted := func(x []float64, rows int, heads []int) []float64 {
		size := len(x) / (p.B * rows * len(heads))
		var y []float64
		for _, b := range sequences {
			for i := range rows {
				for _, h := range heads {
					at := ((b*rows+i)*len(heads) + h) * size
					y = append(y, x[at:at+size]...)
				}
			}
		}
		return y
	}
	moved := p
	moved.q, moved.k = permuted(p.q, p.T, keyHeads), permuted(p.k, p.T, keyHeads)
	moved.v, moved.do = permuted(p.v, p.T, valueHeads), permuted(p.do, p.T, valueHeads)
	moved.g, moved.β = permuted(p.g, p.T, valueHeads), permuted(p.β, p.T, valueHeads)
	moved.h0, moved.dht = permuted(p.h0, 1, valueHeads), permuted(p.dht, 1, valueHeads)
	for _, v := range bothForms {
		t.Run(v.String(), func(t *testing.T) {
			want := result{}
			for name, x := range p.run(t, v) {
				rows, heads := p.T, valueHeads
				switch name {
				case "dq", "dk":
					heads = keyHeads
				case "ht", "dh0":
					rows = 1
				}
				want[name] = permuted(x, rows, heads)
			}
			same(t, moved.run(t, v), want, 1e-13)
		})
	}
}

// TestAbsentInputs compares inputs that are not given with what they stand for.
func TestAbsentInputs(t *testing.T) {
	p := sample(6, sampling{B: 2, T: 19, Hk: 1, Hv: 2, K: 4, V: 3, gate: "zero", beta: "one", dht: true})
	p.h0 = make([]float64, p.B*p.Hv*p.K*p.V)
	for _, v := range bothForms {
		t.Run(v.String(), func(t *testing.T) {
			want := p.run(t, v)
			tape := autograd.NewTape()
			defer tape.Close()
			in, leaves := p.inputs(tape, v)
			in.LogDecay, in.Beta, in.InitialState = nil, nil, nil
			got := p.finish(t, tape, v, p.apply(in, v), leaves[:3])
			for name := range got {
				if !slices.Equal(got[name], want[name]) {
					t.Errorf("%s differs from that of g = 0, β = 1, h0 = 0", name)
				}
			}
		})
	}
}

// TestConstants wants gradients for those inputs alone that require one.
func TestConstants(t *testing.T) {
	sample(7, sampling{B: 1, T: 20, Hk: 1, Hv: 2, K: 4, V: 3, h0: true, dht: true}).checkConstants(t)
}

// checkConstants has keys, gates and the initial state as constants, and wants no
// gradients for these and the same ones as ever for the others.
func (p problem) checkConstants(t *testing.T) {
	t.Helper()
	for _, v := range bothForms {
		t.Run(v.String(), func(t *testing.T) {
			want := p.run(t, v)
			tape := autograd.NewTape()
			defer tape.Close()
			in, leaves := p.inputs(tape, v)
			in.K, in.LogDecay, in.InitialState = in.K.Detach(), in.LogDecay.Detach(), in.InitialState.Detach()
			out := p.apply(in, v)
			grads, err := tape.BackwardFrom([]*autograd.Var{out.O, out.FinalState}, p.seeds(v))
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range []string{"dq", "dk", "dv", "dg", "dbeta", "dh0"} {
				g := grads.Of(leaves[i])
				if constant := name == "dk" || name == "dg" || name == "dh0"; constant != (g == nil) {
					t.Errorf("%s: got %v for a constant: %v", name, g, constant)
				} else if g != nil && !slices.Equal(read(t, g), want[name]) {
					t.Errorf("%s differs when other inputs are constants", name)
				}
			}
		})
	}
}

// TestNaN wants a NaN to reach the sequence and head that it is in and no other.
func TestNaN(t *testing.T) {
	p := sample(8, sampling{B: 2, T: 40, Hk: 1, Hv: 2, K: 4, V: 3, h0: true, dht: true})
	p.g[(1*p.T+20)*p.Hv+1] = math.NaN() // sequence 1, token 20, head 1
	for _, v := range bothForms {
		t.Run(v.String(), func(t *testing.T) {
			o := p.run(t, v)["o"]
			for i, x := range o {
				head, token, sequence := i/p.V%p.Hv, i/p.V/p.Hv%p.T, i/p.V/p.Hv/p.T
				affected := head == 1 && sequence == 1
				if affected && token >= 20 && !math.IsNaN(x) {
					t.Fatalf("o[%d, %d, %d] = %g, want NaN", sequence, token, head, x)
				}
				if !affected && math.IsNaN(x) {
					t.Fatalf("o[%d, %d, %d] is NaN", sequence, token, head)
				}
			}
		})
	}
}

// TestLowPrecisionGates takes gates and β in the dtype of a half-precision model
// and wants gradients and outputs in the dtypes promised.
func TestLowPrecisionGates(t *testing.T) {
	p := sample(9, sampling{B: 1, T: 20, Hk: 1, Hv: 2, K: 4, V: 3, h0: true, dht: true})
	for _, implementation := range []Implementation{Recurrent, Chunk} {
		t.Run(string(implementation), func(t *testing.T) {
			v := variant{implementation: implementation, chunk: 16, dtype: tensor.BFloat16}
			tape := autograd.NewTape()
			defer tape.Close()
			in, leaves := p.inputs(tape, v)
			in.LogDecay, in.Beta = ops.AsType(in.LogDecay, v.dtype), ops.AsType(in.Beta, v.dtype)
			out := p.apply(in, v)
			if o, s := out.O.Dtype(), out.FinalState.Dtype(); o != v.dtype || s != tensor.Float32 {
				t.Errorf("O is %s and the state %s, want %s and float32", o, s, v.dtype)
			}
			got := p.finish(t, tape, v, out, leaves)
			want := p.solve()
			for _, name := range resultNames {
				if e := relative(got[name], want[name], 0); !(e <= 2e-2) {
					t.Errorf("%s: relative error %.1e, want at most 2e-2", name, e)
				}
			}
		})
	}
}

func TestChoices(t *testing.T) {
	for _, c := range []struct {
		T, K    int
		opt     Options
		want    Implementation
		C, L, N int
	}{
		{T: 1, K: 128, want: Recurrent, C: 1, L: 1, N: 1},
		{T: 3, K: 128, want: Chunk, C: 16, L: 1, N: 1},
		{T: 20, K: 128, want: Chunk, C: 32, L: 1, N: 1},
		{T: 1000, K: 128, want: Chunk, C: 64, L: 16, N: 16},
		{T: 1000, K: 24, want: Chunk, C: 32, L: 32, N: 32},
		{T: 1000, K: 128, opt: Options{ChunkSize: 128, Segment: 3}, want: Chunk, C: 128, L: 3, N: 8},
		{T: 1000, K: 128, opt: Options{ChunkSize: 16, Segment: 100}, want: Chunk, C: 16, L: 63, N: 63},
		{T: 1000, K: 128, opt: Options{Implementation: Recurrent}, want: Recurrent, C: 1, L: 1000, N: 1000},
	} {
		zeros := func(shape ...int) *tensor.Tensor { return tensor.Zeros(tensor.Float64, shape...) } // not for kernels
		in := operands{q: zeros(1, c.T, 1, c.K), k: zeros(1, c.T, 1, c.K), v: zeros(1, c.T, 1, 8)}
		z := geometryOf(in, c.opt)
		last := z.plan.segments[len(z.plan.segments)-1]
		L, N := len(z.plan.segments[0].active), last.chunk+len(last.active)
		if got := z.implementation; got != c.want || z.plan.C != c.C || L != c.L || N != c.N {
			t.Errorf("T=%d K=%d %+v: %s with C=%d L=%d N=%d, want %s with C=%d L=%d N=%d",
				c.T, c.K, c.opt, got, z.plan.C, L, N, c.want, c.C, c.L, c.N)
		}
	}
}
