package tensor

import (
	"math"
	"slices"
	"testing"
)

func floorMod(a, b float64) float64 { return a - b*math.Floor(a/b) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var binaryCases = []struct {
	name   string
	f      func(a, b *Tensor) *Tensor
	ref    func(a, b float64) float64
	dtypes []Dtype
	result func(Dtype) Dtype
}{
	{"Add", Add, func(a, b float64) float64 { return a + b }, numberTypes, same},
	{"Sub", Sub, func(a, b float64) float64 { return a - b }, numberTypes, same},
	{"Mul", Mul, func(a, b float64) float64 { return a * b }, numberTypes, same},
	{"Div", Div, func(a, b float64) float64 { return a / b }, numberTypes, floating},
	{"Pow", func(a, b *Tensor) *Tensor { return Pow(Abs(a), Abs(b)) }, func(a, b float64) float64 { return math.Pow(math.Abs(a), math.Abs(b)) }, []Dtype{Float32, Float64, Int32, Int64}, same},
	{"Maximum", Maximum, func(a, b float64) float64 { return max(a, b) }, numberTypes, same},
	{"Minimum", Minimum, func(a, b float64) float64 { return min(a, b) }, numberTypes, same},
	{"FloorDivide", FloorDivide, func(a, b float64) float64 { return math.Floor(a / b) }, []Dtype{Float32, Float64, Int8, Int16, Int32, Int64}, same},
	{"Remainder", Remainder, floorMod, []Dtype{Float32, Float64, Int8, Int16, Int32, Int64}, same},
	{"LogAddExp", LogAddExp, func(a, b float64) float64 { return max(a, b) + math.Log1p(math.Exp(-math.Abs(a-b))) }, floatTypes, same},
	{"Equal", Equal, func(a, b float64) float64 { return truth(a == b) }, numberTypes, boolean},
	{"NotEqual", NotEqual, func(a, b float64) float64 { return truth(a != b) }, numberTypes, boolean},
	{"Less", Less, func(a, b float64) float64 { return truth(a < b) }, numberTypes, boolean},
	{"LessEqual", LessEqual, func(a, b float64) float64 { return truth(a <= b) }, numberTypes, boolean},
	{"Greater", Greater, func(a, b float64) float64 { return truth(a > b) }, numberTypes, boolean},
	{"GreaterEqual", GreaterEqual, func(a, b float64) float64 { return truth(a >= b) }, numberTypes, boolean},
	{"LogicalAnd", LogicalAnd, func(a, b float64) float64 { return truth(a != 0 && b != 0) }, numberTypes, boolean},
	{"LogicalOr", LogicalOr, func(a, b float64) float64 { return truth(a != 0 || b != 0) }, numberTypes, boolean},
}

func same(d Dtype) Dtype  { return d }
func boolean(Dtype) Dtype { return Bool }

// binaryShapes are pairs that broadcast, and what to.
var binaryShapes = [][3][]int{
	{{}, {}, {}},
	{{3}, {3}, {3}},
	{{2, 3}, {3}, {2, 3}},
	{{2, 1, 4}, {3, 1}, {2, 3, 4}},
	{{}, {2, 2}, {2, 2}},
	{{0}, {1}, {0}},
	{{3, 0}, {1, 1}, {3, 0}},
}

func TestBinary(t *testing.T) {
	left := []float64{-3, 2, 0, 5, -7, 1, 4, -1}
	right := []float64{2, -3, 5, 1, -2, 7, 3, -1} // no zero: it divides
	for _, c := range binaryCases {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range c.dtypes {
				for _, shapes := range binaryShapes {
					for _, a := range layouts(t, dt, shapes[0], func(i int) float64 { return left[i%len(left)] }) {
						for _, b := range layouts(t, dt, shapes[1], func(i int) float64 { return right[i%len(right)] }) {
							y := c.f(a.t, b.t)
							if y.Dtype() != c.result(dt) || !slices.Equal(y.Shape(), shapes[2]) {
								t.Fatalf("%s: got %s %v", dt, y.Dtype(), y.Shape())
							}
							want := mapArray(func(v ...float64) float64 { return c.ref(v[0], v[1]) }, a.ref, b.ref)
							wantClose(t, floats(t, y), want.data, ulp(floating(dt)))
							if t.Failed() {
								t.Fatalf("%s: %s %v and %s %v", dt, a.name, a.ref, b.name, b.ref)
							}
						}
					}
				}
			}
		})
	}
}

func TestBinaryPromotesTypes(t *testing.T) {
	for _, c := range []struct{ a, b, want Dtype }{
		{Float32, Int32, Float32}, {Float32, Float64, Float64}, {BFloat16, Float16, Float32},
		{BFloat16, Float32, Float32}, {Int8, Int32, Int32}, {Uint8, Int8, Int16}, {Uint32, Int32, Int64},
		{Bool, Float16, Float16}, {Bool, Bool, Bool}, {Uint64, Int64, Float32}, {Int64, Float16, Float16},
	} {
		for _, y := range []*Tensor{Add(Ones(c.a, 2), Ones(c.b, 2)), Add(Ones(c.b, 2), Ones(c.a, 1))} {
			if y.Dtype() != c.want {
				t.Errorf("%s + %s is %s, want %s", c.a, c.b, y.Dtype(), c.want)
			}
		}
	}
	wantTensor(t, LogAddExp(Scalar(0.0), Scalar(float32(0))), Float64, []int{}, math.Ln2)
}

func TestBinaryOfSpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, dt := range floatTypes {
		a := AsType(FromSlice([]float64{nan, 1, nan, inf, -inf, -inf, inf}), dt)
		b := AsType(FromSlice([]float64{1, nan, nan, -inf, -inf, inf, inf}), dt)
		wantTensor(t, Maximum(a, b), dt, []int{7}, nan, nan, nan, inf, -inf, inf, inf)
		wantTensor(t, Minimum(a, b), dt, []int{7}, nan, nan, nan, -inf, -inf, -inf, inf)
		wantTensor(t, LogAddExp(a, b), dt, []int{7}, nan, nan, nan, inf, -inf, inf, inf)
		wantTensor(t, Equal(a, a), Bool, []int{7}, 0, 1, 0, 1, 1, 1, 1)
		zero := ZerosLike(a)
		wantTensor(t, Div(AsType(FromSlice([]float64{1, -1, 0}), dt), SliceAxis(zero, 0, 0, 3)), dt, []int{3}, inf, -inf, nan)
	}
}

// Division of integers rounds down and never faults, whatever the divisor.
func TestIntegerDivision(t *testing.T) {
	const low = math.MinInt32
	a, b := []int32{-7, 7, -7, 7, low, low, low, 5, 0}, []int32{2, -2, -2, 2, -1, 3, low, -1, -1}
	q := []float64{-4, -4, 3, 3, low, math.Floor(low / 3.0), 1, -5, 0} // −low wraps around
	r := []float64{1, -1, -1, 1, 0, 1, 0, 0, 0}
	known := FromSlice(b)
	unknown := Add(known, Scalar(int32(0)))
	for _, divisor := range []*Tensor{known, unknown} {
		wantTensor(t, FloorDivide(FromSlice(a), divisor), Int32, []int{len(a)}, q...)
		wantTensor(t, Remainder(FromSlice(a), divisor), Int32, []int{len(a)}, r...)
	}
	wantTensor(t, FloorDivide(FromSlice([]int64{math.MinInt64}), FromSlice([]int64{-1})), Int64, []int{1}, math.MinInt64)
	wantTensor(t, FloorDivide(FromSlice([]uint8{200, 7}), FromSlice([]uint8{3, 255})), Uint8, []int{2}, 66, 0)
	wantTensor(t, FloorDivide(FromSlice([]uint64{7}), FromSlice([]int32{-2})), Float32, []int{1}, -4)
	wantTensor(t, FloorDivide(FromSlice([]int32{-7}), FromSlice([]uint8{2})), Int32, []int{1}, -4)
	wantTensor(t, FloorDivide(FromSlice([]int32{7, -7}), Scalar(int32(2))), Int32, []int{2}, 3, -4)
	wantTensor(t, FloorDivide(Zeros(Int32, 0), Ones(Int32, 1)), Int32, []int{0})

	for _, op := range []func(a, b *Tensor) *Tensor{FloorDivide, Remainder} {
		wantPanic(t, func() { op(Ones(Int32, 2), Zeros(Int32, 2)) }, "integer division by zero: [2] x [2]")
		for _, dt := range []Dtype{Bool, Uint8, Int8, Uint16, Int16, Int32, Uint32, Int64, Uint64} {
			some := op(Ones(dt, 3), AsType(FromSlice([]int32{1, 0, 1}), dt))
			if got := floats(t, some); got[0] != got[2] {
				t.Errorf("%s: dividing by 0 spoils other elements: %v", dt, got)
			}
		}
	}
}

func TestPowOfIntegers(t *testing.T) {
	a := FromSlice([]int32{2, -2, 3, 0, 1, 2})
	b := FromSlice([]int32{10, 3, 0, 0, -1, -3})
	wantTensor(t, Pow(a, b), Int32, []int{6}, 1024, -8, 1, 1, 0, 0)
}

func TestWhere(t *testing.T) {
	cond := FromSlice([]bool{true, false, true})
	x, y := FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3), FromSlice([]float32{-1, -2}, 2, 1)
	wantTensor(t, Where(cond, x, y), Float32, []int{2, 3}, 1, -1, 3, 4, -2, 6)
	wantTensor(t, Where(FromSlice([]int32{0, 2, 0}), Scalar(1.5), Scalar(int32(2))), Float64, []int{3}, 2, 1.5, 2)
	wantTensor(t, Where(cond, Scalar(math.NaN()), Scalar(0.0)), Float64, []int{3}, math.NaN(), 0, math.NaN())
	wantTensor(t, Where(Zeros(Bool, 0), Scalar(1.0), Scalar(2.0)), Float64, []int{0})
	wantPanic(t, func() { Where(cond, Ones(Float32, 2), Ones(Float32, 3)) }, "tensor.Where: ", "[3] x [2] x [3]")
}

func TestBinaryRefusesShapes(t *testing.T) {
	for _, c := range binaryCases {
		wantPanic(t, func() { c.f(Ones(Float32, 2, 3), Ones(Float32, 4)) }, "shapes can't be broadcast together: [2 3] x [4]")
	}
}
