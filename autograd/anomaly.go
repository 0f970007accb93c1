package autograd

import (
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
	"github.com/deltatape/deltatape/tensor"
)

// checkResults reports the first operation whose outputs can't be evaluated, or
// are not finite if that reaches one of the results.
func (g *graph) checkResults(outs []*Var) error {
	for _, ctx := range g.nodes() {
		for i, v := range ctx.out {
			if err := tensor.Eval(v.value); err != nil {
				return errors.Wrapf(err, "evaluating output %d of %v", i, ctx)
			}
		}
	}
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
	for _, ctx := range g.nodes() {
		for i, v := range ctx.out {
			found, err := nonFinite(v.value)
			if err != nil {
				return fmt.Sprintf("output %d of %v can't be evaluated: %v", i, ctx, err)
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
	list, err := tensor.Data[float64](tensor.AsType(h, tensor.Float64))
	if err != nil {
		return "", err
	}
	for i, x := range list {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Sprintf("%v at %v", x, rowmajor.Index(i, t.Shape())), nil
		}
	}
	return "", nil
}
