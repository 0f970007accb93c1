package train_test

import (
	"errors"
	"math"
	"testing"

	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
)

func TestClip(t *testing.T) {
	for _, test := range []struct {
		name        string
		grads       [][]float64
		limit, norm float64
		factor      float64
	}{
		{"above the limit", [][]float64{{3, 0}, {0, -4, 12}}, 6.5, 13, 6.5 / (13 + 1e-6)},
		{"below the limit", [][]float64{{0.3}, {-0.4}}, 1, 0.5, 1},
		{"at the limit", [][]float64{{3, 4}}, 5, 5, 5 / (5 + 1e-6)},
		{"zero", [][]float64{{0, 0}, {0}}, 1, 0, 1},
		{"tiny norm and limit", [][]float64{{3e-8, 4e-8}}, 1e-6, 5e-8, 1e-6 / (5e-8 + 1e-6)},
		{"large", [][]float64{{3e15}, {4e15}}, 1, 5e15, 1 / 5e15},
	} {
		for dtype, tolerance := range map[tensor.Dtype]float64{tensor.Float32: 2e-7, tensor.Float64: 1e-15} {
			t.Run(test.name+" "+dtype.String(), func(t *testing.T) {
				var grads []*tensor.Tensor
				for _, g := range test.grads {
					grads = append(grads, tensor.AsType(tensor.FromSlice(g), dtype))
				}
				norm := train.GlobalNorm(grads)
				if norm.Dtype() != dtype || norm.NDim() != 0 {
					t.Errorf("the norm is %v, want a %s without axes", norm, dtype)
				}
				near(t, "norm", values[float64](t, tensor.AsType(norm, tensor.Float64)), []float64{test.norm}, tolerance)
				for i, clipped := range train.Clip(grads, norm, test.limit) {
					if clipped.Dtype() != dtype {
						t.Errorf("gradient %d became %s", i, clipped.Dtype())
					}
					var want []float64
					for _, g := range test.grads[i] {
						want = append(want, g*test.factor)
					}
					near(t, "clipped", values[float64](t, tensor.AsType(clipped, tensor.Float64)), want, tolerance)
				}
			})
		}
	}
}

// Gradients of several dtypes keep theirs; half precision does not overflow in
// the norm.
func TestClipMixedDtypes(t *testing.T) {
	half := tensor.AsType(tensor.FromSlice([]float32{30000, 40000}), tensor.Float16)
	double := tensor.FromSlice([]float64{120000})
	grads := []*tensor.Tensor{half, double}
	norm := train.GlobalNorm(grads)
	near(t, "norm", values[float64](t, norm), []float64{130000}, 1e-7)
	clipped := train.Clip(grads, norm, 13)
	if clipped[0].Dtype() != tensor.Float16 || clipped[1].Dtype() != tensor.Float64 {
		t.Errorf("the dtypes became %s and %s", clipped[0].Dtype(), clipped[1].Dtype())
	}
	near(t, "float16", values[float64](t, tensor.AsType(clipped[0], tensor.Float64)), []float64{3, 4}, 1e-3)
	near(t, "float64", values[float64](t, clipped[1]), []float64{12}, 1e-6)
}

func TestGlobalNormWithoutGradients(t *testing.T) {
	var e *tensor.Error
	if err := tensor.Try(func() { train.GlobalNorm(nil) }); !errors.As(err, &e) || e.Op != "train.GlobalNorm" {
		t.Errorf("got %v, want an error of train.GlobalNorm", err)
	}
}

// near compares in relative L2 norm.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d numbers, want %d", what, len(got), len(want))
	}
	var difference, size float64
	for i := range want {
		difference += (got[i] - want[i]) * (got[i] - want[i])
		size += want[i] * want[i]
	}
	if !(math.Sqrt(difference) <= tolerance*math.Sqrt(size)) {
		t.Errorf("%s: got %v, want %v, which differ by %.3g", what, got, want, math.Sqrt(difference/size))
	}
}
