package gradcheck

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
	"github.com/deltatape/deltatape/tensor"
)

// ParityOptions are the settings of a comparison. The zero value is right for
// most.
type ParityOptions struct {
	// Tolerance bounds the error of each output and gradient: the L2 norm of
	// the difference by that of the reference. If 0 it follows from the
	// coarsest dtype among inputs and outputs: 1e-9 for float64, 1e-5 for
	// float32, 2e-3 for float16, 1e-2 for bfloat16.
	Tolerance float64

	// Outputs and Grads replace Tolerance for single outputs and gradients of
	// inputs, by position.
	Outputs, Grads map[int]float64

	// Seed is that of the random gradients of the outputs.
	Seed uint64
}

// Parity is CheckParity for a test: it reports the error to t. There is at
// most one ParityOptions.
func Parity(t testing.TB, reference, fast func(...*autograd.Var) []*autograd.Var, inputs []*tensor.Tensor, opt ...ParityOptions) {
	t.Helper()
	var o ParityOptions
	if len(opt) > 0 {
		o = opt[0]
	}
	if err := CheckParity(reference, fast, inputs, o); err != nil {
		t.Errorf("%v", err)
	}
}

// CheckParity compares two implementations of one function at the inputs, in
// their own dtypes: the outputs, and the gradients of all floating-point inputs
// for random gradients of the outputs. Where the reference is exactly zero the
// other has to be, too. The error is a *Disparity if values differ.
func CheckParity(reference, fast func(...*autograd.Var) []*autograd.Var, inputs []*tensor.Tensor, opt ParityOptions) error {
	s := tensor.NewScope()
	defer s.Close()
	m := measurement{inputs: inputs, seed: opt.Seed, rounded: tensor.Float64}
	want, err := m.of(s, reference)
	if err != nil {
		return errors.Wrap(err, "gradcheck: the reference")
	}
	got, err := m.of(s, fast)
	if err != nil {
		return errors.Wrap(err, "gradcheck: the fast implementation")
	}
	if len(want.outs) != len(got.outs) {
		return errors.Errorf("gradcheck: want %d outputs as the reference has, got %d", len(want.outs), len(got.outs))
	}
	limit := opt.Tolerance
	if limit == 0 {
		for _, x := range append(append([]*tensor.Tensor(nil), inputs...), want.outs...) {
			limit = max(limit, tolerances[x.Dtype()])
		}
	}
	d := &Disparity{}
	for i := range want.outs {
		if err := d.compare(fmt.Sprintf("output %d", i), want.outs[i], got.outs[i], pick(opt.Outputs, i, limit)); err != nil {
			return err
		}
	}
	for i := range inputs {
		if err := d.compare(fmt.Sprintf("gradient of input %d", i), want.grads[i], got.grads[i], pick(opt.Grads, i, limit)); err != nil {
			return err
		}
	}
	if len(d.Differences) == 0 {
		return nil
	}
	return errors.Wrap(d, "gradcheck")
}

var tolerances = map[tensor.Dtype]float64{
	tensor.Float64:  1e-9,
	tensor.Float32:  1e-5,
	tensor.Float16:  2e-3,
	tensor.BFloat16: 1e-2,
}

func pick(own map[int]float64, i int, common float64) float64 {
	if x, ok := own[i]; ok {
		return x
	}
	return common
}

// Disparity lists the tensors in which two implementations differ.
type Disparity struct{ Differences []Difference }

// Difference is a tensor in which two implementations differ.
type Difference struct {
	Name             string  // such as "output 0" or "gradient of input 2"
	Ratio, Tolerance float64 // L2 norm of the difference by that of the reference
	Index            []int   // element that differs most
	Want, Got        float64 // its values
}

// Error lists the differences.
func (d *Disparity) Error() string {
	lines := make([]string, len(d.Differences))
	for i, x := range d.Differences {
		lines[i] = fmt.Sprintf("%s: relative error %.3g, want at most %.3g; worst at %v: want %.9g, got %.9g",
			x.Name, x.Ratio, x.Tolerance, x.Index, x.Want, x.Got)
	}
	return strings.Join(lines, "\n")
}

