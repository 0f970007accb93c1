package metal

import "github.com/deltatape/deltatape/tensor"

// SolveMethod is a way to invert I + A.
type SolveMethod int

const (
	Columns SolveMethod = iota // a column a thread, by substitution
	Blocks                     // blocks of 16 by substitution, merged by products of matrices
)

// Solve returns (I + A)^-1 for strictly lower triangular matrices a [N, C, H, C] of
// float32, for C = 16, 32 or 64; what a holds elsewhere makes no difference. Both
// methods agree to rounding.
func Solve(a *tensor.Tensor, method SolveMethod) *tensor.Tensor {
	bad := func(format string, args ...any) {
		panic(tensor.NewError("metal.Solve", []*tensor.Tensor{a}, format, args...))
	}
	if a.NDim() != 4 || a.Dim(1) != a.Dim(3) || a.Size() == 0 {
		bad("want matrices [N, C, H, C]")
	}
	n, c, h := a.Dim(0), a.Dim(1), a.Dim(2)
	switch {
	case a.Dtype() != tensor.Float32:
		bad("want float32, got %s", a.Dtype())
	case c != 16 && c != 32 && c != 64:
		bad("C is %d, want 16, 32 or 64", c)
	}
	k := solveKernel
	if method == Blocks {
		k = blocksKernel
	}
	l := launch{config: Config{Dtype: tensor.Float32, Chunk: c, DK: 8, DV: 8, HK: h, HV: h}, chunks: n}
	return l.run(k, []*tensor.Tensor{a}, []int{n, c, h, c})[0]
}
