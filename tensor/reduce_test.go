package tensor

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"
)

func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

func prod(v []float64) float64 {
	p := 1.0
	for _, x := range v {
		p *= x
	}
	return p
}

func logSumExp(v []float64) float64 {
	high, s := slices.Max(v), 0.0
	for _, x := range v {
		s += math.Exp(x - high)
	}
	return high + math.Log(s)
}

var reduceCases = []struct {
	name   string
	f      func(x *Tensor, keepDims bool, axes ...int) *Tensor
	ref    func([]float64) float64
	dtypes []Dtype
	result func(Dtype) Dtype
	empty  bool // defined along an axis of length 0
}{
	{"Sum", Sum, sum, numberTypes, sumType, true},
	{"Mean", Mean, func(v []float64) float64 { return sum(v) / float64(len(v)) }, numberTypes, floating, true},
	{"Prod", Prod, prod, numberTypes, sumType, true},
	{"Max", Max, slices.Max[[]float64], numberTypes, same, false},
	{"Min", Min, slices.Min[[]float64], numberTypes, same, false},
	{"All", All, func(v []float64) float64 { return truth(!slices.Contains(v, 0)) }, numberTypes, boolean, true},
	{"Any", Any, func(v []float64) float64 {
		return truth(slices.ContainsFunc(v, func(x float64) bool { return x != 0 }))
	}, numberTypes, boolean, true},
	{"LogSumExp", LogSumExp, logSumExp, numberTypes, floating, false},
}

// sumType is the type of a sum: small integers are added in 32 bits.
func sumType(d Dtype) Dtype {
	if d == Int8 || d == Bool {
		return Int32
	}
	return d
}

func TestReduce(t *testing.T) {
	values := []float64{1, -2, 0, 3, 1, 2, -1, 2}
	shapes := []struct {
		shape []int
		axes  [][]int
	}{
		{[]int{}, [][]int{nil}},
		{[]int{5}, [][]int{nil, {0}, {-1}}},
		{[]int{2, 3, 4}, [][]int{nil, {0}, {1}, {-1}, {0, 2}, {-1, 1}, {2, 0, 1}}},
		{[]int{3, 0, 2}, [][]int{nil, {1}, {0}, {-1, 0}}},
	}
	for _, c := range reduceCases {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range c.dtypes {
				for _, s := range shapes {
					for _, x := range layouts(t, dt, s.shape, func(i int) float64 { return values[i%len(values)] }) {
						for _, axes := range s.axes {
							// An axis of length 0 among those reduced.
							if !c.empty && len(s.shape) == 3 && s.shape[1] == 0 && (axes == nil || slices.Contains(axes, 1)) {
								wantPanic(t, func() { c.f(x.t, false, axes...) }, "tensor."+c.name+": axis 1 has length 0: [3 0 2]")
								continue
							}
							want := reduceArray(c.ref, x.ref, axes)
							keep := c.f(x.t, true, axes...)
							checkReduced(t, fmt.Sprintf("%s %s %v keepDims", dt, x.name, axes), keep, c.result(dt), want.shape, want.data)
							short := shapeWithout(s.shape, axes)
							checkReduced(t, fmt.Sprintf("%s %s %v", dt, x.name, axes), c.f(x.t, false, axes...), c.result(dt), short, want.data)
						}
					}
				}
			}
		})
	}
}

func checkReduced(t *testing.T, what string, got *Tensor, dt Dtype, shape []int, want []float64) {
	t.Helper()
	if got.Dtype() != dt || !slices.Equal(got.Shape(), shape) {
		t.Fatalf("%s: got %s %v, want %s %v", what, got.Dtype(), got.Shape(), dt, shape)
	}
	if wantClose(t, floats(t, got), want, 4*ulp(dt)); t.Failed() {
		t.Fatal(what)
	}
}

func shapeWithout(shape, axes []int) []int {
	out := []int{}
	for i, d := range shape {
		if len(axes) > 0 && !slices.Contains(axes, i) && !slices.Contains(axes, i-len(shape)) {
			out = append(out, d)
		}
	}
	return out
}

