package autograd

import "github.com/deltatape/deltatape/tensor"

// Param is a trainable value with a name. Its value lives outside of all
// scopes. Tapes of several goroutines may read a parameter at a time; setting it
// must not coincide with any other use.
type Param struct {
	name      string
	value     *tensor.Tensor
	trainable bool
	version   uint64 // rises with every SetValue
}

// outside is a scope that tensors only pass through, on their way to no scope.
var outside = tensor.NewScope()

func unscoped(t *tensor.Tensor) *tensor.Tensor {
	h := outside.Use(t)
	outside.Keep(h)
	return h
}

// NewParam makes a trainable parameter of a floating-point value, of which it
// takes a handle of its own: the argument stays the caller's.
func NewParam(name string, value *tensor.Tensor) *Param {
	mustBeFloat("autograd.NewParam", name, value)
	return &Param{name: name, value: unscoped(value), trainable: true}
}

// Name returns the parameter's name.
func (p *Param) Name() string { return p.name }

// Value returns the parameter's tensor, which the next SetValue closes.
func (p *Param) Value() *tensor.Tensor { return p.value }

// SetValue replaces the value and releases the old one at once, so that an
// update can reuse its memory. The new value must have the old one's shape and
// a floating-point dtype; the parameter takes a handle of its own.
func (p *Param) SetValue(value *tensor.Tensor) {
	const op = "autograd.Param.SetValue"
	mustBeFloat(op, p.name, value)
	if !sameShape(p.value, value) {
		panic(tensor.NewError(op, []*tensor.Tensor{p.value, value}, "the shape of parameter %q can't change", p.name))
	}
	old := p.value
	p.value = unscoped(value)
	p.version++
	tensor.Free(old)
}

// Trainable reports whether the parameter gets a gradient on tapes; new
// parameters do.
func (p *Param) Trainable() bool { return p.trainable }

// SetTrainable freezes the parameter or frees it, for tapes that have not used
// it yet.
func (p *Param) SetTrainable(on bool) { p.trainable = on }

func mustBeFloat(op, name string, value *tensor.Tensor) {
	if value == nil {
		panic(tensor.NewError(op, nil, "the value of parameter %q is nil", name))
	}
	if !value.Dtype().IsFloat() {
		panic(tensor.NewError(op, []*tensor.Tensor{value},
			"want a floating-point dtype for parameter %q, got %s", name, value.Dtype()))
	}
}

// sameShape compares without the copies that Shape makes.
func sameShape(a, b *tensor.Tensor) bool {
	if a.NDim() != b.NDim() {
		return false
	}
	for i := range a.NDim() {
		if a.Dim(i) != b.Dim(i) {
			return false
		}
	}
	return true
}
