package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

type unaryCase struct {
	name      string
	f         func(*Tensor) *Tensor
	ref       func(float64) float64
	low, high float64 // values to try
	dtypes    []Dtype
}

var (
	floatTypes  = []Dtype{Float32, Float64, BFloat16, Float16}
	numberTypes = []Dtype{Float32, Float64, BFloat16, Float16, Int32, Int64, Int8}
)

func sigmoid(x float64) float64 {
	if x < 0 {
		return math.Exp(x) / (1 + math.Exp(x))
	}
	return 1 / (1 + math.Exp(-x))
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

var unaryCases = []unaryCase{
	{"Neg", Neg, func(x float64) float64 { return -x }, -9, 9, numberTypes},
	{"Abs", Abs, math.Abs, -9, 9, numberTypes},
	{"Sign", Sign, sign, -3, 3, numberTypes},
	{"Square", Square, func(x float64) float64 { return x * x }, -9, 9, numberTypes},
	{"Floor", Floor, math.Floor, -9, 9, numberTypes},
	{"Ceil", Ceil, math.Ceil, -9, 9, numberTypes},
	{"Round", Round, math.RoundToEven, -9, 9, numberTypes},
	{"Exp", Exp, math.Exp, -5, 5, floatTypes},
	{"Expm1", Expm1, math.Expm1, -5, 5, floatTypes},
	{"Log", Log, math.Log, 0.1, 50, floatTypes},
	{"Log1p", Log1p, math.Log1p, -0.9, 50, floatTypes},
	{"Log2", Log2, math.Log2, 0.1, 50, floatTypes},
	{"Log10", Log10, math.Log10, 0.1, 50, floatTypes},
	{"Sqrt", Sqrt, math.Sqrt, 0, 50, floatTypes},
	{"Rsqrt", Rsqrt, func(x float64) float64 { return 1 / math.Sqrt(x) }, 0.1, 50, floatTypes},
	{"Reciprocal", Reciprocal, func(x float64) float64 { return 1 / x }, 0.2, 9, floatTypes},
	{"Sin", Sin, math.Sin, -7, 7, floatTypes},
	{"Cos", Cos, math.Cos, -7, 7, floatTypes},
	{"Tan", Tan, math.Tan, -1.2, 1.2, floatTypes},
	{"ArcSin", ArcSin, math.Asin, -1, 1, floatTypes},
	{"ArcCos", ArcCos, math.Acos, -1, 1, floatTypes},
	{"ArcTan", ArcTan, math.Atan, -9, 9, floatTypes},
	{"Tanh", Tanh, math.Tanh, -4, 4, floatTypes},
	{"Sinh", Sinh, math.Sinh, -4, 4, floatTypes},
	{"Cosh", Cosh, math.Cosh, -4, 4, floatTypes},
	{"Sigmoid", Sigmoid, sigmoid, -9, 9, floatTypes},
	{"SiLU", SiLU, func(x float64) float64 { return x * sigmoid(x) }, -9, 9, floatTypes},
	{"Softplus", Softplus, softplus, -9, 9, floatTypes},
	{"Erf", Erf, math.Erf, -4, 4, floatTypes},
	{"AddScalar", func(x *Tensor) *Tensor { return AddScalar(x, 3) }, func(x float64) float64 { return x + 3 }, -9, 9, numberTypes},
	{"MulScalar", func(x *Tensor) *Tensor { return MulScalar(x, -3) }, func(x float64) float64 { return x * -3 }, -9, 9, numberTypes},
	{"Clip", func(x *Tensor) *Tensor { return Clip(x, -2, 3) }, func(x float64) float64 { return min(max(x, -2), 3) }, -9, 9, numberTypes},
}

func TestUnary(t *testing.T) {
	for _, c := range unaryCases {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range c.dtypes {
				for _, shape := range smallShapes {
					n := max(product(shape), 2)
					gen := func(i int) float64 { return c.low + (c.high-c.low)*float64(i%n)/float64(n-1) }
					for _, x := range layouts(t, dt, shape, gen) {
						y := c.f(x.t)
						if y.Dtype() != dt || !slices.Equal(y.Shape(), shape) {
							t.Fatalf("%s %s %v: got %s %v", dt, x.name, shape, y.Dtype(), y.Shape())
						}
						want := mapArray(func(v ...float64) float64 { return c.ref(v[0]) }, x.ref)
						wantClose(t, floats(t, y), want.data, ulp(dt))
						if t.Failed() {
							t.Fatalf("%s %s %v of %v", dt, x.name, shape, x.ref.data)
						}
					}
				}
			}
		})
	}
}

