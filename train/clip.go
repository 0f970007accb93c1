package train

import "github.com/deltatape/deltatape/tensor"

// GlobalNorm returns the L2 norm of all gradients taken together, as a float32
// tensor (float64 if one of them is), in the scope of the gradients. It panics
// without gradients.
func GlobalNorm(grads []*tensor.Tensor) *tensor.Tensor {
	if len(grads) == 0 {
		panic(tensor.NewError("train.GlobalNorm", nil, "want one gradient or more, got none"))
	}
	return rootOfSum(sumsOfSquares(grads))
}

// sumsOfSquares returns a number for each tensor, float32 or float64.
func sumsOfSquares(ts []*tensor.Tensor) []*tensor.Tensor {
	sums := make([]*tensor.Tensor, len(ts))
	for i, t := range ts {
		if t.Dtype() != tensor.Float64 {
			t = tensor.AsType(t, tensor.Float32)
		}
		sums[i] = tensor.Sum(tensor.Square(t), false)
	}
	return sums
}

func rootOfSum(sums []*tensor.Tensor) *tensor.Tensor {
	total := sums[0]
	for _, s := range sums[1:] {
		total = tensor.Add(total, s)
	}
	return tensor.Sqrt(total)
}

// Clip scales gradients such that their global norm is limit at most: by
// limit/(norm + 1e-6) where that is below 1, as PyTorch does.
func Clip(grads []*tensor.Tensor, norm *tensor.Tensor, limit float64) []*tensor.Tensor {
	factor := tensor.Minimum(tensor.Div(tensor.Like(norm, limit), tensor.AddScalar(norm, 1e-6)), tensor.Like(norm, 1))
	out := make([]*tensor.Tensor, len(grads))
	for i, g := range grads {
		out[i] = tensor.Mul(g, tensor.AsType(factor, g.Dtype()))
	}
	return out
}
