package tensor

import "github.com/deltatape/deltatape/internal/mlxc"

// The functions of this file broadcast their operands and promote their types.

// Add returns a + b.
func Add(a, b *Tensor) *Tensor { return binary("Add", mlxc.Add, a, b) }

// Sub returns a − b.
func Sub(a, b *Tensor) *Tensor { return binary("Sub", mlxc.Subtract, a, b) }

// Mul returns a · b, element by element.
func Mul(a, b *Tensor) *Tensor { return binary("Mul", mlxc.Multiply, a, b) }

// Div returns a / b; integers are divided as float32.
func Div(a, b *Tensor) *Tensor { return binary("Div", mlxc.Divide, a, b) }

// Pow returns a to the power of b.
func Pow(a, b *Tensor) *Tensor { return binary("Pow", mlxc.Power, a, b) }

// Maximum returns the greater of a and b; NaN wins.
func Maximum(a, b *Tensor) *Tensor { return binary("Maximum", mlxc.Maximum, a, b) }

// Minimum returns the smaller of a and b; NaN wins.
func Minimum(a, b *Tensor) *Tensor { return binary("Minimum", mlxc.Minimum, a, b) }

// FloorDivide returns a / b rounded down.
func FloorDivide(a, b *Tensor) *Tensor {
	return binary("FloorDivide", mlxc.FloorDivide, a, nonZeroDivisor("FloorDivide", a, b))
}

// Remainder returns a − b·floor(a/b), which has b's sign.
func Remainder(a, b *Tensor) *Tensor {
	return binary("Remainder", mlxc.Remainder, a, nonZeroDivisor("Remainder", a, b))
}

// nonZeroDivisor keeps an integer division by zero, which is a fault of the
// processor on some devices, from reaching the engine: known zeros are refused
// and unknown ones become the type's largest value.
func nonZeroDivisor(op string, a, b *Tensor) *Tensor {
	if a.dtype.IsFloat() || b.dtype.IsFloat() {
		return b
	}
	if k := b.bounds; k != nil && (k.low > 0 || k.high < 0) {
		return b
	} else if k != nil && b.Size() > 0 && k.low == 0 && k.high == 0 {
		panic(NewError("tensor."+op, []*Tensor{a, b}, "integer division by zero"))
	}
	return Where(Equal(b, Like(b, 0)), Like(b, 127), b)
}

// LogAddExp returns log(exp a + exp b) without overflow.
func LogAddExp(a, b *Tensor) *Tensor {
	if a.dtype == Float64 || b.dtype == Float64 {
		return logAddExp64(a, b)
	}
	return binary("LogAddExp", mlxc.Logaddexp, a, b)
}

// Equal compares elements; the result is bool.
func Equal(a, b *Tensor) *Tensor { return binary("Equal", mlxc.Equal, a, b) }

// NotEqual compares elements; the result is bool.
func NotEqual(a, b *Tensor) *Tensor { return binary("NotEqual", mlxc.NotEqual, a, b) }

// Less compares elements; the result is bool.
func Less(a, b *Tensor) *Tensor { return binary("Less", mlxc.Less, a, b) }

// LessEqual compares elements; the result is bool.
func LessEqual(a, b *Tensor) *Tensor { return binary("LessEqual", mlxc.LessEqual, a, b) }

// Greater compares elements; the result is bool.
func Greater(a, b *Tensor) *Tensor { return binary("Greater", mlxc.Greater, a, b) }

// GreaterEqual compares elements; the result is bool.
func GreaterEqual(a, b *Tensor) *Tensor { return binary("GreaterEqual", mlxc.GreaterEqual, a, b) }

// LogicalAnd is true where both are not 0.
func LogicalAnd(a, b *Tensor) *Tensor { return binary("LogicalAnd", mlxc.LogicalAnd, a, b) }

// LogicalOr is true where one is not 0.
func LogicalOr(a, b *Tensor) *Tensor { return binary("LogicalOr", mlxc.LogicalOr, a, b) }

// AddScalar returns x + s in x's dtype.
func AddScalar(x *Tensor, s float64) *Tensor { return withScalar("AddScalar", mlxc.Add, x, s) }

// MulScalar returns s·x in x's dtype.
func MulScalar(x *Tensor, s float64) *Tensor { return withScalar("MulScalar", mlxc.Multiply, x, s) }

func withScalar(op string, f binaryFunc, x *Tensor, s float64) *Tensor {
	x.handle(op)
	if x.dtype == Bool {
		panic(NewError("tensor."+op, []*Tensor{x}, "want a number, got bool"))
	}
	c := scalarIn(x.scope, x.dtype, s)
	y := binary(op, f, x, c)
	if x.scope != nil {
		x.scope.Release(c)
	}
	return y
}

// Where returns x where cond is true and y elsewhere, all three broadcast.
func Where(cond, x, y *Tensor) *Tensor {
	hc, hx, hy := cond.handle("Where"), x.handle("Where"), y.handle("Where")
	m, err := mlxc.Where(deviceOf2(x, y), hc, hx, hy)
	return madeOf("Where", &m, err, cond, x, y)
}

// Clip limits x to [low, high].
func Clip(x *Tensor, low, high float64) *Tensor {
	if !(low <= high) {
		panic(NewError("tensor.Clip", []*Tensor{x}, "want low <= high, got %v and %v", low, high))
	}
	return Minimum(Maximum(x, Like(x, low)), Like(x, high))
}
