package gateddelta

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
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
	if beside := p.BackwardBytes - 2*q.Value().Bytes() - v.Value().Bytes() + p.KeptBytes; beside > 100e6 || beside < 50e6 {
		t.Errorf("%d bytes beside operands and gradients, want at most 100 MB", beside)
	}
	if last := p.Why[len(p.Why)-1]; last != "16 kernels forward and 32 backward: one of each stage for a segment, and segments are evaluated one after the other" {
		t.Errorf("%q", last)
	}
	p = Explain(Inputs{Q: q, K: q, V: v}, Options{Implementation: Metal, Segment: 2048 / 32})
	if p.Segments != 1 || p.Why[2] != "segments of 64: the options ask for it" {
		t.Errorf("%d segments, %q", p.Segments, p.Why[2])
	}
	long := func(x *autograd.Var) *autograd.Var {
		return tape.Var(tensor.BroadcastTo(tensor.Zeros(tensor.Float32, 1, 1, 1, 1), 1, 32768, x.Dim(2), 128))
	}
	p = Explain(Inputs{Q: long(q), K: long(q), V: long(v)}, Options{Implementation: Metal, Segment: 32768 / 32})
	if p.Segments < 4 || !strings.HasSuffix(p.Why[2], ": the options ask for longer ones, which would hold a GPU of 10 TFLOP/s for more than 4 ms in one launch") {
		t.Errorf("%d segments, %q", p.Segments, p.Why[2])
	}
	if want := "sequential scan: a kernel keeps the states from chunk to chunk, in registers, or on CUDA in shared memory"; p.Why[3] != want {
		t.Errorf("%q, want %q", p.Why[3], want)
	}
	q, v = q.Detach(), v.Detach()
	if p := Explain(Inputs{Q: q, K: q, V: v}, Options{Implementation: Metal}); p.ForwardLaunches != 2 || p.Segments < 2 {
		t.Errorf("%d launches of a forward pass alone, want 2", p.ForwardLaunches)
	}
}

func TestCheckKernels(t *testing.T) {
	for d, chunks := range map[tensor.Dtype][]int{tensor.Float32: {0, 16, 32}, tensor.BFloat16: {16, 32, 64}, tensor.Float16: {16, 32, 64}} {
		for _, chunk := range chunks {
			if err := CheckKernels(d, chunk, 1, 2, 24, 16); err != nil {
				t.Error(err)
			}
		}
	}
	if err := CheckKernels(tensor.Float32, 0, 1, 2, 20, 16); err == nil || !strings.Contains(err.Error(), "multiples of 8 up to 256, not 20 and 16") {
		t.Errorf("K = 20: %v", err)
	}
	if err := CheckKernels(tensor.Float32, 64, 1, 2, 24, 16); err == nil || !strings.Contains(err.Error(), "chunks of 64 for half types only") {
		t.Errorf("chunks of 64: %v", err)
	}
}

// noisy is a small configuration to compare.
var noisy = metal.Config{Dtype: tensor.Float32, Chunk: 16, DK: 8, DV: 8, HK: 1, HV: 1}

// TestKernelsDiffer wants each result that differs to be named, and NaN to differ.
func TestKernelsDiffer(t *testing.T) {
	s := tensor.NewScope()
	defer s.Close()
	for d := range kernelBounds {
		c := noisy
		c.Dtype = d
		want, err := noiseRun(s, Metal, c, noiseOperands(s, d, c))
		if err != nil {
			t.Fatal(err)
		}
		if err := difference(want, want); err != nil {
			t.Error(err)
		}
		for i, name := range noiseResults {
			for _, e := range []float64{3 * kernelBounds[want[i].Dtype()], math.NaN()} {
				got := slices.Clone(want)
				got[i] = tensor.MulScalar(got[i], 1+e)
				if err := difference(got, want); err == nil || !strings.Contains(err.Error(), name+" by the kernels differs by ") {
					t.Errorf("%s in %s: %v", name, d, err)
				}
			}
		}
	}
}

// TestCheckKernelsKnows wants kernels that are a little wrong to be found in all dtypes:
// they get operands that are, by a percent, one at a time.
func TestCheckKernelsKnows(t *testing.T) {
	s := tensor.NewScope()
	defer s.Close()
	for d := range kernelBounds {
		c := noisy
		c.Dtype = d
		want, err := noiseRun(s, Chunk, c, noiseOperands(s, tensor.Float32, c))
		if err != nil {
			t.Fatal(err)
		}
		for i := range noiseOperands(s, d, c) {
			operands := noiseOperands(s, d, c)
			operands[i] = tensor.MulScalar(operands[i], 1.01)
			got, err := noiseRun(s, Metal, c, operands)
			if err != nil {
				t.Fatal(err)
			}
			if err := difference(got, want); err == nil {
				t.Errorf("%s: operand %d is wrong, and nothing is found", d, i)
			}
		}
	}
}

// TestCheckKernelsOption wants a configuration to be compared once, and one that was
// found wrong to be refused each time.
func TestCheckKernelsOption(t *testing.T) {
	p := sample(1, sampling{B: 1, T: 20, Hk: 1, Hv: 3, K: 16, V: 24})
	apply := func(opt Options) error {
		tape := autograd.NewTape()
		defer tape.Close()
		in, _ := p.inputs(tape, variant{dtype: tensor.Float32})
		return tensor.Try(func() { Apply(in, opt) })
	}
	c := metal.Config{Dtype: tensor.Float32, Chunk: 16, DK: 16, DV: 24, HK: 1, HV: 3}
	known := func() bool { return verdicts.Known(c) }
	opt := Options{Implementation: Metal, ChunkSize: 16}
	if err := apply(opt); err != nil || known() {
		t.Errorf("without the option: %v, compared %v", err, known())
	}
	opt.CheckKernels = true
	if err := apply(Options{Implementation: Chunk, CheckKernels: true}); err != nil || known() {
		t.Errorf("chunk: %v, compared %v", err, known())
	}
	f := tensor.Compile(func(x []*tensor.Tensor) []*tensor.Tensor {
		tape := autograd.NoGrad()
		defer tape.Close()
		in, _ := p.inputs(tape, variant{dtype: tensor.Float32})
		resolve(in, opt).checkKernels()
		return x
	})
	defer f.Close()
	if _, err := f.Call(tensor.Ones(tensor.Float32, 1)); err != nil || known() {
		t.Errorf("in a function that is traced: %v, compared %v", err, known())
	}
	if err := tensor.SetMemoryLimit(1); err != nil {
		t.Fatal(err)
	}
	err := verdict(c)
	if e := tensor.SetMemoryLimit(0); e != nil || err == nil || known() {
		t.Errorf("short of memory: %v, compared %v", err, known())
	}
	if err := apply(opt); err != nil || !known() {
		t.Errorf("with the option: %v, compared %v", err, known())
	}
	verdicts.Set(c, errors.New("O is upside down"))
	for range 2 {
		err := apply(opt)
		var mistake *tensor.Error
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), `Implementation "metal" is wrong on this machine, ask for "chunk": O is upside down`) {
			t.Errorf("%v, want the verdict", err)
		}
	}
	if err := verdict(c); err == nil {
		t.Error("the verdict is forgotten")
	}
	opt.ChunkSize = 32
	if err := apply(opt); err != nil {
		t.Errorf("another configuration: %v", err)
	}
	verdicts.Set(c, nil)
}
