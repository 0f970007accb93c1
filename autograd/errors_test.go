package autograd_test

import (
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// returning is a Function whose backward pass returns the given gradients.
func returning(grads ...*tensor.Tensor) autograd.Function {
	return custom{
		func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			return []*tensor.Tensor{tensor.Square(in[0])}
		},
		func(*autograd.Context, ...*tensor.Tensor) []*tensor.Tensor { return grads },
	}
}

func TestBackwardErrors(t *testing.T) {
	other := newTape(t)
	foreign := other.Var(vec(1))
	for _, c := range []struct {
		name string
		run  func(tape *autograd.Tape, x *autograd.Var) error
		text string
	}{
		{"second pass", func(tape *autograd.Tape, x *autograd.Var) error {
			y := sum(silu(x))
			if _, err := tape.Backward(y); err != nil {
				return nil
			}
			_, err := tape.Backward(y)
			return err
		}, "autograd.Backward: a second backward pass through autograd_test.sumOp: the first one freed what it saved; call Tape.Retain before it to have several"},
		{"second pass through a part", func(tape *autograd.Tape, x *autograd.Var) error {
			h := silu(x)
			if _, err := tape.Backward(sum(h)); err != nil {
				return nil
			}
			_, err := tape.Backward(sum(mul(h, h)))
			return err
		}, "a second backward pass through SiLU"},
		{"not one element", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(silu(x))
			return err
		}, "autograd.Backward: want a result of one element or a seed for it, got result 0 of shape [3]"},
		{"constant loss", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(x.Detach()))
			return err
		}, "depends on no Var and no trainable Param"},
		{"not recorded", func(*autograd.Tape, *autograd.Var) error {
			silent := autograd.NoGrad()
			defer silent.Close()
			_, err := silent.Backward(sum(silent.Var(vec(1))))
			return err
		}, "the tape doesn't record"},
		{"nil loss", func(tape *autograd.Tape, _ *autograd.Var) error {
			_, err := tape.Backward(nil)
			return err
		}, "result 0 is nil"},
		{"no result", func(tape *autograd.Tape, _ *autograd.Var) error {
			_, err := tape.BackwardFrom(nil, nil)
			return err
		}, "there is no result"},
		{"foreign loss", func(tape *autograd.Tape, _ *autograd.Var) error {
			_, err := tape.Backward(foreign)
			return err
		}, "result 0 is on another tape"},
		{"closed tape", func(tape *autograd.Tape, x *autograd.Var) error {
			y := sum(x)
			tape.Close()
			_, err := tape.Backward(y)
			return err
		}, "autograd.Backward: the tape is closed"},
		{"seed of another shape", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Grad([]*autograd.Var{silu(x)}, []*tensor.Tensor{vec(1, 2)}, x)
			return err
		}, "autograd.Grad: want the seed of result 0 to be float64 [3], got float64 [2]"},
		{"seed of another dtype", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Grad([]*autograd.Var{silu(x)}, []*tensor.Tensor{tensor.Ones(tensor.Float32, 3)}, x)
			return err
		}, "got float32 [3]"},
		{"too few seeds", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.BackwardFrom([]*autograd.Var{x, x}, []*tensor.Tensor{vec(1, 2, 3)})
			return err
		}, "want a seed for each of 2 results, got 1"},
		{"constant wrt", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Grad([]*autograd.Var{sum(x)}, nil, x, x.Detach())
			return err
		}, "Var 1 of wrt, of shape [3], is a constant"},
		{"independent wrt", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Grad([]*autograd.Var{sum(x)}, nil, x, tape.Var(vec(1, 2)))
			return err
		}, "the result doesn't depend on Var 1 of wrt, of shape [2]"},
		{"foreign wrt", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Grad([]*autograd.Var{sum(x)}, nil, foreign)
			return err
		}, "Var 0 of wrt is not on this tape"},
		{"gradient of another shape", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(autograd.Apply(returning(vec(1, 2)), x)[0]))
			return err
		}, "backward of custom: want gradient 0 to be float64 [3] as operand 0 is, got float64 [2]"},
		{"gradient of another dtype", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(autograd.Apply(returning(tensor.Ones(tensor.BFloat16, 3)), x)[0]))
			return err
		}, "got bfloat16 [3]"},
		{"no gradients", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(autograd.Apply(returning(), x)[0]))
			return err
		}, "backward of custom: want a gradient for each of 1 operands (nil for none), got 0"},
		{"panic", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(autograd.Apply(custom{
				func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
					return []*tensor.Tensor{tensor.Square(in[0])}
				},
				func(ctx *autograd.Context, _ ...*tensor.Tensor) []*tensor.Tensor {
					return []*tensor.Tensor{ctx.Saved(0)}
				},
			}, silu(x))[0]))
			return err
		}, "backward of custom: autograd.Apply(custom): Saved(0): Forward saved 0 tensors"},
		{"gradient closed", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(autograd.Apply(custom{
				func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
					return []*tensor.Tensor{tensor.MulScalar(in[0], 2)}
				},
				func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					d := tensor.MulScalar(grad[0], 2)
					tensor.Free(grad[0])
					return []*tensor.Tensor{d}
				},
			}, x)[0]))
			return err
		}, "backward of custom: it closed the gradient of output 0, which belongs to the tape"},
		{"saved tensor closed", func(tape *autograd.Tape, x *autograd.Var) error {
			_, err := tape.Backward(sum(autograd.Apply(custom{
				func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
					ctx.Save(nil, in[0])
					return []*tensor.Tensor{tensor.Square(in[0])}
				},
				func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					d := tensor.MulScalar(tensor.Mul(grad[0], ctx.Saved(1)), 2)
					tensor.Free(ctx.Saved(1))
					return []*tensor.Tensor{d}
				},
			}, silu(x))[0]))
			return err
		}, "backward of custom: it closed saved tensor 1, which belongs to the tape"},
		{"hook of another shape", func(tape *autograd.Tape, x *autograd.Var) error {
			x.Hook(func(*tensor.Tensor) *tensor.Tensor { return vec(1) })
			_, err := tape.Backward(sum(x))
			return err
		}, "want a hook to return a gradient that is float64 [3], got float64 [1]"},
		{"parameter set in between", func(tape *autograd.Tape, x *autograd.Var) error {
			p := autograd.NewParam("w", vec(1, 2, 3))
			y := sum(mul(x, tape.Param(p)))
			p.SetValue(vec(4, 5, 6))
			_, err := tape.Backward(y)
			return err
		}, `parameter "w" was set after the forward pass used it`},
		{"parameter set in between, on the way to another", func(tape *autograd.Tape, x *autograd.Var) error {
			p := autograd.NewParam("w", vec(1, 2, 3))
			y := sum(mul(x, tape.Param(p)))
			p.SetValue(vec(4, 5, 6))
			_, err := tape.Grad([]*autograd.Var{y}, nil, x)
			return err
		}, `autograd.Grad: parameter "w" was set after the forward pass used it`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			err := c.run(tape, tape.Var(vec(1, 2, 3)))
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q in it", err, c.text)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	other := newTape(t)
	foreign := other.Var(vec(1, 2, 3))
	forward := func(f func(in []*tensor.Tensor) []*tensor.Tensor) autograd.Function {
		return custom{
			func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				out := f(in)
				ctx.Save(out...)
				return out
			}, nil,
		}
	}
	for _, c := range []struct {
		name string
		run  func(tape *autograd.Tape, x *autograd.Var)
		text string
	}{
		{"two tapes", func(_ *autograd.Tape, x *autograd.Var) { mul(x, foreign) },
			"autograd.Apply(autograd_test.mulOp): an operand is on another tape: [3]"},
		{"closed tape", func(tape *autograd.Tape, x *autograd.Var) { tape.Close(); silu(x) },
			"autograd.Apply(SiLU): the tape is closed"},
		{"Var on a closed tape", func(tape *autograd.Tape, _ *autograd.Var) { tape.Close(); tape.Var(vec(1)) },
			"autograd.Tape.Var: the tape is closed"},
		{"Const on a closed tape", func(tape *autograd.Tape, _ *autograd.Var) { tape.Close(); tape.Const(vec(1)) },
			"autograd.Tape.Const: the tape is closed"},
		{"Param on a closed tape", func(tape *autograd.Tape, _ *autograd.Var) {
			tape.Close()
			tape.Param(autograd.NewParam("w", vec(1)))
		}, "autograd.Tape.Param: the tape is closed"},
		{"nil Param", func(tape *autograd.Tape, _ *autograd.Var) { tape.Param(nil) }, "the parameter is nil"},
		{"set Param", func(tape *autograd.Tape, _ *autograd.Var) {
			p := autograd.NewParam("w", vec(1))
			tape.Param(p)
			p.SetValue(vec(2))
			tape.Param(p)
		}, `parameter "w" was set after this tape took its value; use a new tape`},
		{"integer Var", func(tape *autograd.Tape, _ *autograd.Var) { tape.Var(tensor.FromSlice([]int32{1})) },
			"want a floating-point dtype, got int32; Const takes any: [1]"},
		{"no operands", func(*autograd.Tape, *autograd.Var) { autograd.Apply(siluOp{}) }, "got 0 operands"},
		{"nil operands only", func(*autograd.Tape, *autograd.Var) { autograd.Apply(mulOp{}, nil, nil) }, "got 2 operands"},
		{"nil Function", func(_ *autograd.Tape, x *autograd.Var) { autograd.Apply(nil, x) }, "autograd.Apply: the Function is nil"},
		{"nil function of a Checkpoint", func(_ *autograd.Tape, x *autograd.Var) { autograd.Checkpoint(nil, x) },
			"autograd.Checkpoint: the function is nil"},
		{"nil hook", func(_ *autograd.Tape, x *autograd.Var) { x.Hook(nil) }, "autograd.Var.Hook: the function is nil: [3]"},
		{"no outputs", func(_ *autograd.Tape, x *autograd.Var) {
			autograd.Apply(forward(func([]*tensor.Tensor) []*tensor.Tensor { return nil }), x)
		}, "autograd.Apply(custom): Forward returned no outputs"},
		{"nil output", func(_ *autograd.Tape, x *autograd.Var) {
			autograd.Apply(forward(func(in []*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{in[0], nil} }), x)
		}, "output 1 of Forward is nil or closed"},
		{"closed output", func(_ *autograd.Tape, x *autograd.Var) {
			autograd.Apply(forward(func(in []*tensor.Tensor) []*tensor.Tensor {
				s := tensor.NewScope()
				defer s.Close()
				return []*tensor.Tensor{tensor.Neg(s.Use(in[0]))}
			}), x)
		}, "output 0 of Forward is nil or closed"},
		{"operand closed", func(_ *autograd.Tape, x *autograd.Var) {
			autograd.Apply(forward(func(in []*tensor.Tensor) []*tensor.Tensor {
				y := tensor.Neg(in[0])
				tensor.Free(in[0])
				return []*tensor.Tensor{y}
			}), x)
		}, "autograd.Apply(custom): Forward closed operand 0, which belongs to the tape"},
		{"closed saved tensor", func(_ *autograd.Tape, x *autograd.Var) {
			autograd.Apply(custom{
				func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
					s := tensor.NewScope()
					defer s.Close()
					ctx.Save(tensor.Neg(s.Use(in[0])))
					return []*tensor.Tensor{tensor.Neg(in[0])}
				}, nil,
			}, x)
		}, "saved tensor 0 is closed"},
		{"wrong shapes", func(tape *autograd.Tape, x *autograd.Var) { mul(x, tape.Var(vec(1, 2))) },
			"tensor.Mul: shapes can't be broadcast together: [3] x [2]"},
		{"shape of a Param", func(*autograd.Tape, *autograd.Var) {
			autograd.NewParam("w", vec(1, 2)).SetValue(vec(1))
		}, `autograd.Param.SetValue: the shape of parameter "w" can't change: [2] x [1]`},
		{"dtype of a Param", func(*autograd.Tape, *autograd.Var) {
			autograd.NewParam("w", vec(1, 2)).SetValue(tensor.FromSlice([]int32{1, 2}))
		}, `want a floating-point dtype for parameter "w", got int32`},
		{"integer Param", func(*autograd.Tape, *autograd.Var) {
			autograd.NewParam("w", tensor.FromSlice([]bool{true}))
		}, `autograd.NewParam: want a floating-point dtype for parameter "w", got bool`},
		{"nil Param value", func(*autograd.Tape, *autograd.Var) { autograd.NewParam("w", nil) }, `the value of parameter "w" is nil`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			x := tape.Var(vec(1, 2, 3))
			err := tensor.Try(func() { c.run(tape, x) })
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q in it", err, c.text)
			}
		})
	}
}

// A tape goes on after a failed operation.
func TestTapeAfterMisuse(t *testing.T) {
	tape := newTape(t)
	x := tape.Var(vec(1, 2, 3))
	if tensor.Try(func() { mul(x, tape.Var(vec(1, 2))) }) == nil {
		t.Fatal("want an error")
	}
	if got := read(t, backward(t, sum(mul(x, x))).Of(x)); got[2] != 6 {
		t.Errorf("got %v, want [2 4 6]", got)
	}
}
