package gradcheck_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

var sprintf = fmt.Sprintf

// wrongOp is a function whose gradient is wrong.
type wrongOp struct {
	name   string
	f      func() function // a new one for each check
	inputs []*tensor.Tensor
	input  int    // of the Mismatch; −1: the error is another one
	text   string // in the error of a full check
	full   bool   // only a full check is sure to find it
}

func wrongOps() []wrongOp {
	x, y := normal(1, 3, 4), normal(2, 3, 4)
	row := normal(3, 4)
	a, b := normal(4, 3, 3), normal(5, 3, 3)
	one := func(f func(ctx *autograd.Context, grad *tensor.Tensor) *tensor.Tensor) method {
		return func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor { return list(f(ctx, grad[0])) }
	}
	squares := func(backward method) func() function {
		return func() function { return apply(saving(square), backward) }
	}
	products := func(backward method) func() function {
		return func() function { return apply(saving(product), backward) }
	}
	return []wrongOp{
		{"one percent", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.MulScalar(tensor.Mul(g, ctx.Saved(0)), 2.02)
		})), list(x), 0, "1.01 times", false},
		{"one percent in one element", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			d := tensor.MulScalar(tensor.Mul(g, ctx.Saved(0)), 2)
			part := tensor.MulScalar(tensor.Slice(d, []int{1, 2}, []int{2, 3}), 1.01)
			return tensor.SliceUpdate(d, part, []int{1, 2}, []int{2, 3})
		})), list(x), 0, "input 0[1 2]", true},
		{"sign", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.MulScalar(tensor.Mul(g, ctx.Saved(0)), -2)
		})), list(x), 0, "the sign is wrong", false},
		{"transposed operand", func() function {
			return apply(saving(matmul), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.MatMul(grad[0], ctx.Saved(1)), matmulGrad(ctx, grad...)[1])
			})
		}, list(a, b), 0, "", false},
		{"transposed result", func() function {
			return apply(saving(matmul), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				d := matmulGrad(ctx, grad...)
				return list(d[0], tensor.Transpose(d[1]))
			})
		}, list(a, b), 1, "transposed", false},
		{"missing term", products(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := productGrad(ctx, grad...)
			return list(d[0], tensor.Mul(d[1], tensor.Tril(tensor.OnesLike(d[1]), 0)))
		}), list(x, y), 1, "zero where it is wrong", false},
		{"missing gradient", products(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			return list(productGrad(ctx, grad...)[0], nil)
		}), list(x, y), 1, "no gradient arrives", false},
		{"missing operand in one term", func() function {
			// y = x² · w, of which the gradient of x forgets the factor w.
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Mul(tensor.Square(in[0]), in[1]) }),
				func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					x := ctx.Saved(0)
					return list(tensor.MulScalar(tensor.Mul(grad[0], x), 2), tensor.Mul(grad[0], tensor.Square(x)))
				})
		}, list(x, y), 0, "a term is missing or wrong", false},
		{"missing reduction over a broadcast axis", products(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := tensor.Mul(grad[0], ctx.Saved(0))
			return list(productGrad(ctx, grad...)[0], tensor.Squeeze(tensor.SliceAxis(d, 0, 0, 1), 0))
		}), list(x, row), 1, "broadcast", false},
		{"mean in place of sum over a broadcast axis", products(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			return list(productGrad(ctx, grad...)[0], tensor.Mean(tensor.Mul(grad[0], ctx.Saved(0)), false, 0))
		}), list(x, row), 1, "0.3333 times", false},
		{"detached path", func() function {
			return func(v ...*autograd.Var) []*autograd.Var {
				return apply(saving(product), productGrad)(v[0], v[0].Detach())
			}
		}, list(x), 0, "0.5 times", false},
		{"wholly detached", func() function {
			return func(v ...*autograd.Var) []*autograd.Var {
				return apply(saving(square), squareGrad)(v[0].Detach())
			}
		}, list(x), 0, "no gradient arrives", false},
		{"gradient of what is not used", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Square(in[0]) }),
				func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					return list(squareGrad(ctx, grad...)[0], grad[0])
				})
		}, list(x, y), 1, "doesn't depend", false},
		{"wrong only in other batches", func() function {
			return apply(saving(square), one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
				x := ctx.Saved(0)
				first := tensor.BroadcastTo(tensor.SliceAxis(x, 0, 0, 1), x.Shape()...)
				return tensor.MulScalar(tensor.Mul(g, first), 2)
			}))
		}, list(x), 0, "right only at index 0 of axis 0", false},
		{"NaN", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			zero := tensor.ZerosLike(g)
			return tensor.Add(tensor.Mul(g, ctx.Saved(0)), tensor.Div(zero, zero))
		})), list(x), 0, "not finite", false},
		{"infinity", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.Div(g, tensor.ZerosLike(g))
		})), list(x), 0, "not finite", false},
		{"wrong shape", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.Sum(g, false, 0)
		})), list(x), -1, "want gradient 0 to be float64 [3 4] as operand 0 is, got float64 [4]", false},
		{"wrong dtype", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.AsType(squareGrad(ctx, g)[0], tensor.Float32)
		})), list(x), -1, "want gradient 0 to be float64 [3 4] as operand 0 is, got float32 [3 4]", false},
		{"wrong number", squares(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			return append(squareGrad(ctx, grad...), grad[0])
		}), list(x), -1, "want a gradient for each of 1 operands (nil for none), got 2", false},
		{"panic", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.MatMul(g, g)
		})), list(x), -1, "tensor.MatMul", false},
		{"state changed by the backward pass", func() function {
			n := 0.0
			return apply(saving(square), one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
				n++
				return tensor.MulScalar(tensor.Mul(g, ctx.Saved(0)), 2*n)
			}))
		}, list(x), -1, "a second backward pass gives another gradient", false},
		{"state changed by the forward pass", func() function {
			n := 0.0
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				n++
				ctx.Save(in...)
				return list(tensor.AddScalar(tensor.Square(in[0]), n))
			}, squareGrad)
		}, list(x), -1, "differs between two calls", false},
		{"operands kept in a field", func() function {
			var kept []float64
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				kept, _ = tensor.Data[float64](in[0])
				return list(tensor.Square(in[0]))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				x := tensor.FromSlice(kept, grad[0].Shape()...)
				return list(tensor.MulScalar(tensor.Mul(grad[0], x), 2))
			})
		}, list(x), -1, "keeps state outside of its Context", false},
		{"seed ignored", squares(one(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.MulScalar(ctx.Saved(0), 2)
		})), list(x), 0, "", false},
		{"second output ignored", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.Save(in[0])
				return list(tensor.Square(in[0]), tensor.Neg(in[0]))
			}, squareGrad)
		}, list(x), 0, "output 1", false},
		{"nil gradients not expected", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.AllowNilGrads()
				ctx.Save(in[0])
				return list(tensor.Square(in[0]), tensor.Neg(in[0]))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.Sub(squareGrad(ctx, grad[0])[0], grad[1]))
			})
		}, list(x), -1, "an operand is nil", false},
		{"nil taken for something else", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.AllowNilGrads()
				ctx.Save(in[0])
				return list(tensor.Square(in[0]), tensor.Neg(in[0]))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				for i, g := range grad {
					if g == nil {
						grad[i] = tensor.OnesLike(ctx.Saved(0))
					}
				}
				return list(tensor.Sub(squareGrad(ctx, grad[0])[0], grad[1]))
			})
		}, list(x), 0, "", false},
		{"loses precision", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.AsType(tensor.Square(in[0]), tensor.Float32) }),
				squareGrad)
		}, list(x), -1, "output 0 is float32", false},
	}
}

