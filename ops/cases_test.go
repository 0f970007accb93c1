package ops

import (
	"math/rand/v2"
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// A gradCase is a differentiable use of an op. The table of them drives the
// gradient checks, the comparison with MLX's own differentiation, and the sweep
// over dtypes and layouts; every exported op must have one.
type gradCase struct {
	op, name string
	f        func(v ...*autograd.Var) []*autograd.Var
	in       []*tensor.Tensor // float64
	noEngine string           // why MLX's own differentiation does not apply
}

func (c gradCase) String() string {
	if c.name == "" {
		return c.op
	}
	return c.op + "/" + c.name
}

func f1(f func(x *autograd.Var) *autograd.Var) func(...*autograd.Var) []*autograd.Var {
	return func(v ...*autograd.Var) []*autograd.Var { return []*autograd.Var{f(v[0])} }
}

func f2(f func(a, b *autograd.Var) *autograd.Var) func(...*autograd.Var) []*autograd.Var {
	return func(v ...*autograd.Var) []*autograd.Var { return []*autograd.Var{f(v[0], v[1])} }
}

func f3(f func(a, b, c *autograd.Var) *autograd.Var) func(...*autograd.Var) []*autograd.Var {
	return func(v ...*autograd.Var) []*autograd.Var { return []*autograd.Var{f(v[0], v[1], v[2])} }
}

func list(ts ...*tensor.Tensor) []*tensor.Tensor { return ts }

// source makes the inputs of the table, the same in every run.
var source = rand.New(rand.NewPCG(1, 2))

func fill(f func() float64, shape []int) *tensor.Tensor {
	data := make([]float64, product(shape))
	for i := range data {
		data[i] = f()
	}
	if len(shape) == 0 {
		return tensor.Scalar(data[0])
	}
	return tensor.FromSlice(data, shape...)
}

func normal(shape ...int) *tensor.Tensor { return fill(source.NormFloat64, shape) }

// positive numbers are between 0.5 and 2.
func positive(shape ...int) *tensor.Tensor { return uniform(0.5, 2, shape...) }

func uniform(low, high float64, shape ...int) *tensor.Tensor {
	return fill(func() float64 { return low + (high-low)*source.Float64() }, shape)
}

// apart are numbers in random order that differ by 0.25 or more, and from 0 and
// ±0.25 by 0.1, so that no kink is near.
func apart(shape ...int) *tensor.Tensor {
	order := source.Perm(product(shape))
	i := -1
	return fill(func() float64 { i++; return 0.25*float64(order[i]-len(order)/2) + 0.1 }, shape)
}

func ints(v ...int32) *tensor.Tensor { return tensor.FromSlice(v) }

var gradCases = slices.Concat(elementCases, arrayCases, layerCases)

// elementCases are those of ops that work element by element.
var elementCases = []gradCase{
	{op: "Add", f: f2(Add), in: list(normal(2, 3), normal(2, 3))},
	{op: "Add", name: "row", f: f2(Add), in: list(normal(2, 3), normal(3))},
	{op: "Add", name: "both broadcast", f: f2(Add), in: list(normal(2, 1, 3), normal(4, 1))},
	{op: "Add", name: "scalar", f: f2(Add), in: list(normal(), normal(2, 2))},
	{op: "Add", name: "empty", f: f2(Add), in: list(normal(0, 3), normal(3))},
	{op: "Add", name: "itself", f: f1(func(x *autograd.Var) *autograd.Var { return Add(x, x) }), in: list(normal(3))},
	{op: "Sub", f: f2(Sub), in: list(normal(2, 3), normal(2, 3))},
	{op: "Sub", name: "column", f: f2(Sub), in: list(normal(2, 1), normal(2, 3))},
	{op: "Mul", f: f2(Mul), in: list(normal(2, 3), normal(2, 3))},
	{op: "Mul", name: "row", f: f2(Mul), in: list(normal(2, 3), normal(3))},
	{op: "Mul", name: "both broadcast", f: f2(Mul), in: list(normal(2, 1, 3), normal(4, 1))},
	{op: "Mul", name: "itself", f: f1(func(x *autograd.Var) *autograd.Var { return Mul(x, x) }), in: list(normal(3))},
	{op: "Div", f: f2(Div), in: list(normal(2, 3), positive(2, 3))},
	{op: "Div", name: "broadcast", f: f2(Div), in: list(normal(3), positive(2, 1))},
	{op: "Pow", f: f2(Pow), in: list(positive(2, 3), normal(2, 3))},
	{op: "Pow", name: "broadcast", f: f2(Pow), in: list(positive(2, 1), normal(3))},
	{op: "Pow", name: "negative base", in: list(normal(4)), f: f1(func(x *autograd.Var) *autograd.Var {
		return Pow(x, x.Tape().Const(tensor.AsType(tensor.Scalar(3.0), x.Dtype())))
	})},
	{op: "Maximum", f: f2(Maximum), in: list(apart(2, 3), normal(2, 1))},
	{op: "Minimum", f: f2(Minimum), in: list(apart(2, 3), normal(3))},
	{op: "AddScalar", f: f1(func(x *autograd.Var) *autograd.Var { return AddScalar(x, 0.7) }), in: list(normal(4))},
	{op: "MulScalar", f: f1(func(x *autograd.Var) *autograd.Var { return MulScalar(x, -1.3) }), in: list(normal(2, 2))},
	{op: "Clip", f: f1(func(x *autograd.Var) *autograd.Var { return Clip(x, -0.3, 0.5) }), in: list(apart(7))},
	{op: "Where", f: f2(func(x, y *autograd.Var) *autograd.Var {
		return Where(tensor.FromSlice([]bool{true, false, true}), x, y)
	}), in: list(normal(2, 3), normal(2, 3))},
	{op: "Where", name: "broadcast", f: f2(func(x, y *autograd.Var) *autograd.Var {
		return Where(tensor.FromSlice([]bool{true, false, true}, 3, 1), x, y)
	}), in: list(normal(2, 1, 1), normal())},

	{op: "LogAddExp", f: f2(LogAddExp), in: list(normal(2, 3), normal(2, 3))},
	{op: "LogAddExp", name: "broadcast", f: f2(LogAddExp), in: list(normal(2, 1, 3), normal(4, 1))},
	{op: "LogAddExp", name: "far apart", f: f2(LogAddExp), in: list(normal(3), tensor.FromSlice([]float64{-90, 3, 90}))},

	{op: "Neg", f: f1(Neg), in: list(normal(4))},
	{op: "Abs", f: f1(Abs), in: list(apart(5))},
	{op: "Exp", f: f1(Exp), in: list(normal(2, 3))},
	{op: "Exp", name: "empty", f: f1(Exp), in: list(normal(2, 0))},
	{op: "Expm1", f: f1(Expm1), in: list(normal(4))},
	{op: "Log", f: f1(Log), in: list(positive(4))},
	{op: "Log1p", f: f1(Log1p), in: list(positive(4))},
	{op: "Log2", f: f1(Log2), in: list(positive(4))},
	{op: "Log10", f: f1(Log10), in: list(positive(4))},
	{op: "Sqrt", f: f1(Sqrt), in: list(positive(4))},
	{op: "Rsqrt", f: f1(Rsqrt), in: list(positive(4))},
	{op: "Square", f: f1(Square), in: list(normal(4))},
	{op: "Reciprocal", f: f1(Reciprocal), in: list(positive(4))},
	{op: "Sin", f: f1(Sin), in: list(normal(4))},
	{op: "Cos", f: f1(Cos), in: list(normal(4))},
	{op: "Tan", f: f1(Tan), in: list(uniform(-1.2, 1.2, 4))},
	{op: "ArcSin", f: f1(ArcSin), in: list(uniform(-0.9, 0.9, 4))},
	{op: "ArcCos", f: f1(ArcCos), in: list(uniform(-0.9, 0.9, 4))},
	{op: "ArcTan", f: f1(ArcTan), in: list(normal(4))},
	{op: "Sinh", f: f1(Sinh), in: list(normal(4))},
	{op: "Cosh", f: f1(Cosh), in: list(normal(4))},
	{op: "Erf", f: f1(Erf), in: list(normal(4))},

	{op: "Sigmoid", f: f1(Sigmoid), in: list(normal(6))},
	{op: "Tanh", f: f1(Tanh), in: list(normal(6))},
	{op: "ReLU", f: f1(ReLU), in: list(apart(6))},
	{op: "Softplus", f: f1(Softplus), in: list(normal(6))},
	{op: "SiLU", f: f1(SiLU), in: list(normal(2, 3))},
	{op: "SiLU", name: "large", f: f1(SiLU), in: list(tensor.FromSlice([]float64{-40, -12, 12, 40}))},
	{op: "GELU", f: f1(GELU), in: list(normal(2, 3))},
	{op: "GELUApprox", f: f1(GELUApprox), in: list(normal(2, 3))},
	{op: "LogSigmoid", f: f1(LogSigmoid), in: list(normal(2, 3))},
	{op: "LeakyReLU", f: f1(func(x *autograd.Var) *autograd.Var { return LeakyReLU(x, 0.1) }), in: list(apart(6))},
	{op: "ELU", f: f1(func(x *autograd.Var) *autograd.Var { return ELU(x, 1.5) }), in: list(apart(6))},
}

// arrayCases are those of ops that reduce, multiply and rearrange arrays.
var arrayCases = []gradCase{
	{op: "MatMul", f: f2(MatMul), in: list(normal(2, 3), normal(3, 4))},
	{op: "MatMul", name: "shared matrix", f: f2(MatMul), in: list(normal(2, 2, 3), normal(3, 2))},
	{op: "MatMul", name: "shared left", f: f2(MatMul), in: list(normal(2, 3), normal(2, 3, 2))},
	{op: "MatMul", name: "batch", f: f2(MatMul), in: list(normal(2, 2, 3), normal(2, 3, 2))},
	{op: "MatMul", name: "batch broadcast", f: f2(MatMul), in: list(normal(2, 1, 2, 3), normal(2, 3, 2))},
	{op: "MatMul", name: "row", f: f2(MatMul), in: list(normal(3), normal(3, 2))},
	{op: "MatMul", name: "row and batch", f: f2(MatMul), in: list(normal(3), normal(2, 3, 2))},
	{op: "MatMul", name: "column", f: f2(MatMul), in: list(normal(2, 2, 3), normal(3))},
	{op: "MatMul", name: "dot", f: f2(MatMul), in: list(normal(3), normal(3))},
	{op: "MatMul", name: "empty", f: f2(MatMul), in: list(normal(2, 0), normal(0, 3))},
	{op: "MatMul", name: "no rows", f: f2(MatMul), in: list(normal(0, 2), normal(2, 3))},
	{op: "AddMM", f: f3(func(c, a, b *autograd.Var) *autograd.Var { return AddMM(c, a, b, 1, 1) }),
		in: list(normal(4), normal(2, 3), normal(3, 4))},
	{op: "AddMM", name: "scaled", f: f3(func(c, a, b *autograd.Var) *autograd.Var { return AddMM(c, a, b, 0.5, -2) }),
		in: list(normal(2, 2), normal(2, 2, 3), normal(3, 2))},

	{op: "Sum", f: f1(func(x *autograd.Var) *autograd.Var { return Sum(x, false) }), in: list(normal(2, 3))},
	{op: "Sum", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Sum(x, false, 0, -1) }), in: list(normal(2, 3, 2))},
	{op: "Sum", name: "keep", f: f1(func(x *autograd.Var) *autograd.Var { return Sum(x, true, 1) }), in: list(normal(2, 3))},
	{op: "Sum", name: "empty", f: f1(func(x *autograd.Var) *autograd.Var { return Sum(x, false, 0) }), in: list(normal(0, 3))},
	{op: "Mean", f: f1(func(x *autograd.Var) *autograd.Var { return Mean(x, false) }), in: list(normal(2, 3))},
	{op: "Mean", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Mean(x, false, -1, 0) }), in: list(normal(2, 3, 2))},
	{op: "Mean", name: "keep", f: f1(func(x *autograd.Var) *autograd.Var { return Mean(x, true, 0) }), in: list(normal(2, 3))},
	{op: "Max", f: f1(func(x *autograd.Var) *autograd.Var { return Max(x, false) }), in: list(apart(2, 3))},
	{op: "Max", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Max(x, false, 0, 2) }), in: list(apart(2, 3, 2))},
	{op: "Min", f: f1(func(x *autograd.Var) *autograd.Var { return Min(x, true, -1) }), in: list(apart(2, 3))},
	{op: "Prod", f: f1(func(x *autograd.Var) *autograd.Var { return Prod(x, false) }), in: list(normal(2, 3))},
	{op: "Prod", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Prod(x, true, -1, 0) }), in: list(normal(2, 3, 2))},
	{op: "Prod", name: "zeros", f: f1(func(x *autograd.Var) *autograd.Var { return Prod(x, false, 1) }),
		in: list(tensor.FromSlice([]float64{1, 0, 3, 0, 0, 2, 4, 5, 6}, 3, 3))},
	{op: "Var", f: f1(func(x *autograd.Var) *autograd.Var { return Var(x, false, 0) }), in: list(normal(2, 3))},
	{op: "Var", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Var(x, false, 1, -1, 0) }), in: list(normal(2, 3, 2))},
	{op: "Std", f: f1(func(x *autograd.Var) *autograd.Var { return Std(x, true, 1, 1) }), in: list(normal(2, 3))},
	{op: "Norm", f: f1(func(x *autograd.Var) *autograd.Var { return Norm(x, false) }), in: list(normal(2, 3))},
	{op: "Norm", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Norm(x, true, -1, 0) }), in: list(normal(2, 3, 2))},
	{op: "LogSumExp", f: f1(func(x *autograd.Var) *autograd.Var { return LogSumExp(x, false) }), in: list(normal(2, 3))},
	{op: "LogSumExp", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return LogSumExp(x, false, -1, 0) }), in: list(normal(2, 3, 2))},
	{op: "LogSumExp", name: "keep", f: f1(func(x *autograd.Var) *autograd.Var { return LogSumExp(x, true, 1) }), in: list(normal(2, 3))},
	{op: "CumSum", f: f1(func(x *autograd.Var) *autograd.Var { return CumSum(x, -1, false, false) }), in: list(normal(2, 4))},
	{op: "CumSum", name: "reverse", f: f1(func(x *autograd.Var) *autograd.Var { return CumSum(x, 0, true, false) }), in: list(normal(3, 2))},
	{op: "CumSum", name: "exclusive", f: f1(func(x *autograd.Var) *autograd.Var { return CumSum(x, 1, false, true) }), in: list(normal(2, 4))},
	{op: "CumSum", name: "reverse exclusive", f: f1(func(x *autograd.Var) *autograd.Var { return CumSum(x, 1, true, true) }), in: list(normal(2, 4))},
	{op: "CumSum", name: "empty", f: f1(func(x *autograd.Var) *autograd.Var { return CumSum(x, 0, false, false) }), in: list(normal(0, 2))},

	{op: "CumProd", f: f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, -1, false, false) }), in: list(normal(2, 5))},
	{op: "CumProd", name: "reverse", f: f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 0, true, false) }), in: list(normal(3, 2))},
	{op: "CumProd", name: "exclusive", f: f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 1, false, true) }), in: list(normal(2, 4))},
	{op: "CumProd", name: "reverse exclusive", f: f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, -2, true, true) }), in: list(normal(6, 2))},
	{op: "CumProd", name: "zeros", f: f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 1, false, false) }), noEngine: "divides by zero",
		in: list(tensor.FromSlice([]float64{1, 0, 3, 2, 0, 2, 0, 4, 5, 6, 0, 0}, 3, 4))},
	{op: "CumProd", name: "one element", f: f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 1, false, true) }), in: list(normal(3, 1))},

	{op: "Softmax", f: f1(func(x *autograd.Var) *autograd.Var { return Softmax(x, -1) }), in: list(normal(2, 4))},
	{op: "Softmax", name: "of nothing", f: f1(func(x *autograd.Var) *autograd.Var { return Softmax(x, 1) }), in: list(normal(2, 0, 4))},
	{op: "Softmax", name: "first axis", f: f1(func(x *autograd.Var) *autograd.Var { return Softmax(x, 0) }), in: list(normal(3, 2))},
	{op: "LogSoftmax", f: f1(func(x *autograd.Var) *autograd.Var { return LogSoftmax(x, -1) }), in: list(normal(2, 4))},
	{op: "LogSoftmax", name: "of nothing", f: f1(func(x *autograd.Var) *autograd.Var { return LogSoftmax(x, 1) }), in: list(normal(2, 0, 4))},
	{op: "LogSoftmax", name: "first axis", f: f1(func(x *autograd.Var) *autograd.Var { return LogSoftmax(x, 0) }), in: list(normal(3, 2))},

	{op: "Reshape", f: f1(func(x *autograd.Var) *autograd.Var { return Reshape(x, 3, -1) }), in: list(normal(2, 3))},
	{op: "Flatten", f: f1(Flatten), in: list(normal(2, 3))},
	{op: "ExpandDims", f: f1(func(x *autograd.Var) *autograd.Var { return ExpandDims(x, 0, -1) }), in: list(normal(2, 3))},
	{op: "Squeeze", f: f1(func(x *autograd.Var) *autograd.Var { return Squeeze(x, -2) }), in: list(normal(2, 1, 3))},
	{op: "Squeeze", name: "all", f: f1(func(x *autograd.Var) *autograd.Var { return Squeeze(x) }), in: list(normal(1, 2, 1))},
	{op: "Squeeze", name: "nothing", f: f1(func(x *autograd.Var) *autograd.Var { return Squeeze(x) }), in: list(normal(2))},
	{op: "Transpose", f: f1(func(x *autograd.Var) *autograd.Var { return Transpose(x) }), in: list(normal(2, 3))},
	{op: "Transpose", name: "axes", f: f1(func(x *autograd.Var) *autograd.Var { return Transpose(x, 1, -1, 0) }), in: list(normal(2, 3, 4))},
	{op: "SwapAxes", f: f1(func(x *autograd.Var) *autograd.Var { return SwapAxes(x, 0, -1) }), in: list(normal(2, 1, 3))},
	{op: "BroadcastTo", f: f1(func(x *autograd.Var) *autograd.Var { return BroadcastTo(x, 2, 3, 2) }), in: list(normal(3, 1))},
	{op: "BroadcastTo", name: "empty", f: f1(func(x *autograd.Var) *autograd.Var { return BroadcastTo(x, 0, 3) }), in: list(normal(3))},
	{op: "BroadcastTo", name: "of nothing", f: f1(func(x *autograd.Var) *autograd.Var { return BroadcastTo(x, 2, 3, 0) }), in: list(normal(3, 0))},
	{op: "AsType", f: f1(func(x *autograd.Var) *autograd.Var { return AsType(x, x.Dtype()) }), in: list(normal(3))},
	{op: "Tril", f: f1(func(x *autograd.Var) *autograd.Var { return Tril(x, -1) }), in: list(normal(2, 3, 3))},
	{op: "Triu", f: f1(func(x *autograd.Var) *autograd.Var { return Triu(x, 1) }), in: list(normal(3, 4))},
	{op: "Flip", f: f1(func(x *autograd.Var) *autograd.Var { return Flip(x, -1) }), in: list(normal(2, 3))},
	{op: "Flip", name: "all", f: f1(func(x *autograd.Var) *autograd.Var { return Flip(x) }), in: list(normal(2, 3))},
	{op: "Repeat", f: f1(func(x *autograd.Var) *autograd.Var { return Repeat(x, 3, -1) }), in: list(normal(2, 3))},
	{op: "Repeat", name: "first axis", f: f1(func(x *autograd.Var) *autograd.Var { return Repeat(x, 2, 0) }), in: list(normal(2, 3))},
	{op: "Repeat", name: "not at all", f: f1(func(x *autograd.Var) *autograd.Var { return Repeat(x, 0, 1) }), in: list(normal(2, 3))},

	{op: "Tile", f: f1(func(x *autograd.Var) *autograd.Var { return Tile(x, 2, 3) }), in: list(normal(2, 3))},
	{op: "Tile", name: "fewer", f: f1(func(x *autograd.Var) *autograd.Var { return Tile(x, 2) }), in: list(normal(2, 3))},
	{op: "Tile", name: "more", f: f1(func(x *autograd.Var) *autograd.Var { return Tile(x, 2, 1, 2) }), in: list(normal(2, 3))},
	{op: "Tile", name: "not at all", f: f1(func(x *autograd.Var) *autograd.Var { return Tile(x, 0, 2) }), in: list(normal(2, 3))},
	{op: "Roll", f: f1(func(x *autograd.Var) *autograd.Var { return Roll(x, 2, -1) }), in: list(normal(2, 5))},
	{op: "Roll", name: "back", f: f1(func(x *autograd.Var) *autograd.Var { return Roll(x, -7, 0) }), in: list(normal(3, 2))},
	{op: "MoveAxis", f: f1(func(x *autograd.Var) *autograd.Var { return MoveAxis(x, 0, -1) }), in: list(normal(2, 3, 4))},
	{op: "MoveAxis", name: "forward", f: f1(func(x *autograd.Var) *autograd.Var { return MoveAxis(x, -1, 1) }), in: list(normal(2, 1, 3, 2))},

	{op: "Slice", f: f1(func(x *autograd.Var) *autograd.Var { return Slice(x, []int{0, 1}, []int{2, 3}) }), in: list(normal(3, 4))},
	{op: "Slice", name: "negative", f: f1(func(x *autograd.Var) *autograd.Var { return Slice(x, []int{-9, -2}, []int{-1, 99}) }), in: list(normal(3, 4))},
	{op: "Slice", name: "strides", f: f1(func(x *autograd.Var) *autograd.Var {
		return Slice(x, []int{1, 0, 0}, []int{7, 3, 2}, 3, 2, 1)
	}), in: list(normal(7, 4, 2))},
	{op: "Slice", name: "nothing", f: f1(func(x *autograd.Var) *autograd.Var { return Slice(x, []int{2}, []int{2}) }), in: list(normal(3))},
	{op: "SliceAxis", f: f1(func(x *autograd.Var) *autograd.Var { return SliceAxis(x, -1, 1, 3) }), in: list(normal(2, 4))},
	{op: "SliceAxis", name: "negative", f: f1(func(x *autograd.Var) *autograd.Var { return SliceAxis(x, 0, -2, 99) }), in: list(normal(3, 2))},
	{op: "Pad", f: f1(func(x *autograd.Var) *autograd.Var { return Pad(x, [][2]int{{1, 0}, {0, 2}}, 0.5) }), in: list(normal(2, 3))},

	{op: "PadEdge", f: f1(func(x *autograd.Var) *autograd.Var { return PadEdge(x, [][2]int{{1, 0}, {2, 3}}) }), in: list(normal(2, 3))},
	{op: "PadEdge", name: "empty", f: f1(func(x *autograd.Var) *autograd.Var { return PadEdge(x, [][2]int{{0, 0}, {2, 3}}) }), in: list(normal(0, 3))},
	{op: "SliceUpdate", f: f2(func(x, u *autograd.Var) *autograd.Var { return SliceUpdate(x, u, []int{0, -2}, []int{2, 9}) }),
		in: list(normal(3, 4), normal(2, 2))},
	{op: "SliceUpdate", name: "broadcast", f: f2(func(x, u *autograd.Var) *autograd.Var { return SliceUpdate(x, u, []int{1, 0}, []int{3, 3}) }),
		in: list(normal(3, 4), normal(3))},

	{op: "Concat", f: f2(func(a, b *autograd.Var) *autograd.Var { return Concat(-1, a, b, a) }), in: list(normal(2, 3), normal(2, 1))},
	{op: "Concat", name: "empty part", f: f3(func(a, b, c *autograd.Var) *autograd.Var { return Concat(0, a, b, c) }),
		in: list(normal(1, 2), normal(0, 2), normal(2, 2))},
	{op: "Stack", f: f2(func(a, b *autograd.Var) *autograd.Var { return Stack(-1, a, b) }), in: list(normal(2, 3), normal(2, 3))},
	{op: "SplitAt", f: func(v ...*autograd.Var) []*autograd.Var { return SplitAt(v[0], -1, 1, 1, 3) }, in: list(normal(2, 4))},
	{op: "SplitAt", name: "one part used", f: func(v ...*autograd.Var) []*autograd.Var { return SplitAt(v[0], 0, 2)[1:] }, in: list(normal(3, 2))},
	{op: "SplitEqual", f: func(v ...*autograd.Var) []*autograd.Var { return SplitEqual(v[0], 2, -1) }, in: list(normal(2, 4))},
	{op: "Unstack", f: func(v ...*autograd.Var) []*autograd.Var { return Unstack(v[0], -1) }, in: list(normal(2, 3))},

	{op: "Take", f: f1(func(x *autograd.Var) *autograd.Var { return Take(x, ints(2, 0, 2), 0) }), in: list(normal(3, 2))},
	{op: "Take", name: "last axis", f: f1(func(x *autograd.Var) *autograd.Var {
		return Take(x, tensor.FromSlice([]int32{1, 0, 1, 1}, 2, 2), -1)
	}), in: list(normal(2, 3))},
	{op: "Take", name: "middle axis", f: f1(func(x *autograd.Var) *autograd.Var { return Take(x, ints(1, 1), 1) }), in: list(normal(2, 3, 2))},
	{op: "Take", name: "scalar index", f: f1(func(x *autograd.Var) *autograd.Var { return Take(x, tensor.Scalar(int32(1)), 1) }), in: list(normal(2, 3))},
	{op: "Take", name: "no indices", f: f1(func(x *autograd.Var) *autograd.Var { return Take(x, ints(), 0) }), in: list(normal(3, 2))},
	{op: "TakeAlong", f: f1(func(x *autograd.Var) *autograd.Var {
		return TakeAlong(x, tensor.FromSlice([]int32{2, 0, 2, 1, 1, 0}, 3, 2), 1)
	}), in: list(normal(3, 3))},
	{op: "TakeAlong", name: "first axis", f: f1(func(x *autograd.Var) *autograd.Var {
		return TakeAlong(x, tensor.FromSlice([]int32{1, 1, 0, 0, 1, 0}, 1, 3, 2), 0)
	}), in: list(normal(2, 3, 2))},
	{op: "TakeAlong", name: "indices broadcast", f: f1(func(x *autograd.Var) *autograd.Var {
		return TakeAlong(x, tensor.FromSlice([]int32{1, 0, 1}, 1, 3), 1)
	}), in: list(normal(2, 2))},
	{op: "TakeAlong", name: "x broadcast", f: f1(func(x *autograd.Var) *autograd.Var {
		return TakeAlong(x, tensor.FromSlice([]int32{1, 0, 2, 2}, 2, 2), 1)
	}), in: list(normal(1, 3))},
	{op: "ScatterAdd", f: f2(func(x, u *autograd.Var) *autograd.Var { return ScatterAdd(x, ints(2, 0, 2), u, 0) }),
		in: list(normal(3, 2), normal(3, 2))},
	{op: "ScatterAdd", name: "last axis", f: f2(func(x, u *autograd.Var) *autograd.Var {
		return ScatterAdd(x, tensor.FromSlice([]int32{1, 0, 1, 1}, 2, 2), u, -1)
	}), in: list(normal(2, 3), normal(2, 2, 2))},
	{op: "ScatterAddAlong", f: f2(func(x, u *autograd.Var) *autograd.Var {
		return ScatterAddAlong(x, tensor.FromSlice([]int32{2, 0, 2, 2}, 2, 2), u, 1)
	}), in: list(normal(2, 3), normal(2, 2))},
	{op: "ScatterAddAlong", name: "broadcast", f: f2(func(x, u *autograd.Var) *autograd.Var {
		return ScatterAddAlong(x, tensor.FromSlice([]int32{1, 1, 0, 1}, 4, 1), u, 0)
	}), in: list(normal(2, 3), normal(1, 3))},
	{op: "Sort", f: f1(func(x *autograd.Var) *autograd.Var { return Sort(x, -1) }), in: list(apart(2, 5))},
	{op: "Sort", name: "first axis", f: f1(func(x *autograd.Var) *autograd.Var { return Sort(x, 0) }), in: list(apart(4, 2))},
	{op: "TopK", f: f1(func(x *autograd.Var) *autograd.Var { y, _ := TopK(x, 2, -1); return y }), in: list(apart(3, 5))},
	{op: "TopK", name: "first axis", f: f1(func(x *autograd.Var) *autograd.Var { y, _ := TopK(x, 3, 0); return y }), in: list(apart(3, 2))},
	{op: "TopK", name: "none", f: f1(func(x *autograd.Var) *autograd.Var { y, _ := TopK(x, 0, 1); return y }), in: list(apart(3, 2))},
	{op: "Embedding", f: f1(func(w *autograd.Var) *autograd.Var {
		return Embedding(w, tensor.FromSlice([]int32{3, 1, 1, 0, 3, 3}, 2, 3))
	}), in: list(normal(4, 2))},
}
