package gateddelta

import (
	"math"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// TestMetal runs the kernels through Apply, on the CPU in the emulator.
func TestMetal(t *testing.T) {
	kernels := func(chunk, segment int, d tensor.Dtype) variant {
		return variant{implementation: Metal, chunk: chunk, segment: segment, dtype: d}
	}
	t.Run("golden", func(t *testing.T) {
		for name, c := range golden(t) {
			if c.K%8 == 0 && c.V%8 == 0 {
				t.Run(name, func(t *testing.T) { c.check(t, kernels(32, 0, tensor.Float32), c.want) })
			}
		}
	})
	t.Run("kinds", func(t *testing.T) {
		for _, gate := range []string{"zero", "mild", "logsigmoid", "a16", "all-30", "token-100", "reset", "inf"} {
			for _, keys := range []string{"random", "identical", "collinear", "zero"} {
				for i, beta := range []string{"zero", "sigmoid", "one", "2sigmoid"} {
					p := sample(uint64(i), sampling{B: 2, T: 37, Hk: 1, Hv: 2, K: 16, V: 8, gate: gate, keys: keys, beta: beta, h0: i%2 == 0, dht: i > 1})
					t.Run(p.String(), func(t *testing.T) { p.check(t, kernels(16, 1+i, tensor.Float32), p.solve()) })
				}
			}
		}
	})
	t.Run("half", func(t *testing.T) {
		for _, d := range []tensor.Dtype{tensor.BFloat16, tensor.Float16} {
			p := sample(7, sampling{B: 1, T: 100, Hk: 2, Hv: 4, K: 64, V: 32, h0: true, dht: true})
			p.round(t, d)
			for _, chunk := range []int{16, 32, 64} {
				v := kernels(chunk, 0, d)
				t.Run(v.String(), func(t *testing.T) { p.check(t, v, p.solve()) })
			}
		}
	})
	report.log(t)
}

func TestMetalRefuses(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	inputs := func(d tensor.Dtype, K int) Inputs {
		x := tape.Var(tensor.Zeros(d, 1, 20, 1, K))
		return Inputs{Q: x, K: x, V: x}
	}
	for want, c := range map[string]struct {
		in  Inputs
		opt Options
	}{
		`Implementation is "metal", but the kernels take K and V that are multiples of 8 up to 256, not 12 and 12`: {in: inputs(tensor.Float32, 12)},
		`Implementation is "metal", but the kernels take float32, bfloat16 and float16, not float64`:               {in: inputs(tensor.Float64, 16)},
		`but the kernels take chunks of 16, 32 and 64, not 128`:                                                    {in: inputs(tensor.Float32, 16), opt: Options{ChunkSize: 128}},
		`Scan is "two-level" with Implementation "metal"`:                                                          {in: inputs(tensor.Float32, 16), opt: Options{Scan: ScanTwoLevel}},
	} {
		c.opt.Implementation = Metal
		if err := tensor.Try(func() { Apply(c.in, c.opt) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestMetalExplained(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	q := tape.Var(tensor.BroadcastTo(tensor.Zeros(tensor.Float32, 1, 1, 1, 1), 1, 2048, 8, 128))
	v := tape.Var(tensor.BroadcastTo(tensor.Zeros(tensor.Float32, 1, 1, 1, 1), 1, 2048, 32, 128))
	p := Explain(Inputs{Q: q, K: q, V: v}, Options{Implementation: Metal, Segment: 8})
	if p.Implementation != Metal || p.ChunkSize != 32 || p.Scan != ScanSequential || p.Threads != 1 {
		t.Errorf("%+v", p)
	}
	if beside := p.BackwardBytes - 2*q.Value().Bytes()*2 - 2*v.Value().Bytes() + p.KeptBytes; beside > 100e6 {
		t.Errorf("%d bytes beside operands and gradients, want at most 100 MB", beside)
	}
	if last := p.Why[len(p.Why)-1]; last != "16 kernels forward and 32 backward: one of each stage for a segment" {
		t.Errorf("%q", last)
	}
}

func TestCheckKernels(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16, tensor.Float16} {
		if err := CheckKernels(d, 1, 2, 24, 16); err != nil {
			t.Error(err)
		}
	}
	if err := CheckKernels(tensor.Float32, 1, 2, 20, 16); err == nil || !strings.Contains(err.Error(), "multiples of 8 up to 256, not 20 and 16") {
		t.Errorf("K = 20: %v", err)
	}
	a, b := tensor.FromSlice([]float32{3, 4}), tensor.FromSlice([]float32{0, 5})
	if e, err := distance(a, b); err != nil || math.Abs(e-math.Sqrt(10)/5) > 1e-6 {
		t.Errorf("distance is %g, %v", e, err)
	}
}
