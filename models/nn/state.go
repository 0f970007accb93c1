package nn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Count returns the number of elements in a module's parameters. A tied
// parameter counts once.
func Count(module any) int {
	n := 0
	for _, p := range Named(module) {
		n += p.Value().Size()
	}
	return n
}

// State returns the present values of a module's parameters by name.
func State(module any) map[string]*tensor.Tensor {
	state := map[string]*tensor.Tensor{}
	for name, p := range Named(module) {
		state[name] = p.Value()
	}
	return state
}

// Load gives a module's parameters the values of those names, converted to the
// parameters' dtypes. It is strict: names that are missing, names that are
// unexpected, and tensors of a wrong shape or without floating-point values are
// all listed in one error, and then no parameter is changed.
func Load(module any, values map[string]*tensor.Tensor) error {
	var missing, unexpected, unfit []string
	known := map[string]bool{}
	for name, p := range Named(module) {
		known[name] = true
		v, ok := values[name]
		switch {
		case !ok || v == nil:
			missing = append(missing, name)
		case !slices.Equal(v.Shape(), p.Value().Shape()):
			unfit = append(unfit, fmt.Sprintf("%s: want shape %v, got %v", name, p.Value().Shape(), v.Shape()))
		case !v.Dtype().IsFloat():
			unfit = append(unfit, fmt.Sprintf("%s: want floating-point values, got %s", name, v.Dtype()))
		}
	}
	for name := range values {
		if !known[name] {
			unexpected = append(unexpected, name)
		}
	}
	slices.Sort(unexpected)

	var wrong []string
	for _, group := range []struct {
		what  string
		items []string
	}{{"missing", missing}, {"unexpected", unexpected}, {"wrong", unfit}} {
		if len(group.items) > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s (%s)", len(group.items), group.what, strings.Join(group.items, ", ")))
		}
	}
	if wrong != nil {
		return errors.Errorf("nn.Load: the values don't fit the module: %s", strings.Join(wrong, "; "))
	}
	for name, p := range Named(module) {
		convert(p, values[name], p.Value().Dtype())
	}
	return nil
}

// Cast converts a module's parameters to a floating-point dtype. In float64 a
// module computes in double precision, on the CPU.
func Cast(module any, d tensor.Dtype) {
	if !d.IsFloat() {
		panic(tensor.NewError("nn.Cast", nil, "want a floating-point dtype, got %s", d))
	}
	for _, p := range Named(module) {
		convert(p, p.Value(), d)
	}
}

// convert gives p the value of t as dtype d.
func convert(p *autograd.Param, t *tensor.Tensor, d tensor.Dtype) {
	s := tensor.NewScope()
	defer s.Close()
	p.SetValue(tensor.AsType(s.Use(t), d))
}
