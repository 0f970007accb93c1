package autograd_test

import (
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func TestParam(t *testing.T) {
	value := vec(1, 2)
	p := autograd.NewParam("layer.weight", value)
	if p.Name() != "layer.weight" || !p.Trainable() {
		t.Errorf("got %q, trainable %v", p.Name(), p.Trainable())
	}
	tensor.Free(value) // the parameter has a handle of its own
	s := tensor.NewScope()
	next := tensor.MulScalar(s.Use(p.Value()), 3)
	old := p.Value()
	p.SetValue(next)
	s.Close()
	if got := read(t, p.Value()); !slices.Equal(got, []float64{3, 6}) {
		t.Errorf("got %v, want [3 6]", got)
	}
	if !old.Closed() {
		t.Error("the old value is still open: it would hinder an update in place")
	}
}

func TestSharedParam(t *testing.T) {
	p := autograd.NewParam("w", vec(2, 3))
	tape := newTape(t)
	x := tape.Var(vec(5, 7))
	w, again := tape.Param(p), tape.Param(p)
	if w != again {
		t.Error("a parameter has two leaves")
	}
	loss := sum(mul(mul(x, w), again)) // x·w²
	grads := backward(t, loss)
	if got := read(t, grads.OfParam(p)); !slices.Equal(got, []float64{20, 42}) {
		t.Errorf("got %v, want [20 42]", got)
	}
	if grads.Of(w) != grads.OfParam(p) {
		t.Error("Of and OfParam differ")
	}
	if grads.OfParam(autograd.NewParam("unused", vec(1))) != nil {
		t.Error("an unused parameter has a gradient")
	}
}

func TestFrozenParam(t *testing.T) {
	p := autograd.NewParam("w", vec(2, 3))
	p.SetTrainable(false)
	tape := newTape(t)
	x := tape.Var(vec(5, 7))
	grads := backward(t, sum(mul(x, tape.Param(p))))
	if grads.OfParam(p) != nil {
		t.Error("a frozen parameter has a gradient")
	}
	if got := read(t, grads.Of(x)); !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("got %v, want [2 3]", got)
	}
}

// Gradients of several passes add up to the gradient of the sum.
func TestAccumulation(t *testing.T) {
	p := autograd.NewParam("w", vec(2, 3))
	batch := [][]float64{{1, 2}, {3, 4}, {5, 6}}
	total := []float64{0, 0}
	for _, b := range batch {
		tape := autograd.NewTape()
		w := tape.Param(p)
		for i, g := range read(t, backward(t, sum(mul(mul(tape.Const(vec(b...)), w), w))).OfParam(p)) {
			total[i] += g
		}
		tape.Close()
	}
	tape := newTape(t)
	w := tape.Param(p)
	loss := sum(mul(mul(tape.Const(vec(batch[0]...)), w), w))
	for _, b := range batch[1:] {
		loss = add(loss, sum(mul(mul(tape.Const(vec(b...)), w), w)))
	}
	if got := read(t, backward(t, loss).OfParam(p)); !slices.Equal(got, total) {
		t.Errorf("the gradient of the sum is %v, the sum of the gradients %v", got, total)
	}
}
