package ops

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Take returns the slices of x at indices along an axis: x.shape with that axis
// replaced by indices.shape. Indices must be integers in [0, x.Dim(axis)); see
// the caveats of package tensor. An index may come more than once: the gradient
// adds up, in float32 or better.
func Take(x *autograd.Var, indices *tensor.Tensor, axis int) *autograd.Var {
	return take("Take", x, indices, axis)
}

// Embedding returns the rows of weight [V, D] for ids [...], as [..., D].
func Embedding(weight *autograd.Var, ids *tensor.Tensor) *autograd.Var {
	notNil("Embedding", weight)
	if weight.NDim() != 2 {
		panic(tensor.NewError("ops.Embedding", []*tensor.Tensor{weight.Value(), ids}, "want weight [V, D] and ids"))
	}
	return take("Embedding", weight, ids, 0)
}

func take(name string, x *autograd.Var, indices *tensor.Tensor, axis int) *autograd.Var {
	pick := func(x, indices *tensor.Tensor) *tensor.Tensor { return tensor.Take(x, indices, axis) }
	return binary(name, pick, x, constant(name, indices, x),
		withAndShape(readB, func(g, indices *tensor.Tensor, shape []int) *tensor.Tensor {
			g = widen(g)
			rows := axis == 0 || axis == -len(shape)
			if rows && tensor.DefaultDevice() == tensor.GPU && g.Dtype() != tensor.Float64 && indices.Size()*shape[0] <= maxOneHot {
				return sumRows(g, indices, shape)
			}
			return tensor.ScatterAdd(zeros(g, shape), indices, g, axis)
		}), none)
}

// maxOneHot is the greatest matrix of ones and zeros that sumRows makes.
const maxOneHot = 1 << 26

// sumRows is ScatterAdd of g to zeros of the given shape along axis 0, as a
// matrix product. On GPUs a scatter adds in any order, so that two runs differ
// in their last bits; a product does not. (A NaN in g reaches every row.)
func sumRows(g, indices *tensor.Tensor, shape []int) *tensor.Tensor {
	n := indices.Size()
	rows := tensor.Arange(0, float64(shape[0]), 1, tensor.Int32)
	defer tensor.Free(rows)
	column := tensor.Reshape(rows, shape[0], 1)
	defer tensor.Free(column)
	ids := tensor.Reshape(tensor.AsType(indices, tensor.Int32), 1, n)
	oneHot := tensor.AsType(tensor.Equal(column, ids), g.Dtype())
	return tensor.Reshape(tensor.MatMul(oneHot, tensor.Reshape(g, n, product(shape[1:]))), shape...)
}

// TakeAlong returns x[..., indices[...], ...] along an axis: indices has x's
// number of axes and gives one index for each element of the result.
func TakeAlong(x *autograd.Var, indices *tensor.Tensor, axis int) *autograd.Var {
	pick := func(x, indices *tensor.Tensor) *tensor.Tensor { return tensor.TakeAlong(x, indices, axis) }
	return binary("TakeAlong", pick, x, constant("TakeAlong", indices, x),
		withAndShape(readB, func(g, indices *tensor.Tensor, shape []int) *tensor.Tensor {
			g = widen(g)
			if g.Size() == 0 {
				return zeros(g, shape)
			}
			places := tensor.BroadcastTo(flatIndices(indices, shape, axis), g.Shape()...)
			flat := tensor.ScatterAdd(zeros(g, []int{product(shape)}), tensor.Flatten(places), tensor.Flatten(g), 0)
			return tensor.Reshape(flat, shape...)
		}), none)
}

// flatIndices returns the positions in row-major order of what TakeAlong picks
// from a tensor of the given shape, which is not empty.
func flatIndices(indices *tensor.Tensor, shape []int, axis int) *tensor.Tensor {
	strides := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = n
		n *= shape[i]
	}
	axis = (axis + len(shape)) % len(shape)
	flat := tensor.MulScalar(tensor.AsType(indices, tensor.Int32), float64(strides[axis]))
	for i, d := range shape {
		if i == axis || d == 1 {
			continue
		}
		steps := tensor.Arange(0, float64(d*strides[i]), float64(strides[i]), tensor.Int32)
		along := make([]int, len(shape)-i) // [d, 1, 1, ...]
		for j := range along {
			along[j] = 1
		}
		along[0] = d
		column := tensor.Reshape(steps, along...)
		flat = tensor.Add(flat, column)
		tensor.Free(steps, column)
	}
	return flat
}
