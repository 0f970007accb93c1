package train

import "github.com/deltatape/deltatape/tensor"

// GlobalNorm returns the L2 norm of all gradients taken together, as a float32
// tensor (float64 if one of them is), in the scope of the gradients. It panics
// without gradients.
func GlobalNorm(grads []*tensor.Tensor) *tensor.Tensor {
	if len(grads) == 0 {
		panic(tensor.NewError("train.GlobalNorm", nil, "want one gradient or more, got none"))
	}
	var total *tensor.Tensor
	for _, g := range grads {
		if g.Dtype() != tensor.Float64 {
			g = tensor.AsType(g, tensor.Float32)
		}
		sum := tensor.Sum(tensor.Square(g), false)
		if total == nil {
			total = sum
		} else {
			total = tensor.Add(total, sum)
		}
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