// Integers become float32 where the function is not one of integers.
func TestUnaryPromotesIntegers(t *testing.T) {
	for _, c := range unaryCases {
		promoted := slices.Equal(c.dtypes, floatTypes)
		for _, x := range []*Tensor{FromSlice([]int32{1, 1}), FromSlice([]uint8{1, 1})} {
			if c.name == "MulScalar" || c.name == "Clip" {
				continue // their constants are negative
			}
			y := c.f(x)
			want := x.Dtype()
			if promoted {
				want = Float32
			}
			if y.Dtype() != want {
				t.Errorf("%s of %s is %s, want %s", c.name, x.Dtype(), y.Dtype(), want)
			}
			if c.name == "Neg" && !want.signed() {
				continue // wraps around
			}
			if v := c.ref(1); !near(floats(t, y)[0], v, 1e-6) {
				t.Errorf("%s of %s 1 is %v, want %v", c.name, x.Dtype(), floats(t, y)[0], v)
			}
		}
	}
}

// What the comments say of precision near 0 and of NaN.
func TestUnaryEdges(t *testing.T) {
	for dt, most := range map[Dtype]float64{Float32: 1.5e-36, Float64: 1.6e-305} {
		low := FromSlice([]float64{-87, -87.5, -89, -104, -706, -708.5, -709, -710, -746, -1e30})
		for i, x := range floats(t, low) {
			if got, want := floats(t, SiLU(AsType(low, dt)))[i], x*math.Exp(x); got > 0 || math.Abs(got-want) > most+1e-6*math.Abs(want) {
				t.Errorf("SiLU(%v) in %s is %v, want %v", x, dt, got, want)
			}
		}
		wantClose(t, floats(t, Sign(AsType(FromSlice([]float64{math.NaN(), -2, 0, 3}), dt))), []float64{0, -1, 0, 1}, 0)
	}
	var small []float64
	for e := -40.0; e < 2; e += 0.01 {
		small = append(small, math.Exp2(e), -math.Exp2(e))
	}
	x := FromSlice(small)
	single, double := floats(t, Erf(AsType(x, Float32))), floats(t, Erf(x))
	for i, v := range floats(t, AsType(x, Float32)) {
		if want := math.Erf(v); math.Abs(single[i]-want) > 6e-7 {
			t.Errorf("Erf(%v) in float32 is %v, want %v", v, single[i], want)
		}
		if want := math.Erf(small[i]); math.Abs(double[i]-want) > 1e-14*math.Abs(want) {
			t.Errorf("Erf(%v) in float64 is %v, want %v", small[i], double[i], want)
		}
	}
}

func TestPredicates(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, dt := range floatTypes {
		x := AsType(FromSlice([]float64{0, 1, inf, -inf, nan}), dt)
		wantTensor(t, IsNaN(x), Bool, []int{5}, 0, 0, 0, 0, 1)
		wantTensor(t, IsInf(x), Bool, []int{5}, 0, 0, 1, 1, 0)
		wantTensor(t, IsFinite(x), Bool, []int{5}, 1, 1, 0, 0, 0)
		wantTensor(t, LogicalNot(x), Bool, []int{5}, 1, 0, 0, 0, 0)
	}
	n := FromSlice([]int32{0, 7})
	wantTensor(t, IsNaN(n), Bool, []int{2}, 0, 0)
	wantTensor(t, IsInf(n), Bool, []int{2}, 0, 0)
	wantTensor(t, IsFinite(n), Bool, []int{2}, 1, 1)
	wantTensor(t, LogicalNot(n), Bool, []int{2}, 1, 0)
	wantTensor(t, LogicalNot(FromSlice([]bool{true, false})), Bool, []int{2}, 0, 1)
}