func TestCheckFindsWrongGradients(t *testing.T) {
	for _, fast := range []bool{false, true} {
		for _, c := range wrongOps() {
			if fast && c.full {
				continue
			}
			t.Run(fmt.Sprintf("%s/fast=%v", c.name, fast), func(t *testing.T) {
				err := gradcheck.Check(c.f(), c.inputs, gradcheck.Options{Fast: fast})
				if err == nil {
					t.Fatal("the check passed")
				}
				var m *gradcheck.Mismatch
				if got := errors.As(err, &m); got != (c.input >= 0) {
					t.Fatalf("*Mismatch: got %v, want %v: %v", got, c.input >= 0, err)
				}
				if m != nil && m.Input != c.input {
					t.Errorf("got input %d, want %d: %v", m.Input, c.input, err)
				}
				if !(fast && c.input >= 0) && !strings.Contains(err.Error(), c.text) {
					t.Errorf("got %q, want %q in it", err, c.text)
				}
				t.Log(err)
			})
		}
	}
}

// A mistake that shows only with a batch of two or more needs such an input.
func TestCheckNeedsABatch(t *testing.T) {
	wrong := func() function {
		return apply(saving(square), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			x := ctx.Saved(0)
			return list(tensor.MulScalar(tensor.Mul(grad[0], tensor.BroadcastTo(tensor.SliceAxis(x, 0, 0, 1), x.Shape()...)), 2))
		})
	}
	if err := gradcheck.Check(wrong(), list(normal(1, 1, 4)), gradcheck.Options{}); err != nil {
		t.Errorf("B=1: %v", err)
	}
	if err := gradcheck.Check(wrong(), list(normal(1, 2, 4)), gradcheck.Options{}); err == nil {
		t.Error("B=2: the check passed")
	}
}

