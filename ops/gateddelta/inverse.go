package gateddelta

import "github.com/deltatape/deltatape/tensor"

// unitInverse returns T = (I + A)^-1 for strictly lower triangular matrices A
// [..., C, C]. On the CPU LAPACK substitutes, elsewhere there is no such routine
// and blocks are merged by doubling; both are backward stable. (The product
// (I−A)(I+A²)(I+A⁴)… is not: it overflows for keys that are nearly parallel.)
func unitInverse(A *tensor.Tensor, m masks) *tensor.Tensor {
	if m.below == nil {
		return tensor.TriInv(tensor.Add(A, m.identity), false)
	}
	return doublingInverse(A, m)
}

// onGPU reports whether a GPU computes in the dtype.
func onGPU(d tensor.Dtype) bool { return d != tensor.Float64 && tensor.DefaultDevice() == tensor.GPU }

// doublingInverse inverts I + A by recursive doubling. Say R holds the inverses
// of the diagonal blocks of size b and zeros elsewhere. The inverse of a block
// of size 2b has −R22 A21 R11 below them, which for all blocks at once is
// −R (A∘mask) R with the mask of the blocks A21.
func doublingInverse(A *tensor.Tensor, m masks) *tensor.Tensor {
	R := tensor.Sub(m.identity, tensor.Mul(A, m.below[0]))
	for _, below := range m.below[1:] {
		A21 := tensor.Mul(A, below)
		R = tensor.Sub(R, tensor.MatMul(R, tensor.MatMul(A21, R)))
	}
	return R
}

// masks are constant matrices of ones and zeros, [C, C] unless said otherwise.
type masks struct {
	lower    *tensor.Tensor // on and below the diagonal
	strict   *tensor.Tensor // below the diagonal
	isStrict *tensor.Tensor // strict as bools
	identity *tensor.Tensor
	unit     *tensor.Tensor   // the identity [K, K], for scans that need it
	below    []*tensor.Tensor // those of blocksBelow, nil where LAPACK substitutes
}

// masksOf makes the masks of size C but unit and below, of no scope.
func masksOf(d tensor.Dtype, C int) masks {
	return masks{
		lower:    maskOf(d, C, func(i, j int) bool { return i >= j }),
		strict:   maskOf(d, C, func(i, j int) bool { return i > j }),
		isStrict: maskOf(tensor.Bool, C, func(i, j int) bool { return i > j }),
		identity: maskOf(d, C, func(i, j int) bool { return i == j }),
	}
}

// blocksBelow makes masks of the lower left quarters of the diagonal blocks of
// size 2b, for b = 1, 2, 4 … C/2.
func blocksBelow(d tensor.Dtype, C int) []*tensor.Tensor {
	var list []*tensor.Tensor
	for b := 1; b < C; b *= 2 {
		list = append(list, maskOf(d, C, func(i, j int) bool { return i/b == j/b+1 && i/(2*b) == j/(2*b) }))
	}
	return list
}

// list returns all of the masks.
func (m masks) list() []*tensor.Tensor {
	return append([]*tensor.Tensor{m.lower, m.strict, m.isStrict, m.identity, m.unit}, m.below...)
}

// maskOf makes the mask of the elements i, j with the property.
func maskOf(d tensor.Dtype, C int, has func(i, j int) bool) *tensor.Tensor {
	list := make([]bool, C*C)
	for i := range C {
		for j := range C {
			list[i*C+j] = has(i, j)
		}
	}
	switch d {
	case tensor.Float32:
		return tensor.FromSlice(chosen(list, float32(1)), C, C)
	case tensor.Float64:
		return tensor.FromSlice(chosen(list, 1.), C, C)
	}
	return tensor.FromSlice(list, C, C)
}

// chosen returns v where a list says so, and 0 elsewhere.
func chosen[T float32 | float64](where []bool, v T) []T {
	list := make([]T, len(where))
	for i, yes := range where {
		if yes {
			list[i] = v
		}
	}
	return list
}
