package autograd

import (
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// checkResults reports the first operation with a value that is not finite if
// one of the results has one.
func (g *graph) checkResults(outs []*Var) error {
	for i, v := range outs {
		found, err := nonFinite(v.value)
		if err != nil {
			return errors.Wrapf(err, "evaluating result %d", i)
		}
		if found != "" {
			return errors.Errorf("result %d holds %s; %s", i, found, g.firstNonFinite())
		}
	}
	return nil
}

// checkGradients reports the first gradient of an operand that is not finite.
func (c *Context) checkGradients(in []*tensor.Tensor) error {
	for i, grad := range in {
		if grad == nil || !c.Needs(i) {
			continue
		}
		found, err := nonFinite(grad)
		if err != nil {
			return errors.Wrapf(err, "backward of %v: evaluating the gradient of operand %d", c, i)
		}
		if found != "" {
			return errors.Errorf("backward of %v: the gradient of operand %d, %s, holds %s; %s",
				c, i, describe(grad), found, c.graph.firstNonFinite())
		}
	}
	return nil
}

// firstNonFinite says where in the forward pass the first value that is not
// finite came up.
func (g *graph) firstNonFinite() string {
	for _, ctx := range g.nodes {
		for i, v := range ctx.out {
			found, err := nonFinite(v.value)
			if err != nil {
				return fmt.Sprintf("evaluating output %d of %v fails: %v", i, ctx, err)
			}
			if found != "" {
				return fmt.Sprintf("the forward pass first has %s in output %d of %v", found, i, ctx)
			}
		}
	}
	return "all recorded values of the forward pass are finite"
}

// nonFinite evaluates t and describes the first NaN or infinity in it.
func nonFinite(t *tensor.Tensor) (string, error) {
	if !t.Dtype().IsFloat() {
		return "", nil
	}
	s := tensor.NewScope()
	defer s.Close()
	h := s.Use(t)
	finite, err := tensor.Item[bool](tensor.All(tensor.IsFinite(h), false))
	if finite || err != nil {
		return "", err
	}
	if t.Dtype() != tensor.Float64 {
		h = tensor.AsType(h, tensor.Float32) // exact, and its index is all that counts
	}
	list, err := floats(h)
	if err != nil {
		return "", err
	}
	for i, x := range list {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Sprintf("%v at %v", x, unravel(i, t.Shape())), nil
		}
	}
	return "", nil
}

// floats reads a tensor of float32 or float64.
func floats(t *tensor.Tensor) ([]float64, error) {
	if t.Dtype() == tensor.Float64 {
		return tensor.Data[float64](t)
	}
	short, err := tensor.Data[float32](t)
	list := make([]float64, len(short))
	for i, x := range short {
		list[i] = float64(x)
	}
	return list, err
}

// unravel turns a row-major position into an index.
func unravel(at int, shape []int) []int {
	index := make([]int, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		index[axis] = at % shape[axis]
		at /= shape[axis]
	}
	return index
}
