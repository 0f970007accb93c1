package gradcheck_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// two is an op of two outputs, x² and −x, whose backward pass gets nil for what
// is absent.
func two(backward method) func() function {
	return func() function {
		return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			ctx.AllowNilGrads()
			ctx.Save(in[0])
			return list(tensor.Square(in[0]), tensor.Neg(in[0]))
		}, backward)
	}
}

// scan is y[t] = Σ_{s ≤ t} x[s] over axis 0, whose gradient is right for the
// first tokens only.
func scan(right int) func() function {
	return func() function {
		return apply(func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
			return list(tensor.CumSum(in[0], 0, false, false))
		}, func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			g := grad[0]
			if n := g.Dim(0); n > right {
				first := tensor.CumSum(tensor.SliceAxis(g, 0, 0, right), 0, true, false)
				return list(tensor.Concat(0, first, tensor.CumSum(tensor.SliceAxis(g, 0, right, n), 0, true, false)))
			}
			return list(tensor.CumSum(g, 0, true, false))
		})
	}
}

// Ops that are wrong in ways that are harder to see.
func hiddenMistakes() []wrongOp {
	x, y, z := normal(1, 3, 4), normal(2, 3, 4), normal(3, 3, 4)
	long := normal(4, 40, 2)
	squares := func(backward func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor) func() function {
		return func() function {
			return apply(saving(square), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(backward(ctx, grad[0]))
			})
		}
	}
	slope := func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor { return squareGrad(ctx, g)[0] }
	first := func(t *tensor.Tensor) *tensor.Tensor { // 1 at the first element, 0 elsewhere
		mask := tensor.Equal(tensor.Arange(0, float64(t.Size()), 1, tensor.Int32), tensor.FromSlice([]int32{0}))
		return tensor.Reshape(tensor.AsType(mask, t.Dtype()), t.Shape()...)
	}
	return []wrongOp{
		{"wrong only beyond 32 tokens", scan(32), list(long), 0, "zero where it is wrong", false},
		{"wrong only for the second output", two(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := tensor.ZerosLike(ctx.Saved(0))
			if grad[0] != nil {
				d = squareGrad(ctx, grad[0])[0]
			}
			if grad[1] != nil {
				d = tensor.Add(d, tensor.MulScalar(grad[1], -0.9))
			}
			return list(d)
		}), list(x), 0, "output 1", false},
		{"wrong only without a gradient of the first output", two(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			if grad[0] == nil {
				return list(tensor.ZerosLike(ctx.Saved(0)))
			}
			d := squareGrad(ctx, grad[0])[0]
			if grad[1] != nil {
				d = tensor.Sub(d, grad[1])
			}
			return list(d)
		}), list(x), 0, "output 1", false},
		{"wrong only with both outputs", two(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			switch {
			case grad[0] == nil:
				return list(tensor.Neg(grad[1]))
			case grad[1] == nil:
				return squareGrad(ctx, grad...)
			}
			return list(tensor.Add(squareGrad(ctx, grad...)[0], grad[1]))
		}), list(x), -1, "is not the same as zeros", false},
		{"wrong only without one of three outputs", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.AllowNilGrads()
				ctx.Save(in[0])
				return list(tensor.Square(in[0]), tensor.Neg(in[0]), tensor.MulScalar(in[0], 3))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				d, present := tensor.ZerosLike(ctx.Saved(0)), 0
				for i, f := range []func(g *tensor.Tensor) *tensor.Tensor{
					func(g *tensor.Tensor) *tensor.Tensor { return squareGrad(ctx, g)[0] }, tensor.Neg,
					func(g *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(g, 3) },
				} {
					if grad[i] != nil {
						d = tensor.Add(d, f(grad[i]))
						present++
					}
				}
				if present == 2 {
					d = tensor.MulScalar(d, 1.1)
				}
				return list(d)
			})
		}, list(x), -1, "no gradient of output 0 is not the same as zeros", false},
		{"a constant more at one index", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.Add(slope(ctx, g), tensor.MulScalar(first(g), 0.01))
		}), list(x), 0, "input 0[0 0]", false},
		{"one element of many", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			d := slope(ctx, g)
			return tensor.Add(d, tensor.MulScalar(tensor.Mul(first(g), d), 0.05))
		}), list(normal(5, 8, 9)), 0, "input 0[0 0]", false},
		{"swapped gradients", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Mul(in[0], tensor.Square(in[1])) }),
				func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					a, b, g := ctx.Saved(0), ctx.Saved(1), grad[0]
					return list(tensor.MulScalar(tensor.Mul(g, tensor.Mul(a, b)), 2), tensor.Mul(g, tensor.Square(b)))
				})
		}, list(x, y), 0, "it looks like the gradient of input 1", false},
		{"sum in place of mean", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Mean(in[0], false, 1) }),
				func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					return list(tensor.BroadcastTo(tensor.ExpandDims(grad[0], 1), 3, 4))
				})
		}, list(x), 0, "a sum over 4 in place of a mean?", false},
		{"scalar without its chain factor", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Exp(tensor.MulScalar(in[0], 2)) }),
				func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
					return list(tensor.Mul(grad[0], tensor.Exp(tensor.MulScalar(ctx.Saved(0), 2))))
				})
		}, list(tensor.Scalar(0.3)), 0, "0.5 times", false},
		{"mean of the cotangent", func() function {
			return apply(saving(square), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				uniform := tensor.BroadcastTo(tensor.Mean(grad[0], false), grad[0].Shape()...)
				return squareGrad(ctx, uniform)
			})
		}, list(x), 0, "", false},
		{"NaN for a cotangent of zeros", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			total := tensor.Sum(g, false)
			return slope(ctx, tensor.Mul(g, tensor.Div(total, total)))
		}), list(x), -1, "zero seeds give a gradient that is not zero", false},
		{"cotangent taken for ones", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return slope(ctx, tensor.OnesLike(g))
		}), list(x), 0, "ignores the gradient that it is given", false},
		{"cotangent clipped", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.Clip(slope(ctx, g), -50, 50)
		}), list(x), -1, "not linear in the seeds: seeds times -1024", false},
		{"small cotangent flushed", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			big := tensor.AsType(tensor.Greater(tensor.Abs(g), tensor.Like(g, 1e-5)), g.Dtype())
			return slope(ctx, tensor.Mul(g, big))
		}), list(x), -1, "not linear in the seeds", false},
		{"positive cotangents only", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return slope(ctx, tensor.Maximum(g, tensor.Like(g, 0)))
		}), list(x), -1, "not linear in the seeds", true},
		{"largest cotangent only", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			size := tensor.Abs(g)
			top := tensor.AsType(tensor.Equal(size, tensor.Max(size, false)), g.Dtype())
			return slope(ctx, tensor.Mul(g, top))
		}), list(x), -1, "for the sum of two seeds", true},
		{"cotangent closed", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			d := slope(ctx, g)
			tensor.Free(g)
			return d
		}), list(x), -1, "it closed the gradient of output 0", false},
		{"saved tensor closed", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			d := slope(ctx, g)
			tensor.Free(ctx.Saved(0))
			return d
		}), list(x), -1, "it closed saved tensor 0", false},
		{"list of cotangents changed", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.Save(in[0])
				return list(tensor.Square(in[0]), tensor.Neg(in[0]))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				grad[1] = tensor.Neg(grad[0])
				return list(tensor.Sub(squareGrad(ctx, grad[0])[0], grad[1]))
			})
		}, list(x), 0, "", false},
		{"random in the backward pass", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			calls++
			noise := tensor.MulScalar(tensor.AsType(tensor.Normal(tensor.Key(calls), 3, 4), g.Dtype()), 1e-9)
			return tensor.Add(slope(ctx, g), noise)
		}), list(x), -1, "a second backward pass gives another gradient", false},
		{"random in the forward pass", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				calls++
				keep := tensor.AsType(tensor.Bernoulli(tensor.Key(calls), 0.5, 3, 4), in[0].Dtype())
				ctx.Save(keep)
				return list(tensor.Mul(in[0], keep))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.Mul(grad[0], ctx.Saved(0)))
			})
		}, list(x), -1, "is not deterministic", false},
		{"wrong when another operand is constant", func() function {
			return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				d := productGrad(ctx, grad...)
				if !ctx.Needs(0) {
					d[1] = grad[0]
				}
				return d
			})
		}, list(x, y), -1, "the gradient of input 1 depends on whether others are wanted", false},
		{"fails when another operand is constant", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				if ctx.Needs(1) {
					ctx.Save(in[0])
				}
				if ctx.Needs(0) {
					ctx.Save(in[1])
				}
				return list(product(in...))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				d := list(nil, tensor.Mul(grad[0], ctx.Saved(0)))
				if ctx.Needs(0) {
					d[0] = tensor.Mul(grad[0], ctx.Saved(1))
				}
				return d
			})
		}, list(x, y), -1, "where only the gradient of input 0 is wanted", false},
		{"another result without recording", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.Save(in[0])
				if !ctx.Needs(0) {
					return list(tensor.AddScalar(tensor.Square(in[0]), 1e-3))
				}
				return list(tensor.Square(in[0]))
			}, squareGrad)
		}, list(x), -1, "output 0 depends on whether the tape records", false},
		{"gradient of a fixed dtype", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			return tensor.AsType(slope(ctx, g), tensor.Float64)
		}), list(x), -1, "want gradient 0 to be float32 [3 4] as operand 0 is, got float64 [3 4]", false},
		{"wrong in float32 only", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			if g.Dtype() == tensor.Float32 {
				return tensor.MulScalar(slope(ctx, g), 1.1)
			}
			return slope(ctx, g)
		}), list(x), -1, "the gradient of input 0 is wrong in float32: it differs from that in float64 by 0.1 of its norm", false},
		{"one percent in float32 only", squares(inDtype(tensor.Float32, slope, func(d *tensor.Tensor) *tensor.Tensor {
			return tensor.MulScalar(d, 1.01)
		})), list(x), -1, "it looks like a wrong factor, 1.01", false},
		{"one percent of one element in float32 only", squares(inDtype(tensor.Float32, slope, func(d *tensor.Tensor) *tensor.Tensor {
			return tensor.Add(d, tensor.MulScalar(tensor.Mul(first(d), d), 0.01))
		})), list(tensor.AddScalar(tensor.Abs(x), 1)), -1, "wrong in float32", false},
		{"NaN in float32 only", squares(inDtype(tensor.Float32, slope, func(d *tensor.Tensor) *tensor.Tensor {
			return tensor.Div(d, tensor.ZerosLike(d))
		})), list(x), -1, "it is not finite", false},
		{"no gradient in float32 only", squares(inDtype(tensor.Float32, slope, tensor.ZerosLike)), list(x), -1, "no gradient arrives", false},
		{"sign in bfloat16 only", squares(inDtype(tensor.BFloat16, slope, tensor.Neg)),
			list(tensor.AsType(x, tensor.BFloat16)), -1, "wrong in bfloat16", false},
		{"half in float16 only", squares(inDtype(tensor.Float16, slope, func(d *tensor.Tensor) *tensor.Tensor {
			return tensor.MulScalar(d, 0.5)
		})), list(tensor.AsType(x, tensor.Float16)), -1, "it looks like a wrong factor, 0.5", false},
		{"twice in bfloat16 beside float32", func() function {
			return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				a, b, g := ctx.Saved(0), ctx.Saved(1), grad[0]
				d := list(tensor.AsType(tensor.Mul(g, b), a.Dtype()), tensor.Mul(g, a))
				if a.Dtype() == tensor.BFloat16 {
					d[1] = tensor.MulScalar(d[1], 2)
				}
				return d
			})
		}, list(tensor.AsType(x, tensor.BFloat16), y), -1, "the gradient of input 1 is wrong in bfloat16", false},
		{"a term for dense seeds only", squares(func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
			several := tensor.Greater(tensor.Sum(tensor.NotEqual(g, tensor.Like(g, 0)), false), tensor.FromSlice([]int32{1}))
			return tensor.Add(slope(ctx, g), tensor.Where(several, tensor.Roll(g, 1, -1), tensor.Like(g, 0)))
		}), list(x), -1, "for seeds of all elements of the outputs together", true},
		{"a term for two dense outputs only", two(func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := tensor.ZerosLike(ctx.Saved(0))
			if grad[0] != nil {
				d = squareGrad(ctx, grad[0])[0]
			}
			if grad[1] != nil {
				d = tensor.Sub(d, grad[1])
			}
			if grad[0] != nil && grad[1] != nil {
				both := tensor.LogicalAnd(tensor.Any(tensor.NotEqual(grad[0], tensor.Like(d, 0)), false), tensor.Any(tensor.NotEqual(grad[1], tensor.Like(d, 0)), false))
				d = tensor.Add(d, tensor.Where(both, tensor.Roll(grad[0], 1, -1), tensor.Like(d, 0)))
			}
			return list(d)
		}), list(x), -1, "for seeds of all outputs together", false},
		{"wrong in float32 inside", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				ctx.Save(in[0])
				return list(inFloat32(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Square(x) })(in[0]))
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.MulScalar(squareGrad(ctx, grad...)[0], 1.01))
			})
		}, list(x), 0, "1.01 times", false},
		{"half precision inside", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor {
				return tensor.AsType(tensor.Square(tensor.AsType(in[0], tensor.BFloat16)), in[0].Dtype())
			}), squareGrad)
		}, list(x), 0, "Parity", false},
		{"reduced over the wrong axis", func() function {
			return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				d := tensor.Mul(grad[0], ctx.Saved(0))
				return list(productGrad(ctx, grad...)[0], tensor.Sum(d, false, 1))
			})
		}, list(normal(6, 3, 3), normal(7, 3)), 1, "", false},
		{"one of three inputs forgotten", func() function {
			return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor {
				return tensor.Add(tensor.Mul(in[0], in[1]), tensor.Mul(in[1], in[2]))
			}), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				g := grad[0]
				return list(tensor.Mul(g, ctx.Saved(1)), tensor.Mul(g, ctx.Saved(0)), tensor.Mul(g, ctx.Saved(1)))
			})
		}, list(x, y, z), 1, "a term is missing or wrong", false},
		{"softmax without its sum", func() function {
			return apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				p := tensor.Softmax(in[0], -1)
				ctx.Save(p)
				return list(p)
			}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.Mul(grad[0], ctx.Saved(0)))
			})
		}, list(x), 0, "", false},
	}
}

