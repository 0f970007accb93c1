package tensor

// Var returns the variance: the sum of squares of the distances from the mean,
// divided by n − ddof for n elements. It runs over the given axes, or over all
// of them when none is given; keepDims leaves reduced axes with length 1. Half
// precision is computed in float32. Of no elements, or of no more than ddof, it
// is no number.
func Var(x *Tensor, keepDims bool, ddof int, axes ...int) *Tensor {
	return moment("Var", x, func(x *Tensor) *Tensor { return variance("Var", x, keepDims, ddof, axes) })
}

// Std returns the standard deviation, which is the root of Var.
func Std(x *Tensor, keepDims bool, ddof int, axes ...int) *Tensor {
	return moment("Std", x, func(x *Tensor) *Tensor { return Sqrt(variance("Std", x, keepDims, ddof, axes)) })
}

// Norm returns the Euclidean norm √Σx². It runs over the given axes, or over all
// of them when none is given; keepDims leaves reduced axes with length 1. Half
// precision is computed in float32.
func Norm(x *Tensor, keepDims bool, axes ...int) *Tensor {
	return moment("Norm", x, func(x *Tensor) *Tensor { return Sqrt(Sum(Square(x), keepDims, axes...)) })
}

// moment applies f to x in at least float32.
func moment(op string, x *Tensor, f func(*Tensor) *Tensor) *Tensor {
	x.handle(op)
	if !x.dtype.IsFloat() {
		panic(NewError("tensor."+op, []*Tensor{x}, "want a floating-point dtype, got %s", x.dtype))
	}
	if x.dtype.Size() == 2 {
		return AsType(f(AsType(x, Float32)), x.dtype)
	}
	return f(x)
}

func variance(op string, x *Tensor, keepDims bool, ddof int, axes []int) *Tensor {
	n := 1
	for _, a := range x.axes(op, axes) {
		n *= x.shape[a]
	}
	squares := Sum(Square(Sub(x, Mean(x, true, axes...))), keepDims, axes...)
	return Div(squares, Like(squares, float64(max(0, n-ddof))))
}
