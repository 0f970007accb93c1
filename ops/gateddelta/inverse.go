package gateddelta

import "github.com/deltatape/deltatape/tensor"

// unitInverse returns T = (I + A)^-1 for strictly lower triangular matrices A
// [..., C, C]. On the CPU LAPACK substitutes, elsewhere there is no such routine
// and blocks are merged by doubling; both are backward stable. (The product
// (I−A)(I+A²)(I+A⁴)… is not: it overflows for keys that are nearly parallel.)
func unitInverse(A *tensor.Tensor, m masks) *tensor.Tensor {
	if A.Dtype() == tensor.Float64 || tensor.DefaultDevice() == tensor.CPU {
		return tensor.TriInv(tensor.Add(A, m.identity), false)
	}
	return doublingInverse(A, m)
}

// doublingInverse inverts I + A by recursive doubling. Say R holds the inverses
// of the diagonal blocks of size b and zeros elsewhere. The inverse of a block
// of size 2b has −R22 A21 R11 below them, which for all blocks at once is
// −R (A∘mask) R with the mask of the blocks A21.
func doublingInverse(A *tensor.Tensor, m masks) *tensor.Tensor {
	C := A.Dim(-1)
	R := tensor.Sub(m.identity, tensor.Mul(A, m.below(1)))
	for b := 2; b < C; b *= 2 {
		A21 := tensor.Mul(A, m.below(b))
		R = tensor.Sub(R, tensor.MatMul(R, tensor.MatMul(A21, R)))
	}
	return R
}

// masks are constant matrices [C, C].
type masks struct {
	lower    *tensor.Tensor // 1 on and below the diagonal
	strict   *tensor.Tensor // 1 below the diagonal
	isStrict *tensor.Tensor // strict as bools
	identity *tensor.Tensor
	index    *tensor.Tensor // 0 .. C-1 down a column [C, 1]
}

// masksLike makes the masks of size C for x, in its dtype and scope.
func masksLike(x *tensor.Tensor, C int) masks {
	ones := tensor.BroadcastTo(tensor.Like(x, 1), C, C)
	m := masks{lower: tensor.Tril(ones, 0), strict: tensor.Tril(ones, -1)}
	m.isStrict = tensor.AsType(m.strict, tensor.Bool)
	m.identity = tensor.Sub(m.lower, m.strict)
	m.index = tensor.Sum(m.strict, true, -1)
	return m
}

// below selects from each diagonal block of size 2b its lower left quarter.
func (m masks) below(b int) *tensor.Tensor {
	block := tensor.FloorDivide(m.index, tensor.Like(m.index, float64(b))) // [C, 1]
	pair := tensor.FloorDivide(m.index, tensor.Like(m.index, float64(2*b)))
	samePair := tensor.Equal(pair, transposed(pair))
	return tensor.AsType(tensor.LogicalAnd(samePair, tensor.Greater(block, transposed(block))), m.index.Dtype())
}