// Halves round to even, ends of ranges keep their sign.
func TestRoundAndSpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, dt := range []Dtype{Float32, Float64} {
		t.Run(fmt.Sprint(dt), func(t *testing.T) {
			round := AsType(FromSlice([]float64{-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}), dt)
			wantTensor(t, Round(round), dt, []int{6}, -2, -2, 0, 0, 2, 2)
			x := AsType(FromSlice([]float64{inf, -inf, nan}), dt)
			for _, c := range []struct {
				name string
				f    func(*Tensor) *Tensor
				want [3]float64
			}{
				{"Exp", Exp, [3]float64{inf, 0, nan}},
				{"Expm1", Expm1, [3]float64{inf, -1, nan}},
				{"Log", Log, [3]float64{inf, nan, nan}},
				{"Tanh", Tanh, [3]float64{1, -1, nan}},
				{"Sigmoid", Sigmoid, [3]float64{1, 0, nan}},
				{"Softplus", Softplus, [3]float64{inf, 0, nan}},
				{"Erf", Erf, [3]float64{1, -1, nan}},
				{"Sqrt", Sqrt, [3]float64{inf, nan, nan}},
				{"Rsqrt", Rsqrt, [3]float64{0, nan, nan}},
				{"Reciprocal", Reciprocal, [3]float64{0, 0, nan}},
				{"Sin", Sin, [3]float64{nan, nan, nan}},
				{"Cos", Cos, [3]float64{nan, nan, nan}},
				{"Sinh", Sinh, [3]float64{inf, -inf, nan}},
				{"Cosh", Cosh, [3]float64{inf, inf, nan}},
				{"ArcTan", ArcTan, [3]float64{math.Pi / 2, -math.Pi / 2, nan}},
				{"Clip", func(x *Tensor) *Tensor { return Clip(x, -1, inf) }, [3]float64{inf, -1, nan}},
			} {
				if got := floats(t, c.f(x)); !near(got[0], c.want[0], 1e-7) || !near(got[1], c.want[1], 1e-7) || !near(got[2], c.want[2], 0) {
					t.Errorf("%s of +Inf, -Inf, NaN is %v, want %v", c.name, got, c.want)
				}
			}
		})
	}
}

func TestScalarOperandsMustFit(t *testing.T) {
	i, u, b := Ones(Int32, 2), Ones(Uint8, 2), Ones(Bool, 2)
	wantPanic(t, func() { AddScalar(i, 0.5) }, "tensor.AddScalar: 0.5 is not a value of int32")
	wantPanic(t, func() { MulScalar(u, -1) }, "tensor.MulScalar: -1 is not a value of uint8")
	wantPanic(t, func() { MulScalar(u, 256) }, "256 is not a value of uint8")
	wantPanic(t, func() { AddScalar(b, 1) }, "tensor.AddScalar: want a number, got bool: [2]")
	wantPanic(t, func() { Clip(i, 2, 1) }, "tensor.Clip: want low <= high, got 2 and 1: [2]")
	wantPanic(t, func() { Clip(i, math.NaN(), 1) }, "tensor.Clip: want low <= high")
	wantTensor(t, Clip(FromSlice([]int32{-5, 0, 5}), math.Inf(-1), 3), Int32, []int{3}, -5, 0, 3)
	wantTensor(t, AddScalar(FromSlice([]float32{1}), 0.1), Float32, []int{1}, float64(float32(1)+float32(0.1)))
}
