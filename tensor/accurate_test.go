package tensor

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Go's own Sinh and Cosh overflow too early on some processors.

func refSinh(x float64) float64 {
	if a := math.Abs(x); a > 700 {
		h := math.Exp(a / 2)
		return math.Copysign(h/2*h, x)
	}
	return math.Sinh(x)
}

func refCosh(x float64) float64 {
	if a := math.Abs(x); a > 700 {
		return math.Abs(refSinh(x))
	}
	return math.Cosh(x)
}

// wideRange is numbers of every magnitude and sign, and special ones.
func wideRange() []float64 {
	inf := math.Inf(1)
	xs := []float64{0, math.Copysign(0, -1), inf, -inf, math.NaN(), math.MaxFloat64, -math.MaxFloat64,
		smallestNormal, -smallestNormal, 1, -1, math.Pi, math.Pi / 2, math.Pi / 4, math.E, 709.78, -708.4, -745, 710.4, -710.4}
	for e := -307.5; e < 308; e += 0.43 {
		x := math.Pow(10, e)
		xs = append(xs, x, -x, x*1.7, -x*1.3)
	}
	for x := -30.0; x <= 30; x += 0.0137 {
		xs = append(xs, x)
	}
	for x := -760.0; x < 760; x += 1.7 {
		xs = append(xs, x)
	}
	return xs
}

// float64Cases are checked relative to the true value, but for absolute ones,
// which are checked relative to 1 and up to the magnitude upTo.
var float64Cases = []struct {
	name     string
	f        func(*Tensor) *Tensor
	ref      func(float64) float64
	absolute bool
	upTo     float64
}{
	{name: "Exp", f: Exp, ref: math.Exp},
	{name: "Expm1", f: Expm1, ref: math.Expm1},
	{name: "Log", f: Log, ref: math.Log},
	{name: "Log1p", f: Log1p, ref: math.Log1p},
	{name: "Log2", f: Log2, ref: math.Log2},
	{name: "Log10", f: Log10, ref: math.Log10},
	{name: "Sqrt", f: Sqrt, ref: math.Sqrt},
	{name: "Rsqrt", f: Rsqrt, ref: func(x float64) float64 { return 1 / math.Sqrt(x) }},
	{name: "Square", f: Square, ref: func(x float64) float64 { return x * x }},
	{name: "Reciprocal", f: Reciprocal, ref: func(x float64) float64 { return 1 / x }},
	{name: "Sin", f: Sin, ref: math.Sin, absolute: true, upTo: 1e6},
	{name: "Cos", f: Cos, ref: math.Cos, absolute: true, upTo: 1e6},
	{name: "Tan", f: Tan, ref: math.Tan, upTo: 1e6},
	{name: "ArcSin", f: ArcSin, ref: math.Asin},
	{name: "ArcCos", f: ArcCos, ref: math.Acos},
	{name: "ArcTan", f: ArcTan, ref: math.Atan},
	{name: "Tanh", f: Tanh, ref: math.Tanh},
	{name: "Sinh", f: Sinh, ref: refSinh},
	{name: "Cosh", f: Cosh, ref: refCosh},
	{name: "Sigmoid", f: Sigmoid, ref: sigmoid},
	{name: "SiLU", f: SiLU, ref: func(x float64) float64 { return x * sigmoid(x) }, upTo: 705},
	{name: "Softplus", f: Softplus, ref: softplus},
	{name: "Erf", f: Erf, ref: math.Erf},
}

// smallestNormal is where results end: the CPU is told to take subnormal
// numbers for zero.
const smallestNormal = 0x1p-1022

// closeTo compares to 1e-14.
func closeTo(got, want float64, absolute bool) bool {
	if got == want || got != got && want != want {
		return true
	}
	scale := max(math.Abs(want), smallestNormal/1e-14)
	if absolute {
		scale = 1
	}
	return math.Abs(got-want) <= 1e-14*scale
}

func TestFloat64Unary(t *testing.T) {
	for _, c := range float64Cases {
		t.Run(c.name, func(t *testing.T) {
			var xs []float64
			for _, x := range wideRange() {
				if c.upTo == 0 || math.IsInf(x, 0) || !(math.Abs(x) > c.upTo) {
					xs = append(xs, x)
				}
			}
			x := newTestScope(t).Use(FromSlice(xs))
			got := floats(t, c.f(x))
			bad := 0
			for i, x := range xs {
				if want := c.ref(x); !closeTo(got[i], want, c.absolute) {
					if bad++; bad < 5 {
						t.Errorf("%s(%g) = %v, want %v", c.name, x, got[i], want)
					}
				}
			}
		})
	}
}

func TestFloat64Binary(t *testing.T) {
	inf := math.Inf(1)
	logAddExp := func(a, b float64) float64 {
		if math.IsInf(max(a, b), 0) {
			return max(a, b)
		}
		return max(a, b) + math.Log1p(math.Exp(-math.Abs(a-b)))
	}
	xs := []float64{0, inf, -inf, math.NaN(), 1, -1, 2, 0.5, -0.5, 3, 1e-300, 1e300, -1e300, 700, -700, 1e-5, 1.0000001, 33.3, -33.3, 0.1}
	for _, c := range []struct {
		name string
		f    func(a, b *Tensor) *Tensor
		ref  func(a, b float64) float64
	}{
		{"Add", Add, func(a, b float64) float64 { return a + b }},
		{"Sub", Sub, func(a, b float64) float64 { return a - b }},
		{"Mul", Mul, func(a, b float64) float64 { return a * b }},
		{"Div", Div, func(a, b float64) float64 { return a / b }},
		{"Pow", Pow, math.Pow},
		{"LogAddExp", LogAddExp, logAddExp},
		{"FloorDivide", FloorDivide, func(a, b float64) float64 { return math.Floor(a / b) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTestScope(t)
			x := s.Use(FromSlice(xs))
			got := floats(t, c.f(ExpandDims(x, 1), x))
			for i, a := range xs {
				for j, b := range xs {
					if g, want := got[i*len(xs)+j], c.ref(a, b); !closeTo(g, want, false) {
						t.Errorf("%s(%g, %g) = %v, want %v", c.name, a, b, g, want)
					}
				}
			}
		})
	}
}

