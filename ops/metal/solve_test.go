package metal_test

import (
	"fmt"
	"testing"

	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// TestSolve multiplies inverses by what they are the inverses of, for random keys and
// for equal ones, where powers of A would overflow.
func TestSolve(t *testing.T) {
	for _, C := range []int{16, 32, 64} {
		for name, method := range map[string]metal.SolveMethod{"columns": metal.Columns, "blocks": metal.Blocks} {
			for _, keys := range []string{"random", "equal"} {
				t.Run(fmt.Sprintf("C%d/%s/%s", C, name, keys), func(t *testing.T) {
					const N, H = 3, 5
					a := tensor.Tril(tensor.MulScalar(tensor.Normal(tensor.Key(uint64(C)), N, H, C, C), .2), -1)
					if keys == "equal" {
						a = tensor.Tril(tensor.Ones(tensor.Float32, N, H, C, C), -1)
					}
					rubbish := tensor.Full(7, tensor.Float32, N, H, C, C)
					mixed := tensor.Add(a, tensor.Triu(rubbish, 0))
					x := metal.Solve(tensor.Transpose(mixed, 0, 2, 1, 3), method)
					full := tensor.Add(tensor.AsType(a, tensor.Float64), tensor.Eye(C, C, 0, tensor.Float64))
					got := numbers(t, tensor.MatMul(full, tensor.AsType(tensor.Transpose(x, 0, 2, 1, 3), tensor.Float64)))
					want := numbers(t, tensor.BroadcastTo(tensor.Eye(C, C, 0, tensor.Float64), N, H, C, C))
					if e := relative(got, want); !(e < 1e-6) {
						t.Errorf("the product differs from the unit matrix by %.1e", e)
					}
				})
			}
		}
	}
}

func TestSolveMisuse(t *testing.T) {
	for want, a := range map[string]*tensor.Tensor{
		"want matrices [N, C, H, C]": tensor.Zeros(tensor.Float32, 1, 16, 1, 32),
		"C is 48, want 16, 32 or 64": tensor.Zeros(tensor.Float32, 1, 48, 1, 48),
		"want float32, got bfloat16": tensor.Zeros(tensor.BFloat16, 1, 16, 1, 16),
	} {
		if err := tensor.Try(func() { metal.Solve(a, metal.Columns) }); err == nil || !contains(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
