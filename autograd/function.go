package autograd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/deltatape/deltatape/tensor"
)

// Function is a differentiable operation. Its configuration lives in fields
// that neither method changes. Tensors that the methods compute belong to the
// tape, which releases them when the method returns unless they are outputs,
// gradients or saved: neither method needs a scope of its own. What they are
// given is the tape's and stays open.
//
// If it has a String method, errors call it by that, else by its type.
type Function interface {
	// Forward computes the outputs, one or more, from the values of the
	// operands; an operand of Apply that is nil is nil here. The slice is
	// valid during the call only.
	Forward(ctx *Context, in ...*tensor.Tensor) []*tensor.Tensor

	// Backward turns the gradients of the outputs into those of the operands,
	// one each: of the operand's shape and dtype, or nil for none. The gradient
	// of an output on which nothing depends is zeros. The slice is valid
	// during the call only. A Backward that has to evaluate tensors does so by
	// tensor.EvalAhead: then the gradients that wait elsewhere are evaluated,
	// too, and let go of what they hold.
	Backward(ctx *Context, grad ...*tensor.Tensor) []*tensor.Tensor
}

// Context is one application of a Function, and the node of it in the graph. It
// carries what Forward leaves for Backward.
type Context struct {
	fn     Function
	graph  *graph
	before *Context // the node before it
	in     []*Var   // nil where an operand is absent
	out    []*Var
	saved  []*tensor.Tensor
	owned  []*tensor.Tensor // those of saved that nothing else refers to

	recorded bool
	spent    bool // a backward pass has been here and freed what was saved
	nilGrads bool
	constant []int  // outputs that have no gradient
	site     string // where it was applied, if the tape detects anomalies

	in0    [3]*Var // back the slices where they fit
	out0   [1]*Var
	saved0 [3]*tensor.Tensor
}

// Save keeps tensors for Backward: operands, outputs, or anything else. It is
// for Forward, and adds to what was saved before.
func (c *Context) Save(ts ...*tensor.Tensor) {
	if !c.recorded {
		return
	}
	if c.saved == nil {
		c.saved = c.saved0[:0]
	}
	c.saved = append(c.saved, ts...)
}

// Saved returns the i-th tensor that Forward saved. It is for Backward.
func (c *Context) Saved(i int) *tensor.Tensor {
	if i < 0 || i >= len(c.saved) {
		panic(tensor.NewError(c.op(), nil, "Saved(%d): Forward saved %d tensors", i, len(c.saved)))
	}
	return c.saved[i]
}

// Needs reports whether the gradient of operand i will be used. In Forward it
// is false for all of them if the operation is not recorded.
func (c *Context) Needs(i int) bool {
	return c.recorded && i >= 0 && i < len(c.in) && c.in[i] != nil && c.in[i].requires
}

// OperandShape returns the lengths of the axes of operand i, which must not be
// absent.
func (c *Context) OperandShape(i int) []int { return c.operand(i).Shape() }

// OperandDtype returns the type of the elements of operand i, which must not be
// absent.
func (c *Context) OperandDtype(i int) tensor.Dtype { return c.operand(i).Dtype() }

func (c *Context) operand(i int) *tensor.Tensor {
	if i < 0 || i >= len(c.in) || c.in[i] == nil {
		panic(tensor.NewError(c.op(), nil, "operand %d of %d is absent", i, len(c.in)))
	}
	return c.in[i].value
}

// AllowNilGrads makes absent gradients of outputs arrive in Backward as nil in
// place of zeros. It is for Forward.
func (c *Context) AllowNilGrads() { c.nilGrads = true }

// MarkNonDifferentiable says that the given outputs have no gradient, such as
// indices or a mask. Outputs of integers and bools never have one. It is for
// Forward.
func (c *Context) MarkNonDifferentiable(outputs ...int) { c.constant = append(c.constant, outputs...) }

// op names the operation in errors.
func (c *Context) op() string { return "autograd.Apply(" + nameOf(c.fn) + ")" }

// String names the operation and, if known, where it was applied.
func (c *Context) String() string {
	if c.site == "" {
		return nameOf(c.fn)
	}
	return nameOf(c.fn) + " (applied at " + c.site + ")"
}

