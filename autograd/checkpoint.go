package autograd

import (
	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// Checkpoint returns f(in...) without keeping what f computes on the way. The
// backward pass runs f again on the same values to get its gradients, which are
// bit for bit those of a plain call. Between the passes only the operands and
// results take memory.
//
// f may run operations on the tape of its operands, and use parameters and
// other Vars of that tape that are not among its arguments: they get their
// gradients, too. Vars made inside are no longer valid when f has returned,
// except for those that it returns. f must do the same each time it runs, so
// random numbers have to come from keys that it does not change. Checkpoints
// may be nested. At least one operand must not be nil.
//
// The second run hangs on the gradients that come in: its operands depend on
// them, so that it can't be evaluated early, beside the forward pass.
func Checkpoint(f func(in ...*Var) []*Var, in ...*Var) []*Var {
	if f == nil {
		panic(tensor.NewError("autograd.Checkpoint", nil, "the function is nil"))
	}
	return Apply(&checkpoint{f: f, n: len(in)}, in...)
}

// checkpoint is the Function of a Checkpoint. Vars that its f captures become
// further operands of the node.
type checkpoint struct {
	f func(in ...*Var) []*Var
	n int // arguments of f

	marked []bool // results that are not differentiable
}

func (c *checkpoint) String() string { return "autograd.Checkpoint" }

func (c *checkpoint) Forward(ctx *Context, _ ...*tensor.Tensor) []*tensor.Tensor {
	m := tracking
	if ctx.graph.mode == off {
		m = off
	}
	g := ctx.graph.tape.enter(m)
	defer g.leave()
	args := make([]*Var, c.n)
	for i, v := range ctx.in {
		args[i] = g.standIn(v, nil)
	}
	out := g.values(c, c.f(args...))
	ctx.in = append(ctx.in, g.captured...)
	ctx.recorded = ctx.graph.mode == recording && ctx.requires()
	ctx.AllowNilGrads()
	values := make([]*tensor.Tensor, len(out))
	for i, v := range out {
		values[i] = v.value
		c.marked = append(c.marked, v.marked)
		if !v.requires {
			ctx.MarkNonDifferentiable(i)
		}
	}
	return values
}

// Backward is not called: a sweep calls replay, which can fail.
func (c *checkpoint) Backward(*Context, ...*tensor.Tensor) []*tensor.Tensor {
	panic("autograd: Backward of a Checkpoint")
}

// replay runs f again, recording, and returns the gradients of the operands of
// ctx from those of its results.
func (c *checkpoint) replay(ctx *Context, grads []*tensor.Tensor) ([]*tensor.Tensor, error) {
	g := ctx.graph.tape.enter(recording)
	defer g.leave()
	tied := tie(ctx.in, grads)
	operands := make([]*Var, len(ctx.in))
	for i, v := range ctx.in {
		operands[i] = g.standIn(v, tied[i])
		if i >= c.n {
			g.standIns[v] = operands[i]
		}
	}
	out := g.values(c, c.f(operands[:c.n:c.n]...))
	if len(out) != len(grads) {
		return nil, errors.Errorf("the function returned %d results, and %d in the forward pass", len(out), len(grads))
	}
	s := newSweep(g)
	for i, grad := range grads {
		if grad == nil {
			continue
		}
		if err := s.start(i, out[i], grad); err != nil {
			return nil, err
		}
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	in := make([]*tensor.Tensor, len(operands))
	for i, v := range operands {
		if v != nil && v.requires {
			in[i] = s.grads[v.slot]
		}
	}
	return in, nil
}

// standIn is the Var of g for v, an operand, with another value unless it is
// nil.
func (g *graph) standIn(v *Var, value *tensor.Tensor) *Var {
	if v == nil {
		return nil
	}
	if value == nil {
		value = v.value
	}
	return g.newVar(value, v.requires)
}

// values returns the results of a function as Vars of g.
func (g *graph) values(c *checkpoint, out []*Var) []*Var {
	local := make([]*Var, len(out))
	for i, v := range out {
		if v == nil {
			panic(tensor.NewError("autograd.Checkpoint", nil, "result %d of the function is nil", i))
		}
		local[i] = g.local(c, v)
	}
	return local
}

// tie returns the values of the operands, nil for absent ones, such that they
// are evaluated only after the gradients.
func tie(operands []*Var, grads []*tensor.Tensor) []*tensor.Tensor {
	var values, deps []*tensor.Tensor
	for _, v := range operands {
		if v != nil {
			values = append(values, v.value)
		}
	}
	for _, grad := range grads {
		if grad != nil {
			deps = append(deps, grad)
		}
	}
	values = tensor.Depends(values, deps)
	tied := make([]*tensor.Tensor, len(operands))
	for i, v := range operands {
		if v != nil {
			tied[i], values = values[0], values[1:]
		}
	}
	return tied
}