func TestCheckAcceptsRightGradients(t *testing.T) {
	unary := func(f func(x *tensor.Tensor) *tensor.Tensor, slope func(x *tensor.Tensor) *tensor.Tensor) function {
		return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return f(in[0]) }),
			func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.Mul(grad[0], slope(ctx.Saved(0))))
			})
	}
	logarithm := unary(tensor.Log, tensor.Reciprocal)
	cube := unary(
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.Mul(x, tensor.Square(x)) },
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(tensor.Square(x), 3) })
	relu := unary(
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.Maximum(x, tensor.Like(x, 0)) },
		func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.AsType(tensor.Greater(x, tensor.Like(x, 0)), x.Dtype())
		})
	smallSlope := unary(
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.AddScalar(tensor.MulScalar(x, 1e-9), 1) },
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.FullLike(x, 1e-9) })
	constant := unary(
		func(x *tensor.Tensor) *tensor.Tensor { return tensor.AddScalar(tensor.Sub(x, x), 3) },
		tensor.ZerosLike)
	products := apply(saving(product), productGrad)
	several := apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in...)
		return list(tensor.Mul(in[0], in[1]), tensor.ArgMax(in[0], -1, false), tensor.Square(in[0]))
	}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		d := productGrad(ctx, grad[0])
		return list(tensor.Add(d[0], squareGrad(ctx, grad[2])[0]), d[1])
	})
	taken := apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in...)
		return list(tensor.Take(in[0], in[1], 0))
	}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		return list(tensor.ScatterAdd(tensor.ZerosLike(ctx.Saved(0)), ctx.Saved(1), grad[0], 0), nil)
	})

	x := normal(1, 3, 4)
	positive := tensor.Exp(normal(2, 3, 4))
	for _, c := range []struct {
		name   string
		f      function
		inputs []*tensor.Tensor
	}{
		{"square", apply(saving(square), squareGrad), list(x)},
		{"broadcast", products, list(x, normal(3, 4))},
		{"broadcast from a scalar", products, list(x, tensor.Scalar(0.7))},
		{"column by row", products, list(normal(4, 3, 1), normal(5, 1, 4))},
		{"batched matmul", apply(saving(matmul), matmulGrad), list(normal(6, 2, 3, 4), normal(7, 2, 4, 2))},
		{"same input twice", func(v ...*autograd.Var) []*autograd.Var { return products(v[0], v[0]) }, list(x)},
		{"unused input", func(v ...*autograd.Var) []*autograd.Var { return products(v[0], v[0]) }, list(x, normal(8, 2))},
		{"several outputs, one of integers", several, list(x, normal(9, 3, 4))},
		{"integer input", taken, list(x, tensor.FromSlice([]int32{2, 0, 2, 1}))},
		{"integer input first", func(v ...*autograd.Var) []*autograd.Var { return taken(v[1], v[0]) },
			list(tensor.FromSlice([]int32{1, 1}), x)},
		{"output passed through", func(v ...*autograd.Var) []*autograd.Var { return append(v, products(v[0], v[0])...) }, list(x)},
		{"large values", cube, list(tensor.MulScalar(x, 1e8))},
		{"tiny values", cube, list(tensor.MulScalar(x, 1e-8))},
		{"ill-scaled in one tensor", logarithm, list(tensor.FromSlice([]float64{1e-12, 1e-6, 1e-3, 1, 1e3, 1e6}))},
		{"ill-scaled between inputs", products, list(tensor.MulScalar(x, 1e10), tensor.MulScalar(x, 1e-10))},
		{"small slope of a large value", smallSlope, list(x)},
		{"no dependence", constant, list(x)},
		{"steep", unary(tensor.Exp, tensor.Exp), list(tensor.MulScalar(x, 30))},
		{"zeros", cube, list(tensor.Zeros(tensor.Float32, 3))},
		{"kink avoided", relu, list(tensor.FromSlice([]float64{-1, -0.01, 0.01, 1, 2}))},
		{"log", logarithm, list(positive)},
		{"zero-size axis", products, list(normal(1, 0, 4), normal(2, 4))},
		{"zero-size output", func(v ...*autograd.Var) []*autograd.Var {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.SliceAxis(in[0], 0, 0, 0) }),
				func(ctx *autograd.Context, _ ...*tensor.Tensor) []*tensor.Tensor {
					return list(tensor.ZerosLike(ctx.Saved(0)))
				})(v...)
		}, list(x)},
		{"not contiguous", products, list(tensor.Transpose(normal(1, 4, 3)), tensor.SliceAxis(normal(2, 9, 4), 0, 2, 5))},
		{"no axes", cube, list(tensor.Scalar(1.5))},
		{"bfloat16", cube, list(tensor.AsType(x, tensor.BFloat16))},
	} {
		for _, fast := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fast=%v", c.name, fast), func(t *testing.T) {
				gradcheck.Run(t, c.f, c.inputs, gradcheck.Options{Fast: fast})
			})
		}
	}
}

