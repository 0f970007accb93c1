package autograd_test

import (
	"fmt"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// An op of your own: forward, backward, and a test that proves it.
type scaleBy struct{} // y = x · exp(a)

func (scaleBy) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x, a := in[0], in[1]
	y := tensor.Mul(x, tensor.Exp(a))
	ctx.Save(a, y)
	return []*tensor.Tensor{y}
}

func (scaleBy) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, y := ctx.Saved(0), ctx.Saved(1)
	return []*tensor.Tensor{tensor.Mul(grad[0], tensor.Exp(a)), tensor.SumTo(tensor.Mul(grad[0], y), a.Shape())}
}

func TestScaleBy(t *testing.T) {
	x, a := tensor.Normal(tensor.Key(1), 4, 8), tensor.Normal(tensor.Key(2), 8)
	f := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(scaleBy{}, v...) }
	gradcheck.Run(t, f, []*tensor.Tensor{x, a}, gradcheck.Options{})
}

func Example() {
	tape := autograd.NewTape()
	defer tape.Close()
	x := tape.Var(tensor.FromSlice([]float64{1, 2, 3}))
	a := tape.Var(tensor.FromSlice([]float64{0, 0, 0}))
	y := autograd.Apply(scaleBy{}, x, a)[0]

	dy := tensor.FromSlice([]float64{1, 10, 100})
	grads, err := tape.Grad([]*autograd.Var{y}, []*tensor.Tensor{dy}, x, a)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range grads {
		fmt.Println(tensor.Data[float64](g))
	}
	// Output:
	// [1 10 100] <nil>
	// [1 20 300] <nil>
}

func ExampleCheckpoint() {
	tape := autograd.NewTape()
	defer tape.Close()
	w := autograd.NewParam("w", tensor.FromSlice([]float64{1, 2}))
	x := tape.Var(tensor.FromSlice([]float64{3, 4}))

	runs := 0
	layer := func(in ...*autograd.Var) []*autograd.Var {
		runs++
		return []*autograd.Var{mul(in[0], tape.Param(w))}
	}
	loss := sum(autograd.Checkpoint(layer, x)[0])
	grads, err := tape.Backward(loss)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(runs, "runs")
	fmt.Println(tensor.Data[float64](grads.OfParam(w)))
	// Output:
	// 2 runs
	// [3 4] <nil>
}

func ExampleVar_Hook() {
	tape := autograd.NewTape()
	defer tape.Close()
	x := tape.Var(tensor.FromSlice([]float64{1, -20}))
	x.Hook(func(grad *tensor.Tensor) *tensor.Tensor { return tensor.Clip(grad, -10, 10) })
	grads, err := tape.Backward(sum(mul(x, x)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tensor.Data[float64](grads.Of(x)))
	// Output:
	// [2 -10] <nil>
}
