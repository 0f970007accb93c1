package gateddelta

import (
	"cmp"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// CheckKernels runs the kernels of Implementation Metal on a few tokens of noise, with
// chunks of the given size (0: the size that Apply chooses for long sequences) and
// heads of the given number and size. It compares outputs and all gradients with those
// of Chunk in float32: so that a compiler or a GPU that gets a kernel wrong is
// reported, and not trained on. The error names the first result that differs, or says
// that there are no such kernels. What it finds for the default device holds for the
// rest of the process.
func CheckKernels(d tensor.Dtype, chunk, Hk, Hv, K, V int) error {
	err := verdict(metal.Config{Dtype: d, Chunk: cmp.Or(chunk, kernelChunk), DK: K, DV: V, HK: Hk, HV: Hv})
	return errors.WithMessage(err, "gateddelta.CheckKernels")
}

// verdicts are what comparisons found.
var verdicts metal.Verdicts[metal.Config]

// verdict compares the kernels of a configuration unless that was done before.
func verdict(c metal.Config) error {
	return verdicts.Of(c, func() error { return compareKernels(c) })
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

// kernelBounds are the errors that comparisons let pass in results of a dtype. Operands
// are rounded to it on both sides, and everything is float32 inside, so that results in
// half types differ by one rounding.
var kernelBounds = map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.BFloat16: 4e-3, tensor.Float16: 5e-4}

func compareKernels(c metal.Config) error {
	if why := c.Refusal(); why != "" {
		return errors.New(why)
	}
	s := tensor.NewScope()
	defer s.Close()
	want, err := noiseRun(s, Chunk, c, noiseOperands(s, tensor.Float32, c))
	if err != nil {
		return err
	}
	got, err := noiseRun(s, Metal, c, noiseOperands(s, c.Dtype, c))
	if err != nil {
		return err
	}
	return difference(got, want)
}

// difference names the first of noiseResults that is too far from the op graph's.
func difference(got, want []*tensor.Tensor) error {
	for i, name := range noiseResults {
		bound := kernelBounds[got[i].Dtype()]
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

// noiseOperands are the six inputs of the rule and the gradients of O and of the final
// state, in the scope s: numbers of the configuration's dtype, to be computed with in
// another. A sequence has two chunks, one of them not full.
func noiseOperands(s *tensor.Scope, d tensor.Dtype, c metal.Config) []*tensor.Tensor {
	B, T, Hk, Hv, K, V := 2, c.Chunk+5, c.HK, c.HV, c.DK, c.DV
	keys := tensor.Split(s.Use(tensor.Key(1)), 8)
	noise := func(i int, shape ...int) *tensor.Tensor { return tensor.Normal(keys[i], shape...) }
	rounded := func(x *tensor.Tensor) *tensor.Tensor { return tensor.AsType(tensor.AsType(x, c.Dtype), d) }
	unit := func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.Mul(x, tensor.Rsqrt(tensor.Sum(tensor.Square(x), true, -1)))
	}
	return []*tensor.Tensor{
		rounded(unit(noise(0, B, T, Hk, K))), rounded(unit(noise(1, B, T, Hk, K))), rounded(noise(2, B, T, Hv, V)),
		tensor.Neg(tensor.Abs(noise(3, B, T, Hv))), tensor.Sigmoid(noise(4, B, T, Hv)), noise(5, B, Hv, K, V),
		rounded(noise(6, B, T, Hv, V)), noise(7, B, Hv, K, V),
	}
}

// noiseRun returns outputs and gradients, evaluated and in the scope s.
func noiseRun(s *tensor.Scope, implementation Implementation, c metal.Config, operands []*tensor.Tensor) ([]*tensor.Tensor, error) {
	tape := autograd.NewTape()
	defer tape.Close()
	leaves := make([]*autograd.Var, operandCount)
	for i := range leaves {
		leaves[i] = tape.Var(operands[i])
	}
	out := Apply(Inputs{Q: leaves[0], K: leaves[1], V: leaves[2], LogDecay: leaves[3], Beta: leaves[4], InitialState: leaves[5]},
		Options{Implementation: implementation, FinalState: true, ChunkSize: c.Chunk})
	grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, operands[operandCount:], leaves...)
	if err != nil {
		return nil, err
	}
	results := append([]*tensor.Tensor{out.O.Value(), out.FinalState.Value()}, grads...)
	s.Adopt(results...)
	return results, tensor.Eval(results...)
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