func TestCheckFindsSmallMistakesInBadScales(t *testing.T) {
	for _, scale := range []float64{1e-9, 1e-4, 1, 1e5, 1e9} {
		t.Run(fmt.Sprint(scale), func(t *testing.T) {
			f := apply(saving(square), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.MulScalar(tensor.Mul(grad[0], ctx.Saved(0)), 2.02))
			})
			x := tensor.MulScalar(tensor.AsType(normal(1, 5), tensor.Float64), scale)
			if gradcheck.Check(f, list(x), gradcheck.Options{}) == nil {
				t.Error("the check passed")
			}
		})
	}
}

func TestCheckOptions(t *testing.T) {
	wrongInSecond := apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		d := productGrad(ctx, grad...)
		return list(d[0], tensor.MulScalar(d[1], 1.001))
	})
	in := list(normal(1, 3), normal(2, 3))
	for _, c := range []struct {
		name string
		opt  gradcheck.Options
		ok   bool
	}{
		{"default", gradcheck.Options{}, false},
		{"other input", gradcheck.Options{Inputs: []int{0}}, true},
		{"this input", gradcheck.Options{Inputs: []int{1}}, false},
		{"loose relative", gradcheck.Options{Rtol: 1e-2}, true},
		{"loose absolute", gradcheck.Options{Atol: 1e-2}, true},
		{"tight absolute", gradcheck.Options{Atol: 1e-8}, false},
		{"coarse step", gradcheck.Options{Eps: 1e-4}, false},
		{"another seed", gradcheck.Options{Fast: true, Seed: 7}, false},
		{"bad input", gradcheck.Options{Inputs: []int{2}}, false},
		{"NaN step", gradcheck.Options{Eps: math.NaN()}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := gradcheck.Check(wrongInSecond, in, c.opt); (err == nil) != c.ok {
				t.Errorf("got %v, want success: %v", err, c.ok)
			}
		})
	}
}

