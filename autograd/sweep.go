package autograd

import (
	"fmt"
	"slices"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// sweep carries gradients backwards through a graph. It goes from the last
// node to the first, without recursion: every user of a value was recorded
// after it, so that a value's gradient is complete when its node is reached.
type sweep struct {
	g *graph

	// grads are the sums of what has reached each slot. Each is a handle that
	// nothing else refers to.
	grads []*tensor.Tensor

	made    []bool       // slots of outputs of nodes; the others are leaves
	kept    map[int]bool // slots whose gradients are wanted; nil for all leaves
	dropped map[int]bool // slots of leaves that got a gradient which is not

	passing []*tensor.Tensor // memory of pass
}

func newSweep(g *graph) *sweep {
	return &sweep{g: g, grads: make([]*tensor.Tensor, g.slots), made: make([]bool, g.slots)}
}

// start adds the seed of result i.
func (s *sweep) start(i int, v *Var, seed *tensor.Tensor) error {
	switch {
	case v == nil:
		return errors.Errorf("result %d is nil", i)
	case v.graph.tape != s.g.tape:
		return errors.Errorf("result %d is on another tape", i)
	case v.graph != s.g:
		return errors.Errorf("result %d was made inside a Checkpoint that has ended", i)
	case seed == nil && v.value.Size() != 1:
		return errors.Errorf("want a result of one element or a seed for it, got result %d of shape %v", i, v.Shape())
	case seed != nil && mismatch(v.value, seed):
		return errors.Errorf("want the seed of result %d to be %s, got %s", i, describe(v.value), describe(seed))
	}
	if !v.requires {
		return nil
	}
	if seed == nil {
		s.add(v.slot, tensor.OnesLike(v.value))
	} else {
		s.add(v.slot, s.g.tape.scope.Use(seed))
	}
	return nil
}

// add adds a gradient, whose handle becomes the sweep's.
func (s *sweep) add(slot int, grad *tensor.Tensor) {
	old := s.grads[slot]
	if old == nil {
		s.grads[slot] = grad
		return
	}
	s.grads[slot] = tensor.Add(old, grad)
	tensor.Free(old, grad)
}

// only makes the sweep keep the gradients of vars, and of no other leaves.
func (s *sweep) only(vars []*Var) {
	s.kept, s.dropped = make(map[int]bool, len(vars)), make(map[int]bool)
	for _, v := range vars {
		s.kept[v.slot] = true
	}
}

// wants reports whether the gradient of v is kept or flows on.
func (s *sweep) wants(v *Var) bool { return s.kept == nil || !v.leaf || s.kept[v.slot] }

// reached reports whether a gradient came to v.
func (s *sweep) reached(v *Var) bool {
	return v.requires && (s.grads[v.slot] != nil || s.dropped[v.slot])
}

// run sweeps the graph. Then grads has the gradients of all leaves, until finish.
// A panic with *tensor.Error of an operation becomes an error that names it.
func (s *sweep) run() error {
	var err error
	at := s.g.last
	panicked := tensor.Try(func() {
		for ; at != nil && err == nil; at = at.before {
			err = s.step(at)
		}
	})
	if panicked != nil {
		return errors.Wrapf(panicked, "backward of %v", at)
	}
	return err
}

// finish leaves in grads what is to be kept, and shows it to hooks.
func (s *sweep) finish() error {
	for slot, grad := range s.grads {
		switch {
		case grad == nil || s.made[slot]:
		case s.kept != nil && !s.kept[slot]:
			tensor.Free(grad)
			s.grads[slot] = nil
		default:
			if err := s.callHooks(slot); err != nil {
				return err
			}
		}
	}
	return nil
}

// step passes the gradients of a node's outputs on to its operands.
func (s *sweep) step(ctx *Context) error {
	if reached, err := s.arrive(ctx); !reached || err != nil {
		return err
	}
	t := s.g.tape
	start := t.mark()
	base := len(t.operands)
	for _, v := range ctx.out {
		var grad *tensor.Tensor
		if v.requires {
			grad = s.grads[v.slot]
		}
		if grad == nil && !ctx.nilGrads {
			grad = tensor.ZerosLike(v.value)
		}
		t.operands = append(t.operands, grad)
	}
	ahead := tensor.EvaluationsAhead()
	in, err := ctx.backward(slices.Clip(t.operands[base:]))
	t.operands = t.operands[:base]
	if err == nil {
		err = s.intact(ctx)
	}
	if err != nil {
		return err
	}
	s.pass(ctx, in, t.since(start))
	if !t.retain {
		ctx.release()
	}
	if tensor.EvaluationsAhead() != ahead {
		s.catchUp()
	}
	return nil
}

// catchUp evaluates the gradients that there are, after a Backward that evaluated
// its operands: as long as gradients wait, they hold on to what was evaluated for
// them, in all layers that the sweep has been through.
func (s *sweep) catchUp() {
	var waiting []*tensor.Tensor
	for _, grad := range s.grads {
		if grad != nil {
			waiting = append(waiting, grad)
		}
	}
	_ = tensor.EvalAhead(waiting...) // which leaves errors to the gradients
}

// intact reports what Backward closed that others may read.
func (s *sweep) intact(ctx *Context) error {
	for i, v := range ctx.out {
		if v.requires && s.grads[v.slot] != nil && s.grads[v.slot].Closed() {
			return errors.Errorf("backward of %v: it closed the gradient of output %d, which belongs to the tape", ctx, i)
		}
	}
	for i, x := range ctx.saved {
		if x != nil && x.Closed() {
			return errors.Errorf("backward of %v: it closed saved tensor %d, which belongs to the tape", ctx, i)
		}
	}
	return nil
}

// arrive completes the gradients of a node's outputs and reports whether there
// are any.
func (s *sweep) arrive(ctx *Context) (reached bool, err error) {
	for _, v := range ctx.out {
		if v.requires {
			s.made[v.slot] = true
			reached = reached || s.grads[v.slot] != nil
		}
	}
	if reached && ctx.spent {
		return false, errors.Errorf("a second backward pass through %v: the first one freed what it saved; call Tape.Retain before it to have several", ctx)
	}
	if len(s.g.hooks) > 0 {
		for _, v := range ctx.out {
			if !v.requires {
				continue
			}
			if err := s.callHooks(v.slot); err != nil {
				return false, err
			}
		}
	}
	return reached, nil
}

// pass adds the gradients that Backward returned to those of the operands. The
// handles that it made, and those of the gradients that it consumed, are freed
// unless they go on.
func (s *sweep) pass(ctx *Context, in, handles []*tensor.Tensor) {
	for _, v := range ctx.out {
		if v.requires && !s.kept[v.slot] {
			handles = append(handles, s.grads[v.slot])
			s.grads[v.slot] = nil
		}
	}
	s.passing = s.passing[:0]
	for i, grad := range in {
		switch {
		case grad == nil || !ctx.Needs(i):
			grad = nil
		case !s.wants(ctx.in[i]):
			s.dropped[ctx.in[i].slot] = true
			grad = nil
		case !take(handles, grad):
			grad = s.g.tape.scope.Use(grad)
		}
		s.passing = append(s.passing, grad)
	}
	// Adding frees handles, of which one may have been returned several times.
	for i, grad := range s.passing {
		if grad != nil {
			s.add(ctx.in[i].slot, grad)
		}
	}
	free(handles)
}

// backward calls the Function's Backward and checks what it returns.
func (c *Context) backward(grads []*tensor.Tensor) ([]*tensor.Tensor, error) {
	var in []*tensor.Tensor
	if f, ok := c.fn.(*checkpoint); ok {
		var err error
		if in, err = f.replay(c, grads); err != nil {
			return nil, errors.Wrapf(err, "backward of %v", c)
		}
	} else {
		in = c.fn.Backward(c, grads...)
	}
	if len(in) != len(c.in) {
		return nil, errors.Errorf("backward of %v: want a gradient for each of %d operands (nil for none), got %d", c, len(c.in), len(in))
	}
	for i, grad := range in {
		if grad != nil && c.in[i] != nil && mismatch(c.in[i].value, grad) {
			return nil, errors.Errorf("backward of %v: want gradient %d to be %s as operand %d is, got %s",
				c, i, describe(c.in[i].value), i, describe(grad))
		}
	}
	if c.graph.tape.anomaly {
		return in, c.checkGradients(in)
	}
	return in, nil
}

// callHooks shows a complete gradient to the hooks of its Var. They get a handle
// of their own, so that they may keep it.
func (s *sweep) callHooks(slot int) error {
	t := s.g.tape
	for _, f := range s.g.hooks[slot] {
		grad := s.grads[slot]
		if grad == nil {
			return nil
		}
		start := t.mark()
		shown := t.scope.Use(grad)
		other := f(shown)
		if other != nil && other != shown {
			if mismatch(grad, other) {
				return errors.Errorf("want a hook to return a gradient that is %s, got %s", describe(grad), describe(other))
			}
			s.grads[slot] = t.scope.Use(other)
			tensor.Free(grad)
		}
		fresh := t.since(start)
		take(fresh, s.grads[slot])
		free(fresh)
	}
	return nil
}

func mismatch(want, got *tensor.Tensor) bool {
	return want.Dtype() != got.Dtype() || !sameShape(want, got)
}

// describe prints a dtype and a shape.
func describe(t *tensor.Tensor) string {
	return fmt.Sprintf("%s %v", t.Dtype(), t.Shape())
}
