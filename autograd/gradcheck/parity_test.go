package gradcheck_test

import (
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// scaledProduct is a product whose output and gradients are off by factors.
func scaledProduct(out, first, second float64) function {
	return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in...)
		return list(tensor.MulScalar(tensor.Mul(in[0], in[1]), out))
	}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		d := productGrad(ctx, grad...)
		return list(tensor.MulScalar(d[0], first), tensor.MulScalar(d[1], second))
	})
}

func TestParity(t *testing.T) {
	reference := scaledProduct(1, 1, 1)
	x, y := normal(1, 5, 4), normal(2, 4)
	as := func(d tensor.Dtype) []*tensor.Tensor { return list(tensor.AsType(x, d), tensor.AsType(y, d)) }
	nan := apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor {
		return tensor.Log(tensor.MulScalar(tensor.Abs(product(in...)), -1))
	}), productGrad)
	nilGrad := apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		return list(productGrad(ctx, grad...)[0], nil)
	})
	zero := func(off float64) function {
		return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := productGrad(ctx, grad...)
			return list(tensor.AddScalar(tensor.MulScalar(d[0], 0), off), d[1])
		})
	}
	for _, c := range []struct {
		name            string
		reference, fast function
		inputs          []*tensor.Tensor
		opt             gradcheck.ParityOptions
		want            string // in the error; "" if they agree
	}{
		{"itself", reference, reference, as(tensor.Float32), gradcheck.ParityOptions{}, ""},
		{"float32 rounding", reference, scaledProduct(1+1e-6, 1-1e-6, 1), as(tensor.Float32), gradcheck.ParityOptions{}, ""},
		{"float32 output", reference, scaledProduct(1.0001, 1, 1), as(tensor.Float32), gradcheck.ParityOptions{}, "output 0: relative error 0.0001, want at most 1e-05; worst at ["},
		{"float32 gradient", reference, scaledProduct(1, 1, 1.0001), as(tensor.Float32), gradcheck.ParityOptions{}, "gradient of input 1: relative error 0.0001"},
		{"float64", reference, scaledProduct(1, 1+1e-7, 1), as(tensor.Float64), gradcheck.ParityOptions{}, "gradient of input 0"},
		{"bfloat16 rounding", reference, scaledProduct(1.003, 1, 1), as(tensor.BFloat16), gradcheck.ParityOptions{}, ""},
		{"bfloat16", reference, scaledProduct(1.03, 1, 1), as(tensor.BFloat16), gradcheck.ParityOptions{}, "output 0"},
		{"float16", reference, scaledProduct(1.01, 1, 1), as(tensor.Float16), gradcheck.ParityOptions{}, "output 0"},
		{"wider tolerance", reference, scaledProduct(1.01, 1.01, 1), as(tensor.Float32), gradcheck.ParityOptions{Tolerance: 0.02}, ""},
		{"own tolerance of an output", reference, scaledProduct(1.01, 1, 1), as(tensor.Float32),
			gradcheck.ParityOptions{Outputs: map[int]float64{0: 0.02}}, ""},
		{"own tolerance of a gradient", reference, scaledProduct(1, 1.01, 1), as(tensor.Float32),
			gradcheck.ParityOptions{Grads: map[int]float64{0: 0.02}}, ""},
		{"NaN", reference, nan, as(tensor.Float32), gradcheck.ParityOptions{}, "relative error NaN"},
		{"NaN in the reference", nan, reference, as(tensor.Float32), gradcheck.ParityOptions{}, "relative error NaN"},
		{"no gradient", reference, nilGrad, as(tensor.Float32), gradcheck.ParityOptions{}, "gradient of input 1: relative error 1"},
		{"zero and nearly zero", zero(0), zero(1e-30), as(tensor.Float32), gradcheck.ParityOptions{}, "gradient of input 0: relative error +Inf"},
		{"zero and zero", zero(0), zero(0), as(tensor.Float32), gradcheck.ParityOptions{}, ""},
		{"infinite in both", apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor {
			return tensor.Div(product(in...), tensor.ZerosLike(in[0]))
		}), productGrad), apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor {
			return tensor.Div(product(in...), tensor.ZerosLike(in[0]))
		}), productGrad), as(tensor.Float32), gradcheck.ParityOptions{}, ""},
		{"other shape", reference, apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Flatten(product(in...)) }),
			func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return productGrad(ctx, tensor.Reshape(grad[0], ctx.Saved(0).Shape()...))
			}), as(tensor.Float32), gradcheck.ParityOptions{}, "output 0: want float32 [5 4] as the reference has, got float32 [20]"},
		{"other number", reference, func(v ...*autograd.Var) []*autograd.Var { return v }, as(tensor.Float32), gradcheck.ParityOptions{}, "want 1 outputs as the reference has, got 2"},
		{"misuse", reference, apply(saving(matmul), matmulGrad), list(x, x), gradcheck.ParityOptions{}, "the fast implementation: tensor.MatMul"},
		{"integers", func(v ...*autograd.Var) []*autograd.Var { return v[:1] }, func(v ...*autograd.Var) []*autograd.Var { return v[:1] },
			list(tensor.FromSlice([]int32{1, 2}), x), gradcheck.ParityOptions{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{TB: t}
			gradcheck.Parity(r, c.reference, c.fast, c.inputs, c.opt)
			if (r.text == "") != (c.want == "") || !strings.Contains(r.text, c.want) {
				t.Errorf("got %q, want %q", r.text, c.want)
			}
		})
	}
}

func TestDisparity(t *testing.T) {
	x := tensor.FromSlice([]float32{1, 2, 3})
	wrong := apply(saving(square), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		d := squareGrad(ctx, grad...)[0]
		return list(tensor.SliceUpdate(d, tensor.FromSlice([]float32{1000}), []int{1}, []int{2}))
	})
	err := gradcheck.CheckParity(apply(saving(square), squareGrad), wrong, list(x), gradcheck.ParityOptions{})
	var d *gradcheck.Disparity
	if !errors.As(err, &d) || len(d.Differences) != 1 {
		t.Fatalf("got %v, want a *Disparity of one tensor", err)
	}
	if got := d.Differences[0]; got.Name != "gradient of input 0" || got.Got != 1000 || len(got.Index) != 1 || got.Index[0] != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestParityLeavesNothingOpen(t *testing.T) {
	in := list(normal(1, 3, 4), normal(2, 4))
	f := scaledProduct(1, 1, 1)
	gradcheck.Parity(t, f, f, in)
	before := tensor.Live()
	gradcheck.Parity(t, f, f, in)
	if after := tensor.Live(); after > before {
		t.Errorf("%d handles more are open", after-before)
	}
}
