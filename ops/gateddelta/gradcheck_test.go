package gateddelta

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// checkable is the rule of all six inputs with both outputs, for gradcheck.
func checkable(opt Options) func(...*autograd.Var) []*autograd.Var {
	opt.FinalState = true
	return func(v ...*autograd.Var) []*autograd.Var {
		out := Apply(Inputs{Q: v[0], K: v[1], V: v[2], LogDecay: v[3], Beta: v[4], InitialState: v[5]}, opt)
		return []*autograd.Var{out.O, out.FinalState}
	}
}

func (p problem) tensors(v variant) []*tensor.Tensor {
	tape := autograd.NoGrad()
	_, vars := p.inputs(tape, v)
	var list []*tensor.Tensor
	for _, x := range vars {
		list = append(list, x.Value())
	}
	tape.Keep(list...)
	tape.Close()
	return list
}

func TestGradients(t *testing.T) {
	double := variant{dtype: tensor.Float64}
	for _, c := range []struct {
		name string
		in   sampling
		opt  Options
		fast bool
	}{
		{"recurrent", sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 3, V: 2, gate: "logsigmoid"}, Options{Implementation: Recurrent}, false},
		{"chunk", sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 3, V: 2, gate: "logsigmoid"}, Options{Implementation: Chunk, ChunkSize: 16}, false},
		{"chunk-scale", sampling{B: 1, T: 3, Hk: 2, Hv: 2, K: 2, V: 3, beta: "2sigmoid"}, Options{Implementation: Chunk, Scale: 1.5}, false},
		{"chunks", sampling{B: 1, T: 36, Hk: 1, Hv: 3, K: 3, V: 2}, Options{Implementation: Chunk, ChunkSize: 16, Segment: 2}, true},
		{"recurrent-no-delta", sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 3, V: 2}, Options{Implementation: Recurrent, NoDelta: true}, false},
		{"chunk-no-delta", sampling{B: 2, T: 4, Hk: 1, Hv: 2, K: 3, V: 2}, Options{Implementation: Chunk, NoDelta: true}, false},
		{"chunks-no-delta", sampling{B: 1, T: 36, Hk: 1, Hv: 3, K: 3, V: 2}, Options{Implementation: Chunk, ChunkSize: 16, NoDelta: true}, true},
		{"recurrent-long", sampling{B: 1, T: 36, Hk: 1, Hv: 3, K: 3, V: 2}, Options{Implementation: Recurrent}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.in.h0 = true
			gradcheck.Run(t, checkable(c.opt), sample(1, c.in).tensors(double), gradcheck.Options{Fast: c.fast})
		})
	}
}

// TestImplementationsAgree compares them directly, in float32.
func TestImplementationsAgree(t *testing.T) {
	in := sample(2, sampling{B: 2, T: 100, Hk: 2, Hv: 4, K: 16, V: 24, gate: "logsigmoid", h0: true}).tensors(variant{dtype: tensor.Float32})
	reference := checkable(Options{Implementation: Recurrent})
	gradcheck.Parity(t, reference, checkable(Options{Implementation: Chunk}), in, gradcheck.ParityOptions{Tolerance: 1e-5})
}
