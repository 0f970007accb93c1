package nn

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// checkSizes panics unless every size of a layer is positive.
func checkSizes(op string, sizes ...int) {
	for _, n := range sizes {
		if n < 1 {
			panic(tensor.NewError(op, nil, "want sizes of 1 or more, got %v", sizes))
		}
	}
}

// Draw makes a parameter of what draw computes from a random key, and releases
// what was computed on the way.
func Draw(name string, key *tensor.Tensor, draw func(key *tensor.Tensor) *tensor.Tensor) *autograd.Param {
	s := tensor.NewScope()
	defer s.Close()
	return autograd.NewParam(name, draw(s.Use(key)))
}

// Scale multiplies a parameter's value, to change the size that a constructor
// gave it.
func Scale(p *autograd.Param, factor float64) {
	s := tensor.NewScope()
	defer s.Close()
	p.SetValue(tensor.MulScalar(s.Use(p.Value()), factor))
}

// normal makes a parameter of normally distributed float32 numbers.
func normal(name string, key *tensor.Tensor, std float64, shape ...int) *autograd.Param {
	return Draw(name, key, func(key *tensor.Tensor) *tensor.Tensor {
		return tensor.MulScalar(tensor.Normal(key, shape...), std)
	})
}

// uniform makes a parameter of float32 numbers from [−bound, bound).
func uniform(name string, key *tensor.Tensor, bound float64, shape ...int) *autograd.Param {
	return Draw(name, key, func(key *tensor.Tensor) *tensor.Tensor {
		return tensor.Uniform(key, -bound, bound, shape...)
	})
}

// constant makes a parameter of n float32 numbers v.
func constant(name string, v float64, n int) *autograd.Param {
	t := tensor.Full(v, tensor.Float32, n)
	defer tensor.Free(t)
	return autograd.NewParam(name, t)
}

// lecun is the standard deviation that keeps the variance of a sum of n
// products (LeCun et al., Efficient BackProp, 1998).
func lecun(n int) float64 { return 1 / math.Sqrt(float64(n)) }
