package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Dropout sets each element to 0 with probability rate and multiplies the others
// by 1/(1 − rate), which keeps the mean. The key decides which: the same key
// drops the same elements, in a Checkpoint's second run too, and each call in a
// step needs a key of its own (tensor.Split). rate is in [0, 1); with 0 the
// result is x itself, and the key may be nil. Evaluation calls it with rate 0,
// or not at all.
func Dropout(x *autograd.Var, key *tensor.Tensor, rate float64) *autograd.Var {
	defer rename("Dropout")
	notNil("Dropout", x)
	if !(rate >= 0 && rate < 1) {
		panic(tensor.NewError("ops.Dropout", []*tensor.Tensor{x.Value()}, "want a rate in [0, 1), got %v", rate))
	}
	if !x.Dtype().IsFloat() {
		panic(tensor.NewError("ops.Dropout", []*tensor.Tensor{x.Value()}, "want a floating-point x, got %s", x.Dtype()))
	}
	if rate == 0 {
		return x
	}
	return apply("Dropout", dropout{rate}, x, constant("Dropout", key, x))[0]
}

// dropout keeps which elements stay, a byte each.
type dropout struct{ rate float64 }

func (dropout) String() string { return "ops.Dropout" }

func (d dropout) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, key := in[0], in[1]
	stays := tensor.Bernoulli(key, 1-d.rate, x.Shape()...)
	ctx.Save(stays)
	return []*tensor.Tensor{d.apply(x, stays)}
}

func (d dropout) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{d.apply(grad[0], ctx.Saved(0)), nil}
}

func (d dropout) apply(x, stays *tensor.Tensor) *tensor.Tensor {
	return tensor.Where(stays, tensor.MulScalar(x, 1/(1-d.rate)), tensor.Like(x, 0))
}