// compare adds the difference of two tensors, nil for an absent gradient.
func (d *Disparity) compare(name string, want, got *tensor.Tensor, tolerance float64) error {
	if want == nil && got == nil {
		return nil
	}
	if want == nil {
		want = tensor.ZerosLike(got)
	}
	if got == nil {
		got = tensor.ZerosLike(want)
	}
	if want.Dtype() != got.Dtype() || fmt.Sprint(want.Shape()) != fmt.Sprint(got.Shape()) {
		return errors.Errorf("gradcheck: %s: want %s %v as the reference has, got %s %v", name, want.Dtype(), want.Shape(), got.Dtype(), got.Shape())
	}
	a, err := wide(want)
	if err != nil {
		return errors.Wrapf(err, "gradcheck: %s of the reference", name)
	}
	b, err := wide(got)
	if err != nil {
		return errors.Wrapf(err, "gradcheck: %s", name)
	}
	norm, off, worst, at := 0.0, 0.0, -1.0, 0
	for i := range a {
		e := math.Abs(a[i] - b[i])
		if a[i] == b[i] {
			e = 0 // infinities
		}
		if e > worst || math.IsNaN(e) && !math.IsNaN(worst) {
			worst, at = e, i
		}
		off += e * e
		if !math.IsInf(a[i], 0) { // an infinite norm would forgive everything
			norm += a[i] * a[i]
		}
	}
	ratio := math.Sqrt(off / norm)
	if off == 0 {
		ratio = 0
	}
	if !(ratio <= tolerance) {
		d.Differences = append(d.Differences, Difference{name, ratio, tolerance, rowmajor.Index(at, want.Shape()), a[at], b[at]})
	}
	return nil
}

// wide reads a tensor of any dtype as float64.
func wide(x *tensor.Tensor) ([]float64, error) {
	s := tensor.NewScope()
	defer s.Close()
	return tensor.Data[float64](tensor.AsType(s.Use(x), tensor.Float64))
}

// measured are the outputs and gradients of one implementation.
type measured struct{ outs, grads, params []*tensor.Tensor }

// measurement is how to get them: by one backward pass from random seeds.
type measurement struct {
	inputs  []*tensor.Tensor
	params  []*autograd.Param // whose gradients are wanted, too
	seed    uint64
	rounded tensor.Dtype // to which the random numbers are, before they get the outputs' dtypes
}

// of measures f. The results belong to s.
func (m measurement) of(s *tensor.Scope, f func(...*autograd.Var) []*autograd.Var) (got measured, err error) {
	if f == nil {
		return got, errors.New("the function is nil")
	}
	panicked := tensor.Try(func() { got, err = m.sweep(s, f) })
	if panicked != nil {
		err = panicked
	}
	return got, err
}

func (m measurement) sweep(s *tensor.Scope, f func(...*autograd.Var) []*autograd.Var) (measured, error) {
	got := measured{grads: make([]*tensor.Tensor, len(m.inputs)), params: make([]*tensor.Tensor, len(m.params))}
	tape := autograd.NewTape()
	defer tape.Close()
	args := make([]*autograd.Var, len(m.inputs))
	for i, x := range m.inputs {
		if x == nil {
			return got, errors.Errorf("input %d is nil", i)
		}
		if x.Dtype().IsFloat() {
			args[i] = tape.Var(x)
		} else {
			args[i] = tape.Const(x)
		}
	}
	random := rand.New(rand.NewPCG(m.seed, 2))
	var outs []*autograd.Var
	var seeds []*tensor.Tensor
	for i, y := range f(args...) {
		if y == nil {
			return got, errors.Errorf("output %d is nil", i)
		}
		got.outs = append(got.outs, s.Use(y.Value()))
		if !y.Dtype().IsFloat() {
			continue
		}
		list := make([]float64, y.Value().Size())
		for k := range list {
			list[k] = random.NormFloat64()
		}
		if y.RequiresGrad() {
			x := fromSlice(list, y.Shape())
			s.Adopt(x)
			outs, seeds = append(outs, y), append(seeds, tensor.AsType(tensor.AsType(x, m.rounded), y.Dtype()))
		}
	}
	if len(outs) == 0 {
		return got, nil
	}
	grads, err := tape.BackwardFrom(outs, seeds)
	if err != nil {
		return got, err
	}
	own := func(x *tensor.Tensor) *tensor.Tensor {
		if x == nil {
			return nil
		}
		return s.Use(x)
	}
	for i, v := range args {
		got.grads[i] = own(grads.Of(v))
	}
	for i, p := range m.params {
		got.params[i] = own(grads.OfParam(p))
	}
	return got, nil
}
