package tensor

import "github.com/deltatape/deltatape/internal/mlxc"

// The functions of this file work element by element. Those with a float32
// kernel in MLX even for float64 have an accurate form in accurate.go; Exp and
// Sigmoid are in exponential.go.

// accurate picks the double-precision form of a function for float64.
func accurate(op string, f unaryFunc, double func(*Tensor) *Tensor, x *Tensor) *Tensor {
	if x != nil && x.dtype == Float64 {
		x.handle(op)
		return double(x)
	}
	return unary(op, f, x)
}

// Neg returns −x.
func Neg(x *Tensor) *Tensor { return unary("Neg", mlxc.Negative, x) }

// Abs returns |x|.
func Abs(x *Tensor) *Tensor { return unary("Abs", mlxc.Abs, x) }

// Sign returns −1, 0 or 1; that of NaN is 0.
func Sign(x *Tensor) *Tensor { return unary("Sign", mlxc.Sign, x) }

// Expm1 returns e^x − 1, accurate near 0.
func Expm1(x *Tensor) *Tensor { return unary("Expm1", mlxc.Expm1, x) }

// Log returns the natural logarithm.
func Log(x *Tensor) *Tensor { return unary("Log", mlxc.Log, x) }

// Log1p returns log(1 + x), accurate near 0.
func Log1p(x *Tensor) *Tensor { return unary("Log1p", mlxc.Log1p, x) }

// Log2 returns the logarithm to base 2.
func Log2(x *Tensor) *Tensor { return unary("Log2", mlxc.Log2, x) }

// Log10 returns the logarithm to base 10.
func Log10(x *Tensor) *Tensor { return unary("Log10", mlxc.Log10, x) }

// Sqrt returns the square root.
func Sqrt(x *Tensor) *Tensor { return unary("Sqrt", mlxc.Sqrt, x) }

// Rsqrt returns 1/√x.
func Rsqrt(x *Tensor) *Tensor { return unary("Rsqrt", mlxc.Rsqrt, x) }

// Square returns x².
func Square(x *Tensor) *Tensor { return unary("Square", mlxc.Square, x) }

// Reciprocal returns 1/x.
func Reciprocal(x *Tensor) *Tensor { return unary("Reciprocal", mlxc.Reciprocal, x) }

// Sin returns the sine of x in radians.
func Sin(x *Tensor) *Tensor { return accurate("Sin", mlxc.Sin, sin64, x) }

// Cos returns the cosine of x in radians.
func Cos(x *Tensor) *Tensor { return accurate("Cos", mlxc.Cos, cos64, x) }

// Tan returns the tangent of x in radians.
func Tan(x *Tensor) *Tensor { return unary("Tan", mlxc.Tan, x) }

// ArcSin returns the inverse sine in radians.
func ArcSin(x *Tensor) *Tensor { return unary("ArcSin", mlxc.Arcsin, x) }

// ArcCos returns the inverse cosine in radians.
func ArcCos(x *Tensor) *Tensor { return unary("ArcCos", mlxc.Arccos, x) }

// ArcTan returns the inverse tangent in radians.
func ArcTan(x *Tensor) *Tensor { return unary("ArcTan", mlxc.Arctan, x) }

// Tanh returns the hyperbolic tangent.
func Tanh(x *Tensor) *Tensor { return unary("Tanh", mlxc.Tanh, x) }

// Sinh returns the hyperbolic sine.
func Sinh(x *Tensor) *Tensor { return accurate("Sinh", mlxc.Sinh, sinh64, x) }

// Cosh returns the hyperbolic cosine.
func Cosh(x *Tensor) *Tensor { return accurate("Cosh", mlxc.Cosh, cosh64, x) }

// SiLU returns x·sigmoid(x), which is −0 where the sigmoid is 0, the smallest normal
// number being larger: below −87.3 in float32, −708.3 in float64. So an error is at
// most 1.5e-36 or 1.6e-305.
func SiLU(x *Tensor) *Tensor { return Mul(x, Sigmoid(x)) }

// Softplus returns log(1 + e^x) without overflow.
func Softplus(x *Tensor) *Tensor { return LogAddExp(x, Like(x, 0)) }

// Erf returns the error function. In float32 its absolute error is up to 6e-7, so
// that results near 0 have a large relative one; float64 is accurate there too.
func Erf(x *Tensor) *Tensor { return accurate("Erf", mlxc.Erf, erf64, x) }

// Floor rounds down.
func Floor(x *Tensor) *Tensor { return unary("Floor", mlxc.Floor, x) }

// Ceil rounds up.
func Ceil(x *Tensor) *Tensor { return unary("Ceil", mlxc.Ceil, x) }

// Round rounds to the nearest integer, halves to even.
func Round(x *Tensor) *Tensor {
	return unary("Round", func(d mlxc.Device, a mlxc.Array) (mlxc.Made, error) { return mlxc.Round(d, a, 0) }, x)
}

// LogicalNot is true where x is 0.
func LogicalNot(x *Tensor) *Tensor { return unary("LogicalNot", mlxc.LogicalNot, x) }

// IsNaN is true where x is not a number.
func IsNaN(x *Tensor) *Tensor { return unary("IsNaN", mlxc.Isnan, x) }

// IsInf is true where x is infinite.
func IsInf(x *Tensor) *Tensor { return unary("IsInf", mlxc.Isinf, x) }

// IsFinite is true where x is neither infinite nor NaN.
func IsFinite(x *Tensor) *Tensor { return unary("IsFinite", mlxc.Isfinite, x) }
