package gradcheck_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// slopes makes a function of one input from it and its derivative.
func slopes(f, slope func(x *tensor.Tensor) *tensor.Tensor) function {
	return apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return f(in[0]) }),
		func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			return list(tensor.Mul(grad[0], slope(ctx.Saved(0))))
		})
}

// Rounding inside a function is not a wrong gradient.
func TestCheckAcceptsFloat32Inside(t *testing.T) {
	x, w := normal(1, 4, 5), normal(2, 5, 3)
	exp := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Exp(x) }
	half := func(x *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(x, 2) }
	multiplied := apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor {
		y := tensor.MatMul(tensor.AsType(in[0], tensor.Float32), tensor.AsType(in[1], tensor.Float32))
		return tensor.AsType(y, in[0].Dtype())
	}), matmulGrad)
	softmax := apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		p := inFloat32(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Softmax(x, -1) })(in[0])
		ctx.Save(p)
		return list(p)
	}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		p := ctx.Saved(0)
		gp := tensor.Mul(grad[0], p)
		return list(tensor.Sub(gp, tensor.Mul(p, tensor.Sum(gp, true, -1))))
	})
	for _, c := range []struct {
		name   string
		f      function
		inputs []*tensor.Tensor
	}{
		{"forward", slopes(inFloat32(exp), exp), list(x)},
		{"backward", slopes(exp, inFloat32(exp)), list(x)},
		{"both", slopes(inFloat32(exp), inFloat32(exp)), list(x)},
		{"square", slopes(inFloat32(tensor.Square), inFloat32(half)), list(x)},
		{"matrix product", multiplied, list(x, w)},
		{"softmax", softmax, list(x)},
		{"cancelled gradient", func(v ...*autograd.Var) []*autograd.Var {
			return apply(func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.Sum(in[0], false))
			}, func(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				return list(tensor.BroadcastTo(grad[0], 4, 5))
			})(softmax(v...)...)
		}, list(x)},
		{"large values", slopes(inFloat32(tensor.Square), half), list(tensor.MulScalar(x, 1e6))},
		{"tiny values", slopes(inFloat32(tensor.Square), half), list(tensor.MulScalar(x, 1e-6))},
		{"one element", slopes(inFloat32(tensor.Square), half), list(tensor.Scalar(0.7))},
	} {
		for _, fast := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fast=%v", c.name, fast), func(t *testing.T) {
				var report gradcheck.Report
				gradcheck.Run(t, c.f, c.inputs, gradcheck.Options{Fast: fast, Report: &report})
				if c.name != "backward" && !report.Single {
					t.Error("the report doesn't tell that the check was coarser")
				}
			})
		}
	}
}

