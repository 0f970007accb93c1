package metal_test

import (
	"fmt"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// halves are dtypes and the relative errors that their rounding makes.
var halves = map[tensor.Dtype]float64{tensor.Float32: 2e-6, tensor.BFloat16: 4e-3, tensor.Float16: 5e-4}

// compare holds results against an op graph's in float64, with its gradients.
func compare(t *testing.T, bound float64, f func(in ...*autograd.Var) *autograd.Var, in []*tensor.Tensor, dy *tensor.Tensor, got ...*tensor.Tensor) {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	vars := make([]*autograd.Var, len(in))
	for i, x := range in {
		vars[i] = tape.Var(tensor.AsType(x, tensor.Float64))
	}
	y := f(vars...)
	grads, err := tape.Grad([]*autograd.Var{y}, []*tensor.Tensor{tensor.AsType(dy, tensor.Float64)}, vars...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range append([]*tensor.Tensor{y.Value()}, grads...) {
		if e := relative(numbers(t, got[i]), numbers(t, want)); !(e <= bound) {
			t.Errorf("result %d: relative error %.1e, want at most %.0e", i, e, bound)
		}
	}
}

func TestNorms(t *testing.T) {
	const eps = 1e-6
	for d, bound := range halves {
		for _, size := range [][]int{{3, 5, 8}, {70, 128}, {130, 60}, {1, 256}} {
			t.Run(fmt.Sprintf("%s/%v", d, size), func(t *testing.T) {
				keys := tensor.Split(tensor.Key(1), 4)
				draw := func(i int) *tensor.Tensor { return tensor.AsType(tensor.Normal(keys[i], size...), d) }
				x, z, dy := draw(0), draw(1), draw(2)
				if why := metal.RowsRefusal(x); why != "" {
					t.Fatal(why)
				}
				compare(t, bound, func(in ...*autograd.Var) *autograd.Var { return ops.L2Norm(in[0], eps) },
					[]*tensor.Tensor{x}, dy, metal.L2Norm(x, eps), metal.L2NormBackward(x, dy, eps))

				w := tensor.Normal(keys[3], size[len(size)-1])
				dx, dw, dz := metal.GatedNormBackward(x, w, z, dy, eps)
				compare(t, bound, func(in ...*autograd.Var) *autograd.Var {
					return ops.Mul(ops.RMSNorm(in[0], in[1], eps), ops.SiLU(in[2]))
				}, []*tensor.Tensor{x, w, z}, dy, metal.GatedNorm(x, w, z, eps), dx, dw, dz)
			})
		}
	}
}

func TestConvSiLU(t *testing.T) {
	for d, bound := range halves {
		for _, size := range [][]int{{2, 1, 3}, {2, 37, 130}, {1, 64, 8}, {3, 33, 129}} {
			for _, width := range []int{1, 2, 4} {
				t.Run(fmt.Sprintf("%s/%v/%d", d, size, width), func(t *testing.T) {
					keys := tensor.Split(tensor.Key(2), 3)
					x := tensor.AsType(tensor.Normal(keys[0], size...), d)
					dy := tensor.AsType(tensor.Normal(keys[1], size...), d)
					w := tensor.Normal(keys[2], size[2], width)
					dx, dw := metal.ConvSiLUBackward(x, w, dy)
					compare(t, bound, func(in ...*autograd.Var) *autograd.Var { return ops.SiLU(ops.ShortConv(in[0], in[1])) },
						[]*tensor.Tensor{x, w}, dy, metal.ConvSiLU(x, w), dx, dw)
				})
			}
		}
	}
}
