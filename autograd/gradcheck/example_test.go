package gradcheck_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// cube forgets a factor in its backward pass.
type cube struct{}

func (cube) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in[0])
	return []*tensor.Tensor{tensor.Mul(in[0], tensor.Square(in[0]))}
}

func (cube) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Mul(grad[0], tensor.Square(ctx.Saved(0)))}
}

func ExampleCheck() {
	f := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(cube{}, v...) }
	x := tensor.FromSlice([]float64{1, 2})
	fmt.Println(gradcheck.Check(f, []*tensor.Tensor{x}, gradcheck.Options{}))
	// Output:
	// gradcheck: wrong gradient of output 0[1] with respect to input 0[1]: analytic 4, numeric 12 (2 of 4 derivatives are wrong); it looks like a wrong factor: 0.3333 times what it should be
}

func ExampleReport() {
	w := autograd.NewParam("w", tensor.FromSlice([]float64{1, 2}))
	f := func(v ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{ops.Mul(v[0], v[0].Tape().Param(w)), v[1]}
	}
	x, labels := tensor.FromSlice([]float64{1, 2, 3, 4}, 2, 2), tensor.FromSlice([]int32{0, 1})
	var report gradcheck.Report
	err := gradcheck.Check(f, []*tensor.Tensor{x, labels}, gradcheck.Options{AllParams: true, Report: &report})
	fmt.Println(err)
	fmt.Println("checked:", report.Checked)
	fmt.Println("not checked:", report.Skipped)
	// Output:
	// <nil>
	// checked: [input 0 [2 2] parameter "w" [2]]
	// not checked: [input 1 (int32) output 1 (int32)]
}
