package main

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

func TestFusedSquaredReLU(t *testing.T) {
	reference := func(v ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{ops.Square(ops.ReLU(v[0]))}
	}
	op := newFusedSquaredReLU()
	fast := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(op, v...) }
	for _, n := range []int{1, 255, 256, 257, 100_003} { // around a threadgroup, and many
		gradcheck.Parity(t, reference, fast, []*tensor.Tensor{tensor.Normal(tensor.Key(1), n)})
	}
	gradcheck.Run(t, fast, []*tensor.Tensor{tensor.Normal(tensor.Key(2), 4, 8)}, gradcheck.Options{})
}
