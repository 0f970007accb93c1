package gateddelta

import (
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// CheckKernels runs Implementation Metal and Chunk on a few tokens of noise, with
// heads of the given number and size, and compares outputs and all gradients: so that
// a compiler or a GPU that gets a kernel wrong is reported, and not trained on. The
// error names the first result that differs, or says that there are no such kernels.
func CheckKernels(d tensor.Dtype, Hk, Hv, K, V int) error {
	var wrong error
	misuse := tensor.Try(func() {
		results := map[Implementation][]*tensor.Tensor{}
		for _, implementation := range []Implementation{Chunk, Metal} {
			r, err := noiseRun(implementation, d, Hk, Hv, K, V)
			if err != nil {
				wrong = err
				return
			}
			results[implementation] = r
		}
		bound := 1e-4
		if d != tensor.Float32 {
			bound = 3e-2
		}
		for i, name := range []string{"O", "the final state", "the gradient of Q", "the gradient of K", "the gradient of V", "the gradient of LogDecay", "the gradient of Beta", "the gradient of InitialState"} {
			e, err := distance(results[Metal][i], results[Chunk][i])
			if err != nil {
				wrong = err
				return
			}
			if !(e <= bound) {
				wrong = errors.Errorf("gateddelta.CheckKernels: %s by the kernels differs by %.1e from that by the op graph, want at most %g: use Implementation Chunk on this machine", name, e, bound)
				return
			}
		}
	})
	if misuse != nil {
		return misuse
	}
	return wrong
}

// noiseRun returns outputs and gradients, detached from a tape.
func noiseRun(implementation Implementation, d tensor.Dtype, Hk, Hv, K, V int) ([]*tensor.Tensor, error) {
	const B, T = 2, 37
	tape := autograd.NewTape()
	defer tape.Close()
	keys := tensor.Split(tensor.Key(1), 8)
	noise := func(i int, d tensor.Dtype, shape ...int) *tensor.Tensor {
		return tensor.AsType(tensor.Normal(keys[i], shape...), d)
	}
	leaves := []*autograd.Var{
		tape.Var(noise(0, d, B, T, Hk, K)), tape.Var(noise(1, d, B, T, Hk, K)), tape.Var(noise(2, d, B, T, Hv, V)),
		tape.Var(tensor.Neg(tensor.Abs(noise(3, tensor.Float32, B, T, Hv)))),
		tape.Var(tensor.Sigmoid(noise(4, tensor.Float32, B, T, Hv))), tape.Var(noise(5, tensor.Float32, B, Hv, K, V)),
	}
	out := Apply(Inputs{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Beta: leaves[4], InitialState: leaves[5]},
		Options{Implementation: implementation, FinalState: true, QKL2Norm: true, ChunkSize: 32})
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState},
		[]*tensor.Tensor{noise(6, d, B, T, Hv, V), noise(7, tensor.Float32, B, Hv, K, V)}, leaves...)
	if err != nil {
		return nil, err
	}
	results := append([]*tensor.Tensor{out.O.Value(), out.FinalState.Value()}, grads...)
	for i, x := range results {
		results[i] = tensor.AsType(x, tensor.Float32)
	}
	if err := tensor.Eval(results...); err != nil {
		return nil, err
	}
	for i, x := range results { // the tape closes its own
		data, err := tensor.Data[float32](x)
		if err != nil {
			return nil, err
		}
		results[i] = tensor.FromSlice(data, x.Shape()...)
	}
	return results, nil
}

// distance returns ‖a − b‖ / ‖b‖.
func distance(a, b *tensor.Tensor) (float64, error) {
	e, err := tensor.Item[float32](tensor.Sum(tensor.Square(tensor.Sub(a, b)), false))
	if err != nil {
		return 0, err
	}
	n, err := tensor.Item[float32](tensor.Sum(tensor.Square(b), false))
	if err != nil {
		return 0, err
	}
	return math.Sqrt(float64(e / n)), nil
}