func nameOf(f Function) string {
	if s, ok := f.(fmt.Stringer); ok {
		return s.String()
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", f), "*")
}

// Apply runs f on the tape of the operands and returns its outputs. Operands may
// be nil, for optional ones, but not all.
func Apply(f Function, in ...*Var) []*Var {
	if f == nil {
		panic(tensor.NewError("autograd.Apply", nil, "the Function is nil"))
	}
	t := tapeOf(f, in)
	g := t.graph
	ctx := t.newContext()
	ctx.fn, ctx.graph, ctx.in = f, g, ctx.in0[:0]
	base := len(t.operands)
	for _, v := range in {
		var x *tensor.Tensor
		if v != nil {
			v = g.local(f, v)
			x = v.value
		}
		ctx.in = append(ctx.in, v)
		t.operands = append(t.operands, x)
	}
	ctx.recorded = g.mode == recording && ctx.requires()
	start := t.mark()
	values := f.Forward(ctx, slices.Clip(t.operands[base:])...)
	t.operands = t.operands[:base]

	out := ctx.settle(values, start)
	if ctx.recorded {
		if t.anomaly {
			ctx.site = tensor.NewError("", nil, "").Site
		}
		ctx.out = append(ctx.out0[:0], out...)
		g.record(ctx)
	} else {
		t.reuse(ctx)
	}
	return out
}

// tapeOf returns the tape of the operands, which must be open. That they share
// it is for graph.local to see.
func tapeOf(f Function, in []*Var) *Tape {
	for _, v := range in {
		if v != nil {
			t := v.graph.tape
			if t.closed {
				panic(tensor.NewError("autograd.Apply("+nameOf(f)+")", nil, "the tape is closed"))
			}
			return t
		}
	}
	panic(tensor.NewError("autograd.Apply("+nameOf(f)+")", nil, "want an operand that is not nil, got %d operands", len(in)))
}

func (c *Context) requires() bool {
	for _, v := range c.in {
		if v != nil && v.requires {
			return true
		}
	}
	return false
}

// settle makes the Vars of the outputs and releases what Forward made since
// start but neither returned nor saved.
func (c *Context) settle(values []*tensor.Tensor, start mark) []*Var {
	t := c.graph.tape
	if len(values) == 0 {
		panic(tensor.NewError(c.op(), nil, "Forward returned no outputs"))
	}
	for i, v := range c.in {
		if v != nil && v.value.Closed() {
			panic(tensor.NewError(c.op(), nil, "Forward closed operand %d, which belongs to the tape", i))
		}
	}
	fresh := t.since(start)
	requires := c.requires()
	out := t.spareList(len(values))
	for i, y := range values {
		if y == nil || y.Closed() {
			panic(tensor.NewError(c.op(), nil, "output %d of Forward is nil or closed", i))
		}
		// Operands are the tape's already; tensors from elsewhere are not.
		if !take(fresh, y) && !c.isOperand(y) {
			if j := slices.Index(values[:i], y); j >= 0 {
				y = out[j].value
			} else {
				y = t.scope.Use(y)
			}
		}
		constant := slices.Contains(c.constant, i)
		out[i] = c.graph.newVar(y, requires && y.Dtype().IsFloat() && !constant)
		out[i].marked = constant
		if f, ok := c.fn.(*checkpoint); ok {
			out[i].marked = f.marked[i]
		}
	}
	for i, x := range c.saved {
		if x == nil {
			continue // an absent operand
		}
		if x.Closed() {
			panic(tensor.NewError(c.op(), nil, "saved tensor %d is closed", i))
		}
		if take(fresh, x) {
			c.owned = append(c.owned, x)
		}
	}
	free(fresh)
	return out
}

func (c *Context) isOperand(y *tensor.Tensor) bool {
	return slices.ContainsFunc(c.in, func(v *Var) bool { return v != nil && v.value == y })
}

// free closes those of a list that take has left.
func free(list []*tensor.Tensor) {
	for _, x := range list {
		if x != nil {
			tensor.Free(list...)
			return
		}
	}
}

// release frees what was saved, when the backward pass is through with it.
func (c *Context) release() {
	tensor.Free(c.owned...)
	c.saved, c.owned = nil, nil
	c.saved0 = [len(c.saved0)]*tensor.Tensor{}
	c.spent = true
}