// Kinks and jumps near a point, and functions that cancel, do no harm.
func TestCheckAcceptsWhatIsNear(t *testing.T) {
	at := func(x ...float64) []*tensor.Tensor { return list(tensor.FromSlice(x)) }
	step := func(f func(x, y *tensor.Tensor) *tensor.Tensor) func(x *tensor.Tensor) *tensor.Tensor {
		return func(x *tensor.Tensor) *tensor.Tensor { return tensor.AsType(f(x, tensor.Like(x, 0)), x.Dtype()) }
	}
	for _, c := range []struct {
		name   string
		f      function
		inputs []*tensor.Tensor
	}{
		{"jumps", slopes(tensor.Floor, tensor.ZerosLike), at(0.999, 1.001, -2.01, 3.5)},
		{"kinks", slopes(tensor.Abs, tensor.Sign), at(1e-3, -1e-3, 1, 100)},
		{"clip", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Clip(x, -1, 1) }, func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.AsType(tensor.LessEqual(tensor.Abs(x), tensor.Like(x, 1)), x.Dtype())
		}), at(0.999, 1.001, -3, 0.2)},
		{"clipped everywhere", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Clip(x, -1, 1) }, tensor.ZerosLike), at(1.005, -1.005)},
		{"dead", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Maximum(x, tensor.Like(x, 0)) }, step(tensor.Greater)), at(-0.001, -1)},
		{"cancelled", slopes(func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.Sub(tensor.Sub(tensor.Add(x, tensor.MulScalar(x, 3)), tensor.MulScalar(x, 4)), tensor.Like(x, 1e-14))
		}, tensor.ZerosLike), at(0.1, 0.2, 0.3)},
		{"sum of a softmax", apply(saving(func(in ...*tensor.Tensor) *tensor.Tensor { return tensor.Sum(tensor.Softmax(in[0], -1), false) }),
			func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
				p := tensor.Softmax(ctx.Saved(0), -1)
				g := tensor.BroadcastTo(grad[0], p.Shape()...)
				return list(tensor.Sub(tensor.Mul(g, p), tensor.Mul(p, tensor.Sum(tensor.Mul(g, p), true, -1))))
			}), list(normal(1, 7))},
		{"saturated", slopes(tensor.Tanh, func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.Sub(tensor.OnesLike(x), tensor.Square(tensor.Tanh(x)))
		}), at(25, -30, 0.5)},
		{"all saturated", slopes(tensor.Tanh, func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.Sub(tensor.OnesLike(x), tensor.Square(tensor.Tanh(x)))
		}), at(25, -30)},
		{"zeros", slopes(tensor.Square, func(x *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(x, 2) }), at(0, 0)},
		{"fast oscillation", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Sin(tensor.MulScalar(x, 1000)) },
			func(x *tensor.Tensor) *tensor.Tensor {
				return tensor.MulScalar(tensor.Cos(tensor.MulScalar(x, 1000)), 1000)
			}), at(0.3, 1.7)},
		{"faster oscillation", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Sin(tensor.MulScalar(x, 1e6)) },
			func(x *tensor.Tensor) *tensor.Tensor {
				return tensor.MulScalar(tensor.Cos(tensor.MulScalar(x, 1e6)), 1e6)
			}), at(1, 2, 3.3)},
		{"fastest oscillation", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Sin(tensor.MulScalar(x, 1e7)) },
			func(x *tensor.Tensor) *tensor.Tensor {
				return tensor.MulScalar(tensor.Cos(tensor.MulScalar(x, 1e7)), 1e7)
			}), at(0.7, 2, 3.3)},
		{"large exponentials", slopes(tensor.Exp, tensor.Exp), at(-300, 0, 400)},
		{"largest exponentials", slopes(tensor.Exp, tensor.Exp), at(-700, 0, 700)},
		{"values near the largest", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.MulScalar(x, 0.5) },
			func(x *tensor.Tensor) *tensor.Tensor { return tensor.Like(x, 0.5) }), at(1e300, 1e290, -3e299)},
		{"values of all sizes", slopes(tensor.Log, tensor.Reciprocal), at(1e-300, 1e-100, 1, 1e200)},
		{"constants that promote", slopes(func(x *tensor.Tensor) *tensor.Tensor { return tensor.Mul(x, tensor.Scalar(3.0)) },
			func(x *tensor.Tensor) *tensor.Tensor { return tensor.Like(x, 3) }), list(normal(3, 4))},
	} {
		for _, fast := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/fast=%v", c.name, fast), func(t *testing.T) {
				gradcheck.Run(t, c.f, c.inputs, gradcheck.Options{Fast: fast})
			})
		}
	}
}

// Outputs that an op marks are left out, and those of a detached path are not.
func TestMarkedOutputs(t *testing.T) {
	f := apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in[0])
		ctx.MarkNonDifferentiable(1)
		return list(tensor.Square(in[0]), tensor.MulScalar(in[0], 3))
	}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor { return squareGrad(ctx, grad[0]) })
	checkpointed := func(v ...*autograd.Var) []*autograd.Var { return autograd.Checkpoint(f, v...) }
	for name, f := range map[string]function{"plain": f, "in a checkpoint": checkpointed} {
		t.Run(name, func(t *testing.T) {
			var report gradcheck.Report
			gradcheck.Run(t, f, list(normal(1, 3)), gradcheck.Options{Report: &report})
			if want := []string{"output 1 (marked as not differentiable)"}; !slices.Equal(report.Skipped, want) || report.Outputs != 1 {
				t.Errorf("skipped %q, want %q", report.Skipped, want)
			}
		})
	}
	detached := func(v ...*autograd.Var) []*autograd.Var {
		return autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
			return append(f(in[0])[:1], apply(saving(square), squareGrad)(in[0].Detach())...)
		}, v...)
	}
	if err := gradcheck.Check(detached, list(normal(1, 3)), gradcheck.Options{}); err == nil || !strings.Contains(err.Error(), "output 1") {
		t.Errorf("got %v, want a mismatch of the detached output", err)
	}
}

