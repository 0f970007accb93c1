package gateddelta

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// TestExplainIsWhatApplyDoes asks for what Explain says by name and wants the
// same bits.
func TestExplainIsWhatApplyDoes(t *testing.T) {
	for _, T := range []int{1, 2, 3, 20, 500} {
		for _, opt := range []Options{
			{}, {ChunkSize: 16}, {Segment: 1}, {Implementation: Recurrent, ChunkSize: 32}, {Implementation: Chunk, ChunkSize: 128},
			{CuSeqlens: []int{0, T / 2, T / 2, T}}, {CuSeqlens: []int{0, T / 3, T}, Segment: 2}, {CuSeqlens: []int{0, 0}},
		} {
			t.Run(fmt.Sprintf("T%d/%+v", T, opt), func(t *testing.T) {
				tape := autograd.NewTape()
				defer tape.Close()
				in, _ := sample(1, sampling{B: 1, T: T, Hk: 1, Hv: 2, K: 128, V: 8}).inputs(tape, variant{dtype: tensor.Float32})
				plan := Explain(in, opt)
				named := opt
				named.Implementation = plan.Implementation
				if plan.Implementation == Chunk {
					named.ChunkSize, named.Scan, named.ScanLength = plan.ChunkSize, plan.Scan, plan.ScanLength
				}
				named.Threads = plan.Threads
				if plan.Segment > 0 {
					named.Segment = plan.Segment
				}
				again := Explain(in, named)
				again.Why = plan.Why
				if fmt.Sprint(again) != fmt.Sprint(plan) {
					t.Errorf("asked for by name, the plan\n%vbecomes\n%v", plan, again)
				}
				if got, want := read(t, Apply(in, opt).O.Value()), read(t, Apply(in, named).O.Value()); !slices.Equal(got, want) {
					t.Errorf("Apply does something else than\n%v", plan)
				}
				if len(plan.Why) != 6 {
					t.Errorf("%d reasons, want 6", len(plan.Why))
				}
				for _, why := range plan.Why {
					if _, reason, _ := strings.Cut(why, ": "); reason == "" {
						t.Errorf("no reason in %q", why)
					}
				}
			})
		}
	}
}

// TestExplainComputesNothing wants neither handles nor memory taken.
func TestExplainComputesNothing(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	x := func(shape ...int) *autograd.Var { return tape.Const(tensor.Zeros(tensor.BFloat16, shape...)) }
	const T = 1 << 14
	in := Inputs{Q: x(2, T, 8, 128), K: x(2, T, 8, 128), V: x(2, T, 32, 128)}
	settle(t)
	live, active := tensor.Live(), tensor.Memory().Active
	tensor.ResetPeakMemory()
	plan := Explain(in, Options{Implementation: Chunk, Segment: 8, Validate: true})
	if n := tensor.Live() - live; n != 0 {
		t.Errorf("%d new handles", n)
	}
	if n := tensor.Memory().Peak - active; n > 0 {
		t.Errorf("%d bytes taken", n)
	}
	if want := int64(T/(64*8)-1) * 2 * 32 * 128 * 128 * 4; plan.KeptBytes != want {
		t.Errorf("%d bytes kept, want %d", plan.KeptBytes, want)
	}
}

// TestExplainCosts compares with numbers worked out for one token of 8 key heads
// and 32 value heads.
func TestExplainCosts(t *testing.T) {
	for _, c := range []struct {
		name              string
		opt               Options
		forward, backward float64 // MFLOP
	}{
		{"recurrent", Options{Implementation: Recurrent}, 3.670016, 10.48576},
		{"recurrent without delta", Options{Implementation: Recurrent, NoDelta: true}, 2.62144, 7.340032},
		{"chunks of 16", Options{ChunkSize: 16}, 3.478869, 9.568256},
		{"chunks of 64", Options{ChunkSize: 64}, 4.543829, 13.107200},
		{"chunks of 64 without delta", Options{ChunkSize: 64, NoDelta: true}, 2.752512, 7.340032},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := autograd.NoGrad()
			defer tape.Close()
			x := func(shape ...int) *autograd.Var { return tape.Const(tensor.Zeros(tensor.BFloat16, shape...)) }
			in := Inputs{
				Q: x(1, 256, 8, 128), K: x(1, 256, 8, 128), V: x(1, 256, 32, 128),
				GateInput: x(1, 256, 32), ALog: x(32), Beta: x(1, 256, 32),
			}
			for _, packed := range []bool{false, true} {
				opt, tokens := c.opt, 256.
				if packed {
					opt.CuSeqlens, tokens = []int{0, 100, 200}, 200
				}
				p := Explain(in, opt)
				for _, x := range []struct{ got, want float64 }{{p.ForwardFLOPs, c.forward}, {p.BackwardFLOPs, c.backward}} {
					if got := x.got / tokens / 1e6; math.Abs(got-x.want) > 1e-6 {
						t.Errorf("packed %t: %.6f MFLOP a token, want %.6f", packed, got, x.want)
					}
				}
			}
			opt := c.opt
			opt.FinalState = true
			p := Explain(in, opt)
			operands := int64(256 * (2*8*128*2 + 32*128*2 + 32*4 + 32*2)) // g is computed, in float32
			out := int64(256*32*128*2 + 32*128*128*4)
			if p.ForwardTraffic != operands+out || p.BackwardTraffic != 2*operands+out {
				t.Errorf("%d and %d bytes moved, want %d and %d", p.ForwardTraffic, p.BackwardTraffic, operands+out, 2*operands+out)
			}
		})
	}
}

// TestRecurrentMemory holds the recurrent form's backward pass to its formula,
// within a half either way.
func TestRecurrentMemory(t *testing.T) {
	p := sample(1, sampling{B: 2, T: 40, Hk: 2, Hv: 4, K: 64, V: 64, h0: true})
	v := variant{implementation: Recurrent, dtype: tensor.Float32}
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	out := p.apply(in, v)
	seed := p.seeds(v)[0]
	if err := tensor.Eval(out.O.Value(), seed); err != nil {
		t.Fatal(err)
	}
	settle(t)
	start := tensor.Memory().Active
	tensor.ResetPeakMemory()
	grads, err := tape.Grad([]*autograd.Var{out.O}, []*tensor.Tensor{seed}, leaves...)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.Eval(grads...); err != nil {
		t.Fatal(err)
	}
	peak, about := tensor.Memory().Peak-start, Explain(in, p.options(v)).BackwardBytes
	if peak < about/2 || peak > about*3/2 {
		t.Errorf("the backward pass takes %d bytes, Explain says about %d", peak, about)
	}
}