func TestCheckParams(t *testing.T) {
	value := normal(2, 4)
	p := autograd.NewParam("w", value)
	factor := 1.0
	f := func(v ...*autograd.Var) []*autograd.Var {
		w := v[0].Tape().Param(p)
		return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := productGrad(ctx, grad...)
			return list(d[0], tensor.MulScalar(d[1], factor))
		})(v[0], w)
	}
	opt := gradcheck.Options{Params: []*autograd.Param{p}}
	in := list(tensor.AsType(normal(1, 3, 4), tensor.Float64))
	gradcheck.Run(t, f, in, opt)

	factor = 1.01
	err := gradcheck.Check(f, in, opt)
	var m *gradcheck.Mismatch
	if !errors.As(err, &m) || m.Input != -1 || m.Param != "w" || !strings.Contains(err.Error(), `parameter "w"`) {
		t.Errorf("got %v, want a *Mismatch of parameter w", err)
	}
	got, err := tensor.Data[float32](p.Value())
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := tensor.Data[float32](value); !slices.Equal(got, want) {
		t.Errorf("the parameter became %v, want %v", got, want)
	}
}

func TestCheckRefuses(t *testing.T) {
	f := apply(saving(square), squareGrad)
	ints := tensor.FromSlice([]int32{1, 2})
	for _, c := range []struct {
		name, text string
		f          function
		inputs     []*tensor.Tensor
	}{
		{"no function", "the function is nil", nil, list(normal(1, 2))},
		{"no inputs", "no floating-point input", f, nil},
		{"integers only", "no floating-point input", f, list(ints)},
		{"nil input", "input 0 is nil", f, list(nil)},
		{"NaN input", "want finite values", f, list(tensor.FromSlice([]float64{1, math.NaN()}))},
		{"NaN output", "output 0 is NaN at [1]", apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Log(in[0]) }), squareGrad),
			list(tensor.FromSlice([]float64{1, -1}))},
		{"no outputs", "no floating-point output", func(...*autograd.Var) []*autograd.Var { return nil }, list(normal(1, 2))},
		{"nil output", "output 0 is nil", func(...*autograd.Var) []*autograd.Var { return []*autograd.Var{nil} }, list(normal(1, 2))},
		{"integer output only", "no floating-point output", func(v ...*autograd.Var) []*autograd.Var {
			return []*autograd.Var{v[0].Tape().Const(ints)}
		}, list(normal(1, 2))},
		{"too large for a full check", "10000 outputs by 10000 inputs are too many derivatives", f, list(tensor.Ones(tensor.Float32, 100, 100))},
		{"wrong use", "tensor.MatMul", apply(saving(matmul), matmulGrad), list(normal(1, 2, 3), normal(2, 2, 3))},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := gradcheck.Check(c.f, c.inputs, gradcheck.Options{})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q in it", err, c.text)
			}
		})
	}
	if err := gradcheck.Check(f, list(normal(1, 2)), gradcheck.Options{Params: []*autograd.Param{nil}}); err == nil || !strings.Contains(err.Error(), "parameter 0 is nil") {
		t.Errorf("a nil parameter: got %v", err)
	}
	if err := gradcheck.CheckParity(f, nil, list(normal(1, 2)), gradcheck.ParityOptions{}); err == nil || !strings.Contains(err.Error(), "the fast implementation: the function is nil") {
		t.Errorf("parity with nothing: got %v", err)
	}
}

func TestRunReports(t *testing.T) {
	r := &recorder{TB: t}
	f := apply(saving(square), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		return list(tensor.Mul(grad[0], ctx.Saved(0)))
	})
	gradcheck.Run(r, f, list(normal(1, 2)), gradcheck.Options{})
	if !strings.Contains(r.text, "0.5 times") {
		t.Errorf("got %q, want the mismatch", r.text)
	}
}

func TestCheckLeavesNothingOpen(t *testing.T) {
	in := list(normal(1, 3, 4), normal(2, 4))
	f := apply(saving(product), productGrad)
	gradcheck.Run(t, f, in, gradcheck.Options{})
	before := tensor.Live()
	gradcheck.Run(t, f, in, gradcheck.Options{})
	if after := tensor.Live(); after > before {
		t.Errorf("%d handles more are open", after-before)
	}
}
