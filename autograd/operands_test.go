package autograd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func TestNeedsAndAbsentOperands(t *testing.T) {
	var forward, back []bool
	record := func(list *[]bool, ctx *autograd.Context) {
		*list = nil
		for i := -1; i < 4; i++ {
			*list = append(*list, ctx.Needs(i))
		}
	}
	f := custom{
		func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			record(&forward, ctx)
			if in[1] != nil {
				t.Error("the absent operand is not nil")
			}
			return []*tensor.Tensor{tensor.Mul(in[0], in[2])}
		},
		func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			record(&back, ctx)
			return []*tensor.Tensor{grad[0], grad[0], grad[0]} // more than is needed
		},
	}
	want := []bool{false, true, false, false, false}
	tape := newTape(t)
	x := tape.Var(vec(1, 2))
	backward(t, sum(autograd.Apply(f, x, nil, tape.Const(vec(3, 4)))[0]))
	if !slices.Equal(forward, want) || !slices.Equal(back, want) {
		t.Errorf("want %v, got %v forwards and %v backwards", want, forward, back)
	}

	silent := autograd.NoGrad()
	defer silent.Close()
	autograd.Apply(f, silent.Var(vec(1, 2)), nil, silent.Const(vec(3, 4)))
	if slices.Contains(forward, true) {
		t.Errorf("without recording: got %v, want none needed", forward)
	}
}

func TestOperandShapeAndDtype(t *testing.T) {
	f := custom{
		func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			return []*tensor.Tensor{tensor.Square(in[0])}
		},
		func(ctx *autograd.Context, _ ...*tensor.Tensor) []*tensor.Tensor {
			return []*tensor.Tensor{nil, nil, tensor.Ones(ctx.OperandDtype(2), ctx.OperandShape(2)...)}
		},
	}
	tape := newTape(t)
	x, y := tape.Var(vec(1, 2)), tape.Var(tensor.Ones(tensor.Float32, 2, 3))
	if got := read(t, tensor.AsType(backward(t, sum(autograd.Apply(f, x, nil, y)[0])).Of(y), tensor.Float64)); len(got) != 6 {
		t.Errorf("got %v, want six ones", got)
	}
	for _, i := range []int{-1, 1, 3} { // absent, and out of range
		err := tensor.Try(func() {
			autograd.Apply(custom{func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.OperandShape(i)
				return in[:1]
			}, nil}, x, nil, y)
		})
		if want := fmt.Sprintf("operand %d of 3 is absent", i); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
