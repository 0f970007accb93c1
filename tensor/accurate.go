package tensor

import "math"

// Double-precision forms of functions that MLX computes in float32 even for
// float64 arrays. They build on those that are accurate there: powers (for
// exponentials), expm1, log1p, tan, sqrt and arithmetic.

// logAddExp64 is max + log1p(e^−|a−b|); where the maximum is infinite the
// difference is not a number and the maximum is the answer.
func logAddExp64(a, b *Tensor) *Tensor {
	a, b = AsType(a, Float64), AsType(b, Float64)
	high := Maximum(a, b)
	sum := Add(high, Log1p(exp64(Neg(Abs(Sub(a, b))))))
	return Where(IsInf(high), high, sum)
}

// sin64 and cos64 use t = tan(x/2).
func sin64(x *Tensor) *Tensor {
	t := Tan(MulScalar(x, 0.5))
	return Div(MulScalar(t, 2), AddScalar(Square(t), 1))
}

func cos64(x *Tensor) *Tensor {
	t2 := Square(Tan(MulScalar(x, 0.5)))
	one := Like(x, 1)
	return Div(Sub(one, t2), Add(one, t2))
}

// sinh64 is (u + u/(u+1))/2 with u = e^|x| − 1 and the sign of x; where u
// overflows too early the halves of the exponent are used.
func sinh64(x *Tensor) *Tensor {
	a := Abs(x)
	u := Expm1(a)
	small := MulScalar(Add(u, Div(u, AddScalar(u, 1))), 0.5)
	half := exp64(MulScalar(a, 0.5))
	large := Mul(MulScalar(half, 0.5), half)
	return Mul(Sign(x), Where(Less(a, Like(a, 700)), small, large))
}

func cosh64(x *Tensor) *Tensor {
	a := Abs(x)
	e := exp64(a)
	small := MulScalar(Add(e, Reciprocal(e)), 0.5)
	half := exp64(MulScalar(a, 0.5))
	large := Mul(MulScalar(half, 0.5), half)
	return Where(Less(a, Like(a, 700)), small, large)
}

// erf64 sums the Maclaurin series e^(−x²)·2x/√π·Σ (2x²)^n/(1·3·5··(2n+1)) for
// |x| < 3 (all terms are positive: no cancellation) and 1 − erfc beyond, with
// erfc by its continued fraction (Abramowitz and Stegun 7.1.6 and 7.1.14).
func erf64(x *Tensor) *Tensor {
	const split, terms, levels = 3, 60, 60
	a := Abs(x)
	gauss := exp64(Neg(Square(a)))

	inner := Minimum(a, Like(a, split))
	twice := MulScalar(Square(inner), 2)
	sum := OnesLike(inner)
	for n := terms; n >= 1; n-- { // Horner's scheme
		sum = AddScalar(Mul(sum, MulScalar(twice, 1/float64(2*n+1))), 1)
	}
	series := Mul(MulScalar(Mul(inner, gauss), 2/math.SqrtPi), sum)

	outer := Maximum(a, Like(a, split))
	f := outer
	for n := levels; n >= 1; n-- {
		f = Add(outer, Div(Like(outer, float64(n)/2), f))
	}
	tail := Sub(Like(a, 1), Div(MulScalar(gauss, 1/math.SqrtPi), f))
	return Mul(Sign(x), Where(Less(a, Like(a, split)), series, tail))
}
