// Package layertest helps to test layers: it checks the gradients of a module's
// input and parameters, and measures distances.
package layertest

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
)

// Forward applies a module to inputs.
type Forward func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var

// Gradients compares the gradients of a module's inputs and trainable parameters
// with finite differences, in float64.
func Gradients(t *testing.T, module any, forward Forward, inputs ...*tensor.Tensor) {
	t.Helper()
	nn.Cast(module, tensor.Float64)
	f := &function{forward: forward, inputs: len(inputs)}
	var values []*tensor.Tensor
	for _, x := range inputs {
		values = append(values, tensor.AsType(x, tensor.Float64))
	}
	for _, p := range nn.Named(module) {
		if p.Trainable() {
			f.params = append(f.params, p)
			values = append(values, tensor.AsType(p.Value(), tensor.Float64))
		}
	}
	gradcheck.Run(t, func(in ...*autograd.Var) []*autograd.Var { return autograd.Apply(f, in...) }, values, gradcheck.Options{})
}

// function makes an op of inputs and parameters out of a module, whose Forward
// takes only inputs.
type function struct {
	forward Forward
	inputs  int
	params  []*autograd.Param
}

func (f *function) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in...)
	tape := autograd.NoGrad()
	defer tape.Close()
	y, _ := f.apply(tape, in)
	tape.Keep(y.Value())
	return []*tensor.Tensor{y.Value()}
}

func (f *function) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	in := make([]*tensor.Tensor, f.inputs+len(f.params))
	for i := range in {
		in[i] = ctx.Saved(i)
	}
	tape := autograd.NewTape()
	defer tape.Close()
	y, leaves := f.apply(tape, in)
	grads, err := tape.Grad([]*autograd.Var{y}, []*tensor.Tensor{grad[0]}, leaves...)
	if err != nil {
		panic(err)
	}
	tape.Keep(grads...)
	return grads
}

func (f *function) apply(tape *autograd.Tape, in []*tensor.Tensor) (y *autograd.Var, leaves []*autograd.Var) {
	for _, x := range in[:f.inputs] {
		leaves = append(leaves, tape.Var(x))
	}
	for i, p := range f.params {
		p.SetValue(in[f.inputs+i])
		leaves = append(leaves, tape.Param(p))
	}
	return f.forward(tape, leaves[:f.inputs]...), leaves
}

// Distance returns the relative L2 distance ‖got − want‖/‖want‖, NaN if the
// shapes differ or a number is NaN.
func Distance(t *testing.T, got, want *tensor.Tensor) float64 {
	t.Helper()
	a, b := Floats(t, got), Floats(t, want)
	if len(a) != len(b) {
		return math.NaN()
	}
	var diff, norm float64
	for i := range a {
		diff += (a[i] - b[i]) * (a[i] - b[i])
		norm += b[i] * b[i]
	}
	if norm == 0 {
		return math.Sqrt(diff)
	}
	return math.Sqrt(diff / norm)
}

// Close fails the test unless got is within a relative L2 distance of want.
func Close(t *testing.T, what string, got, want *tensor.Tensor, limit float64) {
	t.Helper()
	if d := Distance(t, got, want); !(d <= limit) {
		t.Errorf("%s is %.3g away in relative L2, want %.3g at most: shapes %v and %v", what, d, limit, got.Shape(), want.Shape())
	} else {
		t.Logf("%s: %.2g", what, d)
	}
}

// Floats reads a tensor's numbers.
func Floats(t *testing.T, x *tensor.Tensor) []float64 {
	t.Helper()
	list, err := tensor.Data[float64](tensor.AsType(x, tensor.Float64))
	if err != nil {
		t.Fatal(err)
	}
	return list
}