func TestReduceSmallTypes(t *testing.T) {
	b := FromSlice([]bool{true, true, false}, 3)
	wantTensor(t, Sum(b, false), Int32, []int{}, 2)
	wantTensor(t, Prod(b, false), Int32, []int{}, 0)
	wantTensor(t, Mean(b, false), Float32, []int{}, float64(float32(2)/3))
	wantTensor(t, Max(b, false), Bool, []int{}, 1)
	wantTensor(t, Sum(Scalar(true), false), Int32, []int{}, 1) // no axes at all
	wantTensor(t, Sum(FromSlice([]uint8{200, 200}), false), Uint32, []int{}, 400)
	wantTensor(t, Sum(FromSlice([]int8{100, 100}), false), Int32, []int{}, 200)
}

func TestReduceSpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, dt := range []Dtype{Float32, Float64} {
		x := AsType(FromSlice([]float64{1, nan, 3, inf, 1, -inf, -inf, -inf, -inf}, 3, 3), dt)
		wantTensor(t, Max(x, false, 1), dt, []int{3}, nan, inf, -inf)
		wantTensor(t, Min(x, false, 1), dt, []int{3}, nan, -inf, -inf)
		wantTensor(t, LogSumExp(x, false, 1), dt, []int{3}, nan, inf, -inf)
		y := AsType(FromSlice([]float64{0, -inf, 1000, 1000}, 2, 2), dt)
		wantTensor(t, Softmax(y, 1), dt, []int{2, 2}, 1, 0, 0.5, 0.5)
	}
	wantTensor(t, Mean(Zeros(Float32, 2, 0), false, 1), Float32, []int{2}, nan, nan)
}

func TestReduceRefusesAxes(t *testing.T) {
	x := Ones(Float32, 2, 3)
	for _, c := range reduceCases {
		wantPanic(t, func() { c.f(x, false, 2) }, "tensor."+c.name+": axis 2 is out of range for 2 dimensions: [2 3]")
		wantPanic(t, func() { c.f(x, false, -3) }, "axis -3 is out of range")
		wantPanic(t, func() { c.f(x, false, 1, -1) }, "axis -1 is given twice in [1 -1]")
		wantPanic(t, func() { c.f(Scalar(1.0), false, 0) }, "axis 0 is out of range for 0 dimensions: []")
	}
}

func TestSoftmax(t *testing.T) {
	for _, dt := range floatTypes {
		for _, x := range layouts(t, dt, []int{2, 3, 4}, func(i int) float64 { return math.Sin(float64(i)) * 3 }) {
			for axis := -3; axis < 3; axis++ {
				lse := reduceArray(logSumExp, x.ref, []int{axis})
				want := mapArray(func(v ...float64) float64 { return math.Exp(v[0] - v[1]) }, x.ref, lse)
				checkReduced(t, fmt.Sprint(dt, x.name, axis), Softmax(x.t, axis), dt, x.ref.shape, want.data)
			}
		}
	}
	wantTensor(t, Softmax(FromSlice([]int32{1, 1}), 0), Float32, []int{2}, 0.5, 0.5)
	for _, dt := range floatTypes {
		for axis := -2; axis < 2; axis++ {
			wantTensor(t, Softmax(Zeros(dt, 3, 0), axis), dt, []int{3, 0})
		}
	}
	wantTensor(t, Softmax(Zeros(Int32, 2, 0, 4), 1), Float32, []int{2, 0, 4})
	wantPanic(t, func() { Softmax(Zeros(Float32, 3, 0), 2) }, "tensor.Softmax: axis 2 is out of range")
}

func TestArgReduce(t *testing.T) {
	x := FromSlice([]float32{3, 1, 3, 0, -1, -1}, 2, 3)
	wantTensor(t, ArgMax(x, 1, false), Uint32, []int{2}, 0, 0)
	wantTensor(t, ArgMin(x, -1, true), Uint32, []int{2, 1}, 1, 1)
	wantTensor(t, ArgMax(Transpose(x), 1, false), Uint32, []int{3}, 0, 0, 0)
	wantTensor(t, ArgMax(FromSlice([]int32{1, 7, 7}), 0, false), Uint32, []int{}, 1)
	wantTensor(t, ArgMin(FromSlice([]float64{1, 7, -7}), 0, false), Uint32, []int{}, 2)
	wantTensor(t, ArgMax(Zeros(Float32, 3, 0), 0, false), Uint32, []int{0})
	wantTensor(t, ArgMax(Zeros(Float32, 3, 0), 0, true), Uint32, []int{1, 0})
	wantPanic(t, func() { ArgMax(Zeros(Float32, 3, 0), 1, false) }, "tensor.ArgMax: axis 1 has length 0: [3 0]")
	wantPanic(t, func() { ArgMin(Zeros(Float32, 0), 0, false) }, "tensor.ArgMin: axis 0 has length 0: [0]")
}

