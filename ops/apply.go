package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// apply runs an op; what the functions inside it refuse is told under the op's
// name.
func apply(name string, f autograd.Function, in ...*autograd.Var) []*autograd.Var {
	defer rename(name)
	return autograd.Apply(f, in...)
}

// rename is deferred by ops: it puts their name on a *tensor.Error.
func rename(name string) {
	switch r := recover().(type) {
	case nil:
	case *tensor.Error:
		e := *r
		e.Op = "ops." + name
		panic(&e)
	default:
		panic(r)
	}
}

// notNil refuses operands that are nil.
func notNil(name string, xs ...*autograd.Var) {
	for _, x := range xs {
		if x == nil {
			panic(tensor.NewError("ops."+name, nil, "an operand is nil"))
		}
	}
}

// constant puts a tensor that has no gradient, such as indices, on x's tape.
func constant(name string, t *tensor.Tensor, x *autograd.Var) *autograd.Var {
	defer rename(name)
	notNil(name, x)
	return x.Tape().Const(t)
}

// widen returns x in at least float32, for sums of half-precision numbers.
func widen(x *tensor.Tensor) *tensor.Tensor {
	if isHalf(x.Dtype()) {
		return tensor.AsType(x, tensor.Float32)
	}
	return x
}

// narrow converts x to dtype d, if it has another.
func narrow(x *tensor.Tensor, d tensor.Dtype) *tensor.Tensor {
	if x.Dtype() == d {
		return x
	}
	return tensor.AsType(x, d)
}

func isHalf(d tensor.Dtype) bool { return d == tensor.Float16 || d == tensor.BFloat16 }

// oneMinus returns 1 − x.
func oneMinus(x *tensor.Tensor) *tensor.Tensor { return tensor.Sub(tensor.Like(x, 1), x) }

// zeros returns zeros of like's dtype, in its scope.
func zeros(like *tensor.Tensor, shape []int) *tensor.Tensor {
	return tensor.BroadcastTo(tensor.Like(like, 0), shape...)
}
