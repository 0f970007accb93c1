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
			whole := g.Shape() // x's, where that broadcasts to the indices
			whole[(axis+len(whole))%len(whole)] = shape[(axis+len(shape))%len(shape)]
			return tensor.ScatterAddAlong(zeros(g, whole), indices, g, axis)
		}), none)
}

// ScatterAdd returns x with updates added at indices along an axis; an index may
// come more than once. updates has x.shape with that axis replaced by
// indices.shape. Indices must be integers in [0, x.Dim(axis)).
func ScatterAdd(x *autograd.Var, indices *tensor.Tensor, updates *autograd.Var, axis int) *autograd.Var {
	add := func(x, updates, indices *tensor.Tensor) *tensor.Tensor {
		return tensor.ScatterAdd(x, indices, updates, axis)
	}
	return ternary("ScatterAdd", add, x, updates, constant("ScatterAdd", indices, x), linear(same),
		with(readC, func(g, indices *tensor.Tensor) *tensor.Tensor { return tensor.Take(g, indices, axis) }), none)
}

// ScatterAddAlong is the counterpart of TakeAlong: it returns x with updates
// added at x[..., indices[...], ...] along an axis. indices has x's number of
// axes and gives one index for each update; outside the axis it broadcasts to x,
// and updates broadcasts to both. An index may come more than once. Indices must
// be integers in [0, x.Dim(axis)).
func ScatterAddAlong(x *autograd.Var, indices *tensor.Tensor, updates *autograd.Var, axis int) *autograd.Var {
	add := func(x, updates, indices *tensor.Tensor) *tensor.Tensor {
		return tensor.ScatterAddAlong(x, indices, updates, axis)
	}
	return ternary("ScatterAddAlong", add, x, updates, constant("ScatterAddAlong", indices, x), linear(same),
		with(readC, func(g, indices *tensor.Tensor) *tensor.Tensor { return tensor.TakeAlong(g, indices, axis) }), none)
}