func TestSort(t *testing.T) {
	for _, dt := range numberTypes {
		for _, x := range layouts(t, dt, []int{3, 4}, func(i int) float64 { return float64(i * 7 % 11) }) {
			for _, axis := range []int{0, -1} {
				y := Sort(x.t, axis)
				order := ArgSort(x.t, axis)
				if order.Dtype() != Uint32 || y.Dtype() != dt {
					t.Fatalf("%s and %s of %s", y.Dtype(), order.Dtype(), dt)
				}
				got := floats(t, y)
				if !slices.Equal(got, floats(t, TakeAlong(x.t, order, axis))) {
					t.Errorf("%s %s: ArgSort does not sort", dt, x.name)
				}
				want := reduceArray(func(v []float64) float64 { return math.Mod(sum(v), 1e9) }, x.ref, []int{axis})
				have := reduceArray(func(v []float64) float64 {
					if !sort.Float64sAreSorted(v) {
						t.Errorf("%s %s axis %d: %v is not sorted", dt, x.name, axis, v)
					}
					return sum(v)
				}, array{[]int{3, 4}, got}, []int{axis})
				wantClose(t, have.data, want.data, 0)
			}
		}
	}
	nan := math.NaN()
	wantTensor(t, Sort(FromSlice([]float64{2, nan, 1}), 0), Float64, []int{3}, 1, 2, nan)
	wantTensor(t, ArgSort(FromSlice([]float64{2, nan, 1}), 0), Uint32, []int{3}, 2, 0, 1)
}

func TestScans(t *testing.T) {
	values := []float64{1, -2, 3, 0.5, 2, -1}
	type scanner func(x *Tensor, axis int, reverse, exclusive bool) *Tensor
	for _, c := range []struct {
		name string
		f    scanner
		op   func(a, b float64) float64
		zero float64
	}{
		{"CumSum", CumSum, func(a, b float64) float64 { return a + b }, 0},
		{"CumProd", CumProd, func(a, b float64) float64 { return a * b }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dt := range []Dtype{Float32, Float64, BFloat16, Float16, Int32} {
				for _, x := range layouts(t, dt, []int{2, 3, 4}, func(i int) float64 { return values[i%len(values)] }) {
					for axis := -3; axis < 3; axis++ {
						for mode := range 4 {
							reverse, exclusive := mode&1 != 0, mode&2 != 0
							y := c.f(x.t, axis, reverse, exclusive)
							want := scanArray(c.op, c.zero, x.ref, (axis+3)%3, reverse, exclusive)
							checkReduced(t, fmt.Sprintf("%s %s axis %d reverse %v exclusive %v", dt, x.name, axis, reverse, exclusive), y, dt, x.ref.shape, want)
						}
					}
				}
			}
			for _, shape := range [][]int{{0}, {3, 0}, {0, 3}} {
				for axis := range shape {
					wantTensor(t, c.f(Zeros(Float32, shape...), axis, true, true), Float32, shape)
				}
			}
			wantPanic(t, func() { c.f(Scalar(1.0), 0, false, false) }, "axis 0 is out of range for 0 dimensions")
		})
	}
	// An exclusive sum is not a difference: large terms don't swallow small ones.
	x := FromSlice([]float32{1, 1e10, -1e10})
	wantTensor(t, CumSum(x, 0, true, true), Float32, []int{3}, 0, -1e10, 0)
	wantTensor(t, CumSum(FromSlice([]float64{math.Inf(-1), 1}), 0, false, true), Float64, []int{2}, 0, math.Inf(-1))
	wantTensor(t, CumSum(FromSlice([]bool{true, true}), 0, false, false), Int32, []int{2}, 1, 2)
}

func scanArray(op func(a, b float64) float64, zero float64, a array, axis int, reverse, exclusive bool) []float64 {
	var out []float64
	each(a.shape, func(index []int) {
		acc := zero
		at := slices.Clone(index)
		for i := range a.shape[axis] {
			in := i < index[axis] || i == index[axis] && !exclusive
			if reverse {
				in = i > index[axis] || i == index[axis] && !exclusive
			}
			if at[axis] = i; in {
				acc = op(acc, a.at(at))
			}
		}
		out = append(out, acc)
	})
	return out
}
