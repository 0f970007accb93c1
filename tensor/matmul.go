package tensor

import (
	"math"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// MatMul returns the matrix product over the last two axes, [..., N, M] x
// [..., M, P]; leading axes broadcast. An operand with one axis is a row on the
// left and a column on the right.
func MatMul(a, b *Tensor) *Tensor {
	checkMatMul("MatMul", a, b)
	if a.Size() == 0 || b.Size() == 0 {
		return binary("MatMul", emptyMatMul, a, b)
	}
	return binary("MatMul", mlxc.Matmul, a, b)
}

// emptyMatMul multiplies matrices without elements on the CPU, which reads none:
// on CUDA the engine divides by their sizes.
func emptyMatMul(_ mlxc.Device, a, b mlxc.Array) (mlxc.Made, error) {
	return mlxc.Matmul(mlxc.CPU, a, b)
}

func checkMatMul(op string, a, b *Tensor) {
	a.handle(op)
	b.handle(op)
	if a.NDim() == 0 || b.NDim() == 0 {
		panic(NewError("tensor."+op, []*Tensor{a, b}, "an operand has no axes"))
	}
	if !a.dtype.IsFloat() || !b.dtype.IsFloat() {
		panic(NewError("tensor."+op, []*Tensor{a, b}, "want floating-point operands, got %s and %s", a.dtype, b.dtype))
	}
	rows := 0
	if b.NDim() > 1 {
		rows = b.NDim() - 2
	}
	if a.shape[a.NDim()-1] != b.shape[rows] {
		panic(NewError("tensor."+op, []*Tensor{a, b}, "inner dimensions differ"))
	}
	if a.NDim() > 2 && b.NDim() > 2 {
		if _, err := BroadcastShapes(a.shape[:a.NDim()-2], b.shape[:b.NDim()-2]); err != nil {
			panic(NewError("tensor."+op, []*Tensor{a, b}, "leading dimensions can't be broadcast together"))
		}
	}
}

// AddMM returns alpha·(a x b) + beta·c, where c broadcasts to the product.
func AddMM(c, a, b *Tensor, alpha, beta float64) *Tensor {
	checkMatMul("AddMM", a, b)
	hc := c.handle("AddMM")
	double := c.dtype == Float64 || a.dtype == Float64 || b.dtype == Float64
	if double && (float64(float32(alpha)) != alpha || float64(float32(beta)) != beta) {
		product := MatMul(AsType(a, Float64), AsType(b, Float64)) // the engine scales by float32
		return Add(MulScalar(product, alpha), MulScalar(BroadcastTo(AsType(c, Float64), product.shape...), beta))
	}
	m, err := mlxc.Addmm(deviceOfAll(c, a, b), hc, a.h, b.h, float32(alpha), float32(beta))
	return madeOf("AddMM", &m, err, c, a, b)
}

// TriInv returns the inverses of triangular matrices [..., N, N], on the CPU.
// Elements of the other triangle are not read; float32 and float64 only. The
// inverse of a matrix with a zero on its diagonal holds NaN.
func TriInv(a *Tensor, upper bool) *Tensor {
	a.handle("TriInv")
	n := a.NDim()
	if n < 2 || a.shape[n-1] != a.shape[n-2] {
		panic(NewError("tensor.TriInv", []*Tensor{a}, "want square matrices"))
	}
	if a.dtype != Float32 && a.dtype != Float64 {
		panic(NewError("tensor.TriInv", []*Tensor{a}, "want float32 or float64, got %s", a.dtype))
	}
	if a.Size() == 0 { // LAPACK wants a matrix
		return Contiguous(a)
	}
	// A singular matrix would be an exception inside a task of the engine, which
	// then counts the task as running: after ten of them it waits for ever.
	cpu := beside(a.scope, mlxc.CPU)
	size := a.shape[n-1]
	flat := Reshape(a, -1, size*size)
	start, stop := []int32{0, 0}, int32s(flat.shape)
	stride := []int32{1, int32(size) + 1}
	m, err := mlxc.Slice(cpu, flat.h, start, stop, stride)
	diagonal := made("TriInv", &m, err, flat)
	regular := Where(Equal(diagonal, Like(a, 0)), Like(a, math.NaN()), diagonal)
	m, err = mlxc.SliceUpdate(cpu, flat.h, regular.h, start, stop, stride)
	dense := Reshape(madeOf("TriInv", &m, err, flat, regular), a.shape...)
	m, err = mlxc.LinalgTriInv(cpu, dense.h, upper)
	return made("TriInv", &m, err, dense)
}