// inDtype changes a gradient where it is of a dtype.
func inDtype(d tensor.Dtype, slope func(*autograd.Context, *tensor.Tensor) *tensor.Tensor, change func(*tensor.Tensor) *tensor.Tensor) func(*autograd.Context, *tensor.Tensor) *tensor.Tensor {
	return func(ctx *autograd.Context, g *tensor.Tensor) *tensor.Tensor {
		if y := slope(ctx, g); y.Dtype() != d {
			return y
		} else {
			return change(y)
		}
	}
}

// calls counts the calls of ops that differ each time.
var calls uint64

func TestCheckFindsHiddenMistakes(t *testing.T) {
	for _, fast := range []bool{false, true} {
		for _, c := range hiddenMistakes() {
			t.Run(fmt.Sprintf("%s/fast=%v", c.name, fast), func(t *testing.T) {
				err := gradcheck.Check(c.f(), c.inputs, gradcheck.Options{Fast: fast})
				if err == nil {
					t.Fatal("the check passed")
				}
				t.Log(err)
				var m *gradcheck.Mismatch
				if errors.As(err, &m) && c.input >= 0 && m.Input != c.input {
					t.Errorf("got input %d, want %d", m.Input, c.input)
				}
				if fast { // another check may come first
					return
				}
				if (m != nil) != (c.input >= 0) {
					t.Errorf("*Mismatch: got %v, want %v", m != nil, c.input >= 0)
				}
				if !strings.Contains(err.Error(), c.text) {
					t.Errorf("want %q in it", c.text)
				}
			})
		}
	}
}

// inFloat32 computes a function in float32, whatever comes.
func inFloat32(f func(x *tensor.Tensor) *tensor.Tensor) func(x *tensor.Tensor) *tensor.Tensor {
	return func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.AsType(f(tensor.AsType(x, tensor.Float32)), x.Dtype())
	}
}
