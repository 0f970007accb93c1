package tensor

import (
	"math"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// The functions of this file broadcast their operands and promote their types.

// Add returns a + b.
func Add(a, b *Tensor) *Tensor { return binary("Add", mlxc.Add, a, b) }

// Sub returns a − b.
func Sub(a, b *Tensor) *Tensor { return binary("Sub", mlxc.Subtract, a, b) }

// Mul returns a · b, element by element.
func Mul(a, b *Tensor) *Tensor { return binary("Mul", mlxc.Multiply, a, b) }

// Div returns a / b; integers are divided as float32.
func Div(a, b *Tensor) *Tensor { return binary("Div", mlxc.Divide, a, b) }

// Pow returns a to the power of b. Of integers, a negative power is 0.
func Pow(a, b *Tensor) *Tensor { return binary("Pow", mlxc.Power, a, b) }

// Maximum returns the greater of a and b; NaN wins.
func Maximum(a, b *Tensor) *Tensor { return binary("Maximum", mlxc.Maximum, a, b) }

// Minimum returns the smaller of a and b; NaN wins.
func Minimum(a, b *Tensor) *Tensor { return binary("Minimum", mlxc.Minimum, a, b) }

// FloorDivide returns a / b rounded down. An integer divided by 0 is refused
// where the host knows the divisor to be 0, and has no certain value elsewhere.
func FloorDivide(a, b *Tensor) *Tensor {
	const op = "FloorDivide"
	if !integerDivision(op, a, b) {
		return binary(op, mlxc.FloorDivide, a, b)
	}
	if a.bounds != nil && a.bounds.low >= 0 && b.bounds != nil && b.bounds.low > 0 {
		return binary(op, mlxc.FloorDivide, a, b)
	}
	divisor, negate := safeDivisor(b)
	q := binary(op, mlxc.FloorDivide, a, divisor)
	if !q.dtype.signed() {
		return q
	}
	// The engine rounds integers towards 0.
	down := LogicalAnd(NotEqual(binary(op, mlxc.Remainder, a, divisor), Like(a, 0)),
		NotEqual(Less(a, Like(a, 0)), Less(divisor, Like(divisor, 0))))
	q = Sub(q, AsType(down, q.dtype))
	if negate == nil {
		return q
	}
	return Where(negate, Neg(AsType(a, q.dtype)), q)
}

// Remainder returns a − b·floor(a/b), which has b's sign. Integers are as for
// FloorDivide.
func Remainder(a, b *Tensor) *Tensor {
	const op = "Remainder"
	if !integerDivision(op, a, b) {
		return binary(op, mlxc.Remainder, a, b)
	}
	divisor, _ := safeDivisor(b)
	return binary(op, mlxc.Remainder, a, divisor)
}

// integerDivision reports whether a / b is a division of integers; it refuses a
// divisor that is known to be 0. No integer type holds uint64 and negative
// numbers: those are divided as float32.
func integerDivision(op string, a, b *Tensor) bool {
	a.handle(op)
	b.handle(op)
	if a.dtype.IsFloat() || b.dtype.IsFloat() ||
		a.dtype == Uint64 && b.dtype.signed() || b.dtype == Uint64 && a.dtype.signed() {
		return false
	}
	if k := b.bounds; k != nil && b.Size() > 0 && k.low == 0 && k.high == 0 {
		panic(NewError("tensor."+op, []*Tensor{a, b}, "integer division by zero"))
	}
	return true
}

// safeDivisor returns b without the integers that divide with a fault of the
// processor: 0, and −1, whose quotient with the lowest integer does not exist.
// Both become 1. negate says where b was −1, and is nil where it can't be.
func safeDivisor(b *Tensor) (divisor, negate *Tensor) {
	if k := b.bounds; k != nil && (k.low > 0 || k.high < -1) {
		return b, nil
	}
	one := Like(b, 1)
	divisor = Where(Equal(b, Like(b, 0)), one, b)
	if b.dtype.signed() {
		negate = Equal(b, Like(b, -1))
		divisor = Where(negate, one, divisor)
	}
	return divisor, negate
}

// LogAddExp returns log(exp a + exp b) without overflow.
func LogAddExp(a, b *Tensor) *Tensor {
	a.handle("LogAddExp")
	b.handle("LogAddExp")
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

// AddScalar returns x + s in x's dtype, of which s must be a value.
func AddScalar(x *Tensor, s float64) *Tensor { return withScalar("AddScalar", mlxc.Add, x, s) }

// MulScalar returns s·x in x's dtype, of which s must be a value.
func MulScalar(x *Tensor, s float64) *Tensor { return withScalar("MulScalar", mlxc.Multiply, x, s) }

func withScalar(op string, f binaryFunc, x *Tensor, s float64) *Tensor {
	x.handle(op)
	if x.dtype == Bool {
		panic(NewError("tensor."+op, []*Tensor{x}, "want a number, got bool"))
	}
	c := scalarIn(op, x.scope, x.dtype, s)
	y := binary(op, f, x, c)
	Free(c)
	return y
}

// Where returns x where cond is true and y elsewhere, all three broadcast.
func Where(cond, x, y *Tensor) *Tensor {
	hc, hx, hy := cond.handle("Where"), x.handle("Where"), y.handle("Where")
	m, err := mlxc.Where(deviceOf2(x, y), hc, hx, hy)
	return madeOf("Where", &m, err, cond, x, y)
}

// Clip limits x to [low, high]; an infinite limit is none, and without any it
// returns x itself.
func Clip(x *Tensor, low, high float64) *Tensor {
	if !(low <= high) {
		panic(NewError("tensor.Clip", []*Tensor{x}, "want low <= high, got %v and %v", low, high))
	}
	x.handle("Clip")
	if low > math.Inf(-1) {
		x = Maximum(x, Like(x, low))
	}
	if high < math.Inf(1) {
		x = Minimum(x, Like(x, high))
	}
	return x
}
