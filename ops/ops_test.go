package ops

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

func TestGradients(t *testing.T) {
	for _, c := range gradCases {
		t.Run(c.String(), func(t *testing.T) {
			gradcheck.Run(t, c.f, c.in, gradcheck.Options{})
		})
	}
}

// grads runs f on a tape and returns its outputs and, for the given seeds, the
// gradients of the inputs.
func grads(t *testing.T, f func(...*autograd.Var) []*autograd.Var, in, seeds []*tensor.Tensor) (outs, grads []*tensor.Tensor) {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	vars := make([]*autograd.Var, len(in))
	for i, x := range in {
		vars[i] = tape.Var(x)
	}
	results := f(vars...)
	for _, y := range results {
		outs = append(outs, y.Value())
	}
	if seeds == nil {
		for _, y := range outs {
			seeds = append(seeds, seedLike(y))
		}
	}
	g, err := tape.BackwardFrom(results, seeds)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vars {
		d := g.Of(v)
		if d == nil {
			t.Fatalf("input %d has no gradient", i)
		}
		if d.Dtype() != in[i].Dtype() {
			t.Errorf("the gradient of input %d is %v, want %v", i, d.Dtype(), in[i].Dtype())
		}
		grads = append(grads, d)
	}
	if err := tensor.Eval(append(append([]*tensor.Tensor{}, outs...), grads...)...); err != nil {
		t.Fatal(err)
	}
	tape.Keep(outs...)
	tape.Keep(grads...)
	return outs, grads
}

// seedLike makes a seed of y's shape and dtype that is not constant.
func seedLike(y *tensor.Tensor) *tensor.Tensor {
	data := make([]float64, y.Size())
	for i := range data {
		data[i] = math.Cos(float64(3*i)) + 0.2
	}
	return tensor.AsType(fill(func() float64 { v := data[0]; data = data[1:]; return v }, y.Shape()), y.Dtype())
}

func convert(in []*tensor.Tensor, d tensor.Dtype) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(in))
	for i, x := range in {
		out[i] = tensor.AsType(x, d)
	}
	return out
}

func values(t *testing.T, x *tensor.Tensor) []float64 {
	t.Helper()
	v, err := tensor.Data[float64](tensor.AsType(x, tensor.Float64))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// compare fails where the relative L2 distance of two lists is above tol.
func compare(t *testing.T, what string, got, want []*tensor.Tensor, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d %ss, want %d", len(got), what, len(want))
	}
	for i := range got {
		g, w := values(t, got[i]), values(t, want[i])
		if len(g) != len(w) {
			t.Errorf("%s %d has shape %v, want %v", what, i, got[i].Shape(), want[i].Shape())
			continue
		}
		var diff, norm float64
		for j := range g {
			diff += (g[j] - w[j]) * (g[j] - w[j])
			norm += w[j] * w[j]
		}
		if !(math.Sqrt(diff) <= tol*math.Sqrt(norm)) {
			t.Errorf("%s %d: relative difference %.3g, want at most %g\n got %v\nwant %v", what, i, math.Sqrt(diff/norm), tol, got[i], want[i])
		}
	}
}

// TestAgainstEngine compares with MLX's own differentiation of the forward.
func TestAgainstEngine(t *testing.T) {
	dtypes := []struct {
		dtype tensor.Dtype
		tol   float64
	}{{tensor.Float32, 1e-5}, {tensor.Float64, 1e-6}}
	for _, c := range gradCases {
		if c.noEngine != "" {
			continue
		}
		for _, d := range dtypes {
			t.Run(c.String()+"/"+d.dtype.String(), func(t *testing.T) {
				in := convert(c.in, d.dtype)
				outs, got := grads(t, c.f, in, nil)
				seeds := make([]*tensor.Tensor, len(outs))
				for i, y := range outs {
					seeds[i] = seedLike(y)
				}
				var tapes []*autograd.Tape
				forward := func(args []*tensor.Tensor) []*tensor.Tensor {
					tape := autograd.NoGrad()
					tapes = append(tapes, tape)
					vars := make([]*autograd.Var, len(args))
					for i, x := range args {
						vars[i] = tape.Const(x)
					}
					var outs []*tensor.Tensor
					for _, y := range c.f(vars...) {
						outs = append(outs, y.Value())
					}
					return outs
				}
				_, want, err := tensor.VJP(forward, in, seeds)
				for _, tape := range tapes {
					tape.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
				compare(t, "gradient", got, want, d.tol)
			})
		}
	}
}