// Sums and products are compared with sums of Go in another order, hence the
// scale of their largest term.
func TestFloat64Composite(t *testing.T) {
	const n, m, p = 7, 33, 5
	gen := func(count int, seed float64) []float64 {
		v := make([]float64, count)
		for i := range v {
			v[i] = 3 * math.Sin(seed+float64(i)*1.37)
		}
		return v
	}
	a, b := gen(n*m, 0.1), gen(m*p, 0.7)
	s := newTestScope(t)
	x, y := s.Use(FromSlice(a, n, m)), s.Use(FromSlice(b, m, p))
	ref := array{[]int{n, m}, a}

	check := func(name string, got *Tensor, want []float64) {
		t.Helper()
		g := floats(t, got)
		if len(g) != len(want) {
			t.Fatalf("%s: %d elements, want %d", name, len(g), len(want))
		}
		for i := range g {
			if !closeTo(g[i], want[i], math.Abs(want[i]) < 1) {
				t.Errorf("%s: element %d is %v, want %v", name, i, g[i], want[i])
				return
			}
		}
	}

	product := make([]float64, n*p)
	for i := range n {
		for j := range p {
			for k := range m {
				product[i*p+j] += a[i*m+k] * b[k*p+j]
			}
		}
	}
	check("MatMul", MatMul(x, y), product)
	scaled := make([]float64, n*p)
	for i := range scaled {
		scaled[i] = 0.1*product[i] + 0.3
	}
	check("AddMM", AddMM(Ones(Float64, p), x, y, 0.1, 0.3), scaled)

	logSumExp := func(v []float64) float64 {
		high, sum := math.Inf(-1), 0.0
		for _, x := range v {
			high = max(high, x)
		}
		for _, x := range v {
			sum += math.Exp(x - high)
		}
		return high + math.Log(sum)
	}
	lse := reduceArray(logSumExp, ref, []int{1})
	check("LogSumExp", LogSumExp(x, false, 1), lse.data)
	check("Softmax", Softmax(x, 1), mapArray(func(v ...float64) float64 { return math.Exp(v[0] - v[1]) }, ref, lse).data)
	mean := func(v []float64) float64 {
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return sum / float64(len(v))
	}
	check("Mean", Mean(x, false, 0), reduceArray(mean, ref, []int{0}).data)
	sums, products := make([]float64, 0, n*m), make([]float64, 0, n*m)
	for i := range n {
		sum, prod := 0.0, 1.0
		for j := range m {
			sum += a[i*m+j]
			prod *= a[i*m+j]
			sums, products = append(sums, sum), append(products, prod)
		}
	}
	check("CumSum", CumSum(x, 1, false, false), sums)
	check("CumProd", CumProd(x, 1, false, false), products)
	check("Normalised", Mul(x, Rsqrt(AddScalar(Mean(Square(x), true, 1), 1e-6))),
		mapArray(func(v ...float64) float64 { return v[0] / math.Sqrt(v[1]+1e-6) }, ref,
			reduceArray(func(v []float64) float64 {
				sum := 0.0
				for _, x := range v {
					sum += x * x
				}
				return sum / float64(len(v))
			}, ref, []int{1})).data)

	inverse := MatMul(TriInv(Add(Tril(MulScalar(MatMul(x, Transpose(x)), 0.01), -1), Eye(n, n, 0, Float64)), false),
		Add(Tril(MulScalar(MatMul(x, Transpose(x)), 0.01), -1), Eye(n, n, 0, Float64)))
	check("TriInv", inverse, floats(t, Eye(n, n, 0, Float64)))
}

// Nothing is evaluated while a graph is built.
func TestOperationsAreLazy(t *testing.T) {
	s := newTestScope(t)
	x := s.Use(FromSlice([]float64{0.1, 0.2, 0.3, 0.4}, 2, 2))
	square := Add(x, x)
	for _, c := range float64Cases {
		if y := c.f(square); mlxc.Evaluated(y.h) {
			t.Errorf("%s evaluates", c.name)
		}
	}
	for name, y := range map[string]*Tensor{
		"LogSumExp": LogSumExp(square, false, 1), "Softmax": Softmax(square, 0), "TriInv": TriInv(square, false),
		"Take": Take(square, AsType(ArgMax(square, 0, false), Int32), 0), "Conv1D": Conv1D(ExpandDims(square, 0), Reshape(square, 2, 1, 2), 1, 0, 1, 1),
		"Pow": Pow(square, square), "FloorDivide": FloorDivide(AsType(square, Int32), AsType(square, Int32)),
		"ScatterAdd": ScatterAdd(square, ArgMax(square, 0, false), square, 0), "AddMM": AddMM(square, square, square, 0.1, 1),
		"CumSum": CumSum(square, 0, true, true), "Arange": Arange(0, 5, 0.1, Float64), "Full": Full(1, Float32, 3),
	} {
		if mlxc.Evaluated(y.h) {
			t.Errorf("%s evaluates", name)
		}
	}
	if mlxc.Evaluated(square.h) {
		t.Error("an operand was evaluated")
	}
}