// At a point without a derivative the error says so.
func TestCheckNamesKinks(t *testing.T) {
	abs := slopes(tensor.Abs, tensor.Sign)
	floor := slopes(tensor.Floor, tensor.ZerosLike)
	for _, c := range []struct {
		name string
		f    function
		x    []float64
		text string
	}{
		{"kink", slopes(tensor.Abs, func(x *tensor.Tensor) *tensor.Tensor { return tensor.OnesLike(x) }), []float64{1, 0, 2}, "input 0[1]: analytic 1, numeric 0 (1 of 9 derivatives are wrong); the function has a kink here"},
		{"jump", floor, []float64{1.5, 2, -0.5}, "output 0 changes in jumps of 0.0007 of its size"},
		{"no kink", slopes(tensor.Abs, tensor.OnesLike), []float64{1, -2}, "it is right only at index 0 of axis 0"},
		{"right on both sides", abs, []float64{1, -2}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := gradcheck.Check(c.f, list(tensor.FromSlice(c.x)), gradcheck.Options{})
			if c.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q in it", err, c.text)
			}
		})
	}
}

// Parameters of one name are told apart, in the order of their use.
func TestParamsOfOneName(t *testing.T) {
	first, second := autograd.NewParam("weight", normal(2, 4)), autograd.NewParam("weight", normal(3, 4))
	wrong := map[tensor.Dtype]float64{tensor.Float64: 1, tensor.Float32: 1}
	f := func(v ...*autograd.Var) []*autograd.Var {
		h := apply(saving(product), productGrad)(v[0], v[0].Tape().Param(first))
		return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := productGrad(ctx, grad...)
			return list(d[0], tensor.MulScalar(d[1], wrong[d[1].Dtype()]))
		})(h[0], v[0].Tape().Param(second))
	}
	for _, opt := range []gradcheck.Options{{AllParams: true}, {Params: []*autograd.Param{second, first, second}}} {
		var report gradcheck.Report
		opt.Report = &report
		gradcheck.Run(t, f, list(normal(1, 3, 4)), opt)
		got := slices.Sorted(slices.Values(report.Checked))
		if want := []string{"input 0 [3 4]", `parameter "weight" #1 [4]`, `parameter "weight" #2 [4]`}; !slices.Equal(got, want) {
			t.Errorf("checked %q, want %q", got, want)
		}
		for d, text := range map[tensor.Dtype]string{
			tensor.Float64: `with respect to parameter "weight" #2[`,
			tensor.Float32: `the gradient of parameter "weight" #2 is wrong in float32: it differs from that in float64 by 4 of its norm`,
		} {
			wrong[d] = -3
			if err := gradcheck.Check(f, list(normal(1, 3, 4)), opt); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %q in it", err, text)
			}
			wrong[d] = 1
		}
	}
}

