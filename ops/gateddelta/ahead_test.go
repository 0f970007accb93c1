package gateddelta

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// cut returns x as a lazy tensor whose file ends before its data.
func cut(t *testing.T, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cut.safetensors")
	if err := tensor.Save(path, map[string]*tensor.Tensor{"x": x}, nil); err != nil {
		t.Fatal(err)
	}
	loaded, _, err := tensor.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	return loaded["x"]
}

// byKernels are applications that evaluate their operands, of Metal, or leave it to the
// evaluation of results.
func byKernels() map[string]Options {
	list := map[string]Options{
		"auto":           {FinalState: true},
		"metal segments": {FinalState: true, Implementation: Metal, ChunkSize: 16, Segment: 1},
	}
	if hasCPU() {
		list["cpu"] = Options{FinalState: true, Implementation: CPU}
	}
	return list
}

// TestCutOperand wants what can't be evaluated to be an error of evaluations, whoever
// asks first, and never a panic nor numbers.
func TestCutOperand(t *testing.T) {
	wrong := func(t *testing.T, what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "cut.safetensors: the file ended before") {
			t.Errorf("%s: %v, want the file's error", what, err)
		}
	}
	for name, opt := range byKernels() {
		p := sample(1, sampling{B: 1, T: 40, Hk: 2, Hv: 4, K: 32, V: 32, h0: true, dht: true})
		v := variant{dtype: tensor.Float32}
		for _, evaluate := range []bool{false, true} {
			for operand := range operandCount + 2 {
				t.Run(fmt.Sprintf("%s/%d/%v", name, operand, evaluate), func(t *testing.T) {
					tape := autograd.NewTape()
					defer tape.Close()
					in, leaves := p.inputs(tape, v)
					seeds := p.seeds(v)
					if operand < operandCount {
						leaves[operand] = tape.Var(cut(t, leaves[operand].Value()))
						in = Inputs{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Beta: leaves[4], InitialState: leaves[5]}
					} else {
						seeds[operand-operandCount] = cut(t, seeds[operand-operandCount])
					}
					if evaluate && !resolve(in, opt).ahead() {
						return // what failed once is done, as for any graph
					}
					var out Output
					if err := tensor.Try(func() {
						out = Apply(in, opt)
						for _, x := range leaves { // which others may use, too
							tensor.Neg(x.Value())
						}
					}); err != nil {
						t.Fatal(err)
					}
					if evaluate && operand < operandCount {
						wrong(t, "the outputs", tensor.Eval(tensor.Sum(out.O.Value(), false), out.FinalState.Value()))
					}
					grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, seeds, leaves...)
					if err == nil {
						err = tensor.Eval(grads...)
					}
					wrong(t, "the gradients", err)
				})
			}
		}
	}
}

// TestShortMemory wants passes under a limit of memory to leave the error to the
// evaluation, and nothing lost when there is memory again.
func TestShortMemory(t *testing.T) {
	p := sample(1, sampling{B: 1, T: 64, Hk: 2, Hv: 4, K: 32, V: 32, h0: true, dht: true})
	v := variant{dtype: tensor.Float32, implementation: Chunk}
	want := p.run(t, v)
	setLimit := func(bytes int64) {
		if err := tensor.SetMemoryLimit(bytes); err != nil {
			t.Fatal(err)
		}
	}
	defer setLimit(0)
	for name, opt := range byKernels() {
		t.Run(name, func(t *testing.T) {
			tape := autograd.NewTape()
			defer tape.Close()
			in, leaves := p.inputs(tape, v) // lazy ones
			seeds := p.seeds(v)
			setLimit(1)
			var out Output
			if err := tensor.Try(func() { out = Apply(in, opt) }); err != nil {
				t.Fatal(err)
			}
			var limit *tensor.MemoryError
			if err := tensor.Eval(out.O.Value()); !errors.As(err, &limit) {
				t.Errorf("%v, want a *MemoryError", err)
			}
			grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, seeds, leaves...)
			setLimit(0)
			if err != nil {
				t.Fatal(err)
			}
			got := result{"o": read(t, out.O.Value()), "ht": read(t, out.FinalState.Value())}
			for i, g := range grads {
				got[[]string{"dq", "dk", "dv", "dg", "dbeta", "dh0"}[i]] = read(t, g)
			}
			for name, x := range got {
				if e := relative(x, want[name], 0); !(e < 1e-5) {
					t.Errorf("%s differs by %.1e", name, e)
				}
			}
		})
	}
}

// TestShortMemoryBackward is the same for a limit that comes after the forward pass.
func TestShortMemoryBackward(t *testing.T) {
	if !cpuServes(t) {
		return
	}
	p := sample(1, sampling{B: 1, T: 64, Hk: 2, Hv: 4, K: 32, V: 32, h0: true, dht: true})
	v := variant{dtype: tensor.Float32, implementation: CPU, chunk: 16, segment: 2}
	want := p.run(t, v)
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	out := p.apply(in, v)
	if err := tensor.SetMemoryLimit(1); err != nil {
		t.Fatal(err)
	}
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, p.seeds(v), leaves...)
	if err := errors.WithStack(tensor.SetMemoryLimit(0)); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range grads {
		name := []string{"dq", "dk", "dv", "dg", "dbeta", "dh0"}[i]
		if e := relative(read(t, g), want[name], 0); !(e < 1e-5) {
			t.Errorf("%s differs by %.1e", name, e)
		}
	}
}

// TestAhead wants nothing to be evaluated inside a function that is traced.
func TestAhead(t *testing.T) {
	p := sample(1, sampling{B: 1, T: 40, Hk: 1, Hv: 2, K: 16, V: 16})
	tape := autograd.NoGrad()
	defer tape.Close()
	in, _ := p.inputs(tape, variant{dtype: tensor.Float32})
	for name, opt := range byKernels() {
		if got, want := resolve(in, opt).ahead(), opt.Implementation == Metal; got != want {
			t.Errorf("%s evaluates ahead: %v, want %v", name, got, want)
		}
	}
	f := tensor.Compile(func(x []*tensor.Tensor) []*tensor.Tensor {
		for _, segment := range []int{0, 1} {
			if resolve(in, Options{Implementation: Metal, ChunkSize: 16, Segment: segment}).ahead() {
				t.Error("evaluates inside a function that is traced")
			}
		}
		return x
	})
	defer f.Close()
	if _, err := f.Call(tensor.Ones(tensor.Float32, 1)); err != nil {
		t.Error(err)
	}
}
