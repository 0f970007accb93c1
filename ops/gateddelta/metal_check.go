package gateddelta

import (
	"math"
	"sync"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// CheckKernels runs Implementation Metal and Chunk on a few tokens of noise, with
// heads of the given number and size, and compares outputs and all gradients: so that
// a compiler or a GPU that gets a kernel wrong is reported, and not trained on. The
// error names the first result that differs, or says that there are no such kernels.
// What it finds for the default device holds for the rest of the process.
func CheckKernels(d tensor.Dtype, Hk, Hv, K, V int) error {
	err := verdict(metal.Config{Dtype: d, Chunk: kernelChunk, DK: K, DV: V, HK: Hk, HV: Hv})
	return errors.WithMessage(err, "gateddelta.CheckKernels")
}

// verdicts are what comparisons found.
var verdicts struct {
	sync.Mutex
	of map[checked]error
}

// checked is what is compared once.
type checked struct {
	config metal.Config
	device tensor.Device
}

// verdict compares the kernels of a configuration unless that was done before. That
// memory was short is no verdict.
func verdict(c metal.Config) error {
	verdicts.Lock()
	defer verdicts.Unlock()
	key := checked{c, tensor.DefaultDevice()}
	err, known := verdicts.of[key]
	if known {
		return err
	}
	if misuse := tensor.Try(func() { err = compareKernels(c) }); misuse != nil {
		err = misuse
	}
	if err == nil || broken(err) != nil {
		if verdicts.of == nil {
			verdicts.of = make(map[checked]error)
		}
		verdicts.of[key] = err
	}
	return err
}

// checkKernels panics if the kernels that are to be used were found wrong. Where
// nothing can be evaluated, the next application does it.
func (z geometry) checkKernels() {
	if z.kernels == nil || tensor.Tracing() {
		return
	}
	if err := broken(verdict(z.kernels.Config())); err != nil {
		panic(mistake(nil, "Implementation %q is wrong on this machine, ask for %q: %v", Metal, Chunk, err))
	}
}

// noiseResults are those of what noiseRun returns.
var noiseResults = []string{
	"O", "the final state", "the gradient of Q", "the gradient of K", "the gradient of V",
	"the gradient of LogDecay", "the gradient of Beta", "the gradient of InitialState",
}

func compareKernels(c metal.Config) error {
	want, err := noiseRun(Chunk, c)
	if err != nil {
		return err
	}
	got, err := noiseRun(Metal, c)
	if err != nil {
		return err
	}
	bound := 1e-4
	if c.Dtype != tensor.Float32 {
		bound = 3e-2
	}
	return difference(got, want, bound)
}

// difference names the first of noiseResults that is further from the op graph's than
// bound.
func difference(got, want []*tensor.Tensor, bound float64) error {
	for i, name := range noiseResults {
		e, err := distance(got[i], want[i])
		if err != nil {
			return err
		}
		if !(e <= bound) {
			return errors.Errorf("%s by the kernels differs by %.1e from that by the op graph, want at most %g", name, e, bound)
		}
	}
	return nil
}

// noiseRun returns outputs and gradients, detached from a tape. A sequence has two
// chunks, one of them not full.
func noiseRun(implementation Implementation, c metal.Config) ([]*tensor.Tensor, error) {
	B, T, Hk, Hv, K, V := 2, c.Chunk+5, c.HK, c.HV, c.DK, c.DV
	tape := autograd.NewTape()
	defer tape.Close()
	keys := tensor.Split(tensor.Key(1), 8)
	noise := func(i int, d tensor.Dtype, shape ...int) *tensor.Tensor {
		return tensor.AsType(tensor.Normal(keys[i], shape...), d)
	}
	leaves := []*autograd.Var{
		tape.Var(noise(0, c.Dtype, B, T, Hk, K)), tape.Var(noise(1, c.Dtype, B, T, Hk, K)), tape.Var(noise(2, c.Dtype, B, T, Hv, V)),
		tape.Var(tensor.Neg(tensor.Abs(noise(3, tensor.Float32, B, T, Hv)))),
		tape.Var(tensor.Sigmoid(noise(4, tensor.Float32, B, T, Hv))), tape.Var(noise(5, tensor.Float32, B, Hv, K, V)),
	}
	out := Apply(Inputs{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Beta: leaves[4], InitialState: leaves[5]},
		Options{Implementation: implementation, FinalState: true, QKL2Norm: true, ChunkSize: c.Chunk})
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState},
		[]*tensor.Tensor{noise(6, c.Dtype, B, T, Hv, V), noise(7, tensor.Float32, B, Hv, K, V)}, leaves...)
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