func TestAllParams(t *testing.T) {
	a, b, frozen := autograd.NewParam("a", normal(2, 4)), autograd.NewParam("b", normal(3, 4)), autograd.NewParam("frozen", normal(4, 4))
	frozen.SetTrainable(false)
	wrong := 1.0
	f := func(v ...*autograd.Var) []*autograd.Var {
		tape := v[0].Tape()
		mul := apply(saving(product), productGrad)
		h := mul(v[0], tape.Param(a))[0]
		h = mul(h, tape.Param(frozen))[0]
		return apply(saving(product), func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
			d := productGrad(ctx, grad...)
			return list(d[0], tensor.MulScalar(d[1], wrong))
		})(h, tape.Param(b))
	}
	in := list(normal(1, 3, 4))
	var report gradcheck.Report
	gradcheck.Run(t, f, in, gradcheck.Options{AllParams: true, Report: &report})
	if want := []string{"input 0 [3 4]", `parameter "a" [4]`, `parameter "b" [4]`}; !slices.Equal(report.Checked, want) {
		t.Errorf("checked %q, want %q", report.Checked, want)
	}
	if want := []string{`parameter "frozen" (not trainable)`}; !slices.Equal(report.Skipped, want) {
		t.Errorf("skipped %q, want %q", report.Skipped, want)
	}

	wrong = 1.02
	gradcheck.Run(t, f, in, gradcheck.Options{Params: []*autograd.Param{a}, Report: &report})
	if want := []string{`parameter "b" (not asked for)`, `parameter "frozen" (not trainable)`}; !sameSet(report.Skipped, want) {
		t.Errorf("skipped %q, want %q", report.Skipped, want)
	}
	for _, fast := range []bool{false, true} {
		err := gradcheck.Check(f, in, gradcheck.Options{AllParams: true, Fast: fast})
		var m *gradcheck.Mismatch
		if !errors.As(err, &m) || m.Param != "b" || m.Index == nil {
			t.Errorf("fast=%v: got %v, want a *Mismatch of parameter b with its index", fast, err)
		}
	}
	for _, p := range []*autograd.Param{a, b, frozen} {
		if p.Value().Dtype() != tensor.Float32 {
			t.Errorf("parameter %q is left as %s", p.Name(), p.Value().Dtype())
		}
	}
	if frozen.Trainable() || !a.Trainable() || !b.Trainable() {
		t.Error("a parameter changed between trainable and frozen")
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func TestReport(t *testing.T) {
	taken := apply(func(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		ctx.Save(in...)
		return list(tensor.Take(in[0], in[1], 0), tensor.ArgMax(in[0], 0, false))
	}, func(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
		return list(tensor.ScatterAdd(tensor.ZerosLike(ctx.Saved(0)), ctx.Saved(1), grad[0], 0), nil, nil)
	})
	in := list(normal(1, 3, 2), tensor.FromSlice([]int32{2, 0}), normal(2, 2))
	for _, c := range []struct {
		name string
		opt  gradcheck.Options
		want string
	}{
		{"full", gradcheck.Options{}, "checked 32 derivatives of 1 outputs by input 0 [3 2], input 2 [2]; " +
			"35 forward and 21 backward passes; also repeated passes, zero seeds, linearity, absent gradients of outputs, seeds one by one, single inputs, no recording, gaps in memory, the inputs' own dtype; " +
			"nothing depends on input 2 [2] here; not checked: input 1 (int32), output 1 (uint32)"},
		{"fast", gradcheck.Options{Fast: true}, "checked 2 projected derivatives of 1 outputs by input 0 [3 2], input 2 [2]; "},
		{"one input", gradcheck.Options{Inputs: []int{0}}, "by input 0 [3 2]; "},
		{"one input", gradcheck.Options{Inputs: []int{0}}, "not checked: input 1 (int32), input 2 (not asked for), output 1 (uint32)"},
	} {
		var report gradcheck.Report
		c.opt.Report = &report
		if err := gradcheck.Check(taken, in, c.opt); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := report.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q in it", c.name, got, c.want)
		}
	}
	report := gradcheck.Report{Derivatives: 7}
	if gradcheck.Check(taken, nil, gradcheck.Options{Report: &report}) == nil || report.Derivatives != 0 || !strings.Contains(report.String(), "by nothing") {
		t.Errorf("after a check of nothing the report is %q", &report)
	}
}

// Run logs what it covered, whether the check passes or not.
func TestRunLogs(t *testing.T) {
	for _, f := range []function{apply(saving(square), squareGrad), apply(saving(square), productGradOfOne)} {
		r := &recorder{TB: t}
		gradcheck.Run(r, f, list(normal(1, 2)), gradcheck.Options{})
		if !strings.Contains(r.log, "checked 4 derivatives of 1 outputs by input 0 [2]") {
			t.Errorf("got %q", r.log)
		}
	}
}

func productGradOfOne(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return list(tensor.Mul(grad[0], ctx.Saved(0)))
}
