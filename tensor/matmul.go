package tensor

import "github.com/deltatape/deltatape/internal/mlxc"

// MatMul returns the matrix product over the last two axes, [..., N, M] x
// [..., M, P]; leading axes broadcast. An operand with one axis is a row on the
// left and a column on the right.
func MatMul(a, b *Tensor) *Tensor {
	checkMatMul("MatMul", a, b)
	return binary("MatMul", mlxc.Matmul, a, b)
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
	m, err := mlxc.Addmm(deviceOfAll(c, a, b), c.handle("AddMM"), a.h, b.h, float32(alpha), float32(beta))
	return madeOf("AddMM", &m, err, c, a, b)
}

// TriInv returns the inverses of triangular matrices [..., N, N], on the CPU.
// Elements of the other triangle are not read; float32 and float64 only.
func TriInv(a *Tensor, upper bool) *Tensor {
	h := a.handle("TriInv")
	if n := a.NDim(); n < 2 || a.shape[n-1] != a.shape[n-2] {
		panic(NewError("tensor.TriInv", []*Tensor{a}, "want square matrices"))
	}
	if a.dtype != Float32 && a.dtype != Float64 {
		panic(NewError("tensor.TriInv", []*Tensor{a}, "want float32 or float64, got %s", a.dtype))
	}
	m, err := mlxc.LinalgTriInv(mlxc.CPU, h, upper)
	return made("TriInv", &m, err, a)
}
