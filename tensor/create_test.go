package tensor

import (
	"math"
	"slices"
	"testing"
)

var allTypes = []Dtype{Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Float16, Float32, Float64, BFloat16}

func TestDtype(t *testing.T) {
	sizes := []int{1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 2}
	names := []string{"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bfloat16"}
	for i, dt := range allTypes {
		if dt.Size() != sizes[i] || dt.String() != names[i] {
			t.Errorf("%s has size %d, want %s %d", dt, dt.Size(), names[i], sizes[i])
		}
		x := Ones(dt, 3)
		if x.Bytes() != int64(3*sizes[i]) || x.Dtype() != dt {
			t.Errorf("3 elements of %s are %d bytes of %s", dt, x.Bytes(), x.Dtype())
		}
		if float, integer := i >= 9, i >= 1 && i <= 8; dt.IsFloat() != float || dt.IsInteger() != integer {
			t.Errorf("%s: IsFloat %v, IsInteger %v", dt, dt.IsFloat(), dt.IsInteger())
		}
	}
	complex64 := Dtype(13) // MLX has it, this package does not
	if complex64.String() != "unsupported dtype" || complex64.Size() != 0 {
		t.Errorf("complex64 is %s of size %d", complex64, complex64.Size())
	}
	for _, f := range []func(){
		func() { Zeros(complex64, 1) }, func() { AsType(Ones(Float32, 1), complex64) }, func() { Arange(0, 1, 1, complex64) },
		func() { Eye(1, 1, 0, complex64) }, func() { Full(1, 200, 1) },
	} {
		wantPanic(t, f, "unsupported dtype")
	}
}

func TestConstructors(t *testing.T) {
	for _, dt := range allTypes {
		one := Ones(dt, 2, 1)
		wantTensor(t, one, dt, []int{2, 1}, 1, 1)
		wantTensor(t, Zeros(dt), dt, []int{}, 0)
		wantTensor(t, Full(1, dt, 0, 2), dt, []int{0, 2})
		wantTensor(t, ZerosLike(one), dt, []int{2, 1}, 0, 0)
		wantTensor(t, OnesLike(one), dt, []int{2, 1}, 1, 1)
		wantTensor(t, FullLike(one, 1), dt, []int{2, 1}, 1, 1)
		wantTensor(t, Like(one, 1), dt, []int{}, 1)
		wantTensor(t, Eye(2, 3, 1, dt), dt, []int{2, 3}, 0, 1, 0, 0, 0, 1)
	}
	wantTensor(t, Full(-2.5, BFloat16, 2), BFloat16, []int{2}, -2.5, -2.5)
	wantTensor(t, Full(math.NaN(), Float16, 1), Float16, []int{1}, math.NaN())
	wantTensor(t, Full(1<<53, Int64, 1), Int64, []int{1}, 1<<53)
	wantTensor(t, Full(1<<63, Uint64, 1), Uint64, []int{1}, 1<<63)
	wantTensor(t, Eye(2, 2, math.MaxInt, Float32), Float32, []int{2, 2}, 0, 0, 0, 0)
	wantTensor(t, Eye(2, 2, math.MinInt, Float32), Float32, []int{2, 2}, 0, 0, 0, 0)
	wantTensor(t, Eye(2, 2, -1, Float32), Float32, []int{2, 2}, 0, 0, 1, 0)
}

func TestConstructorsRefuse(t *testing.T) {
	for text, f := range map[string]func(){
		"tensor.Full: 256 is not a value of uint8":                                 func() { Full(256, Uint8, 1) },
		"tensor.Full: -1 is not a value of uint64":                                 func() { Full(-1, Uint64, 1) },
		"tensor.Full: 0.5 is not a value of int32":                                 func() { Full(0.5, Int32, 1) },
		"tensor.Full: NaN is not a value of int64":                                 func() { Full(math.NaN(), Int64, 1) },
		"tensor.Full: +Inf is not a value of int64":                                func() { Full(math.Inf(1), Int64, 1) },
		"9.223372036854776e+18 is not a value of int64":                            func() { Full(1<<63, Int64, 1) },
		"tensor.Full: NaN is not a value of bool":                                  func() { Full(math.NaN(), Bool, 1) },
		"tensor.Full: a length in the shape [-1] is not between 0 and 2147483647":  func() { Zeros(Float32, -1) },
		"a length in the shape [4294967296] is not between":                        func() { Ones(Float32, 1<<32) },
		"the shape [2147483647 2147483647 2147483647] has too many elements":       func() { Ones(Bool, 1<<31-1, 1<<31-1, 1<<31-1) },
		"tensor.Full: the result of shape [1048576 1048576 1024] takes 9.01e+15 b": func() { Ones(Float64, 1<<20, 1<<20, 1<<10) },
		"tensor.Eye: a length in the shape [-1 2] is not between":                  func() { Eye(-1, 2, 0, Float32) },
		"tensor.Eye: the result of shape [1073741824 1073741824]":                  func() { Eye(1<<30, 1<<30, 0, Float32) },
		"tensor.Like: -1 is not a value of uint8":                                  func() { Like(Ones(Uint8, 1), -1) },
	} {
		wantPanic(t, f, text)
	}
	wantTensor(t, Zeros(Bool, 1<<31-1, 1<<31-1, 1<<31-1, 0), Bool, []int{1<<31 - 1, 1<<31 - 1, 1<<31 - 1, 0})
}

func TestArange(t *testing.T) {
	for _, dt := range allTypes[1:] {
		wantTensor(t, Arange(0, 5, 2, dt), dt, []int{3}, 0, 2, 4)
		wantTensor(t, Arange(0, 4.5, 1, dt), dt, []int{5}, 0, 1, 2, 3, 4)
		wantTensor(t, Arange(7, 3, -2, dt), dt, []int{2}, 7, 5)
		wantTensor(t, Arange(3, 3, 1, dt), dt, []int{0})
		wantTensor(t, Arange(3, 0, 1, dt), dt, []int{0})
	}
	wantTensor(t, Arange(-1, 1, 0.5, Float32), Float32, []int{4}, -1, -0.5, 0, 0.5)
	wantTensor(t, Arange(-128, 128, 255, Int8), Int8, []int{2}, -128, 127)
	wantTensor(t, Arange(1<<40, 1<<40+3, 1, Int64), Int64, []int{3}, 1<<40, 1<<40+1, 1<<40+2)
	// Errors don't add up: element i is start + i·step.
	for _, dt := range floatTypes {
		x := floats(t, Arange(0.5, 200, 0.1, dt))
		if len(x) != 1995 {
			t.Fatalf("%s: %d elements", dt, len(x))
		}
		for i, v := range x {
			if want := 0.5 + float64(i)*0.1; !near(v, want, ulp(dt)) {
				t.Fatalf("%s: element %d is %v, want %v", dt, i, v, want)
			}
		}
	}
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range [][3]float64{{nan, 1, 1}, {0, nan, 1}, {0, 1, nan}, {0, inf, 1}, {-inf, 0, 1}, {0, 1, 0}, {0, 1, inf}, {0, 1, -inf}, {-1e308, 1e308, 1}} {
		wantPanic(t, func() { Arange(c[0], c[1], c[2], Float32) }, "tensor.Arange: want finite numbers and a step that is not 0")
	}
	wantPanic(t, func() { Arange(0, 1e10, 1, Float32) }, "want at most 2147483647 numbers, got 1e+10")
	wantPanic(t, func() { Arange(0, 1e18, 1, Int64) }, "want at most 2147483647 numbers")
	wantPanic(t, func() { Arange(0, 257, 1, Uint8) }, "the numbers from 0 to 256 in steps of 1 are not values of uint8")
	wantPanic(t, func() { Arange(0, 2, 0.5, Int32) }, "the numbers from 0 to 1.5 in steps of 0.5 are not values of int32")
	wantPanic(t, func() { Arange(0.5, 2, 1, Int32) }, "are not values of int32")
	wantPanic(t, func() { Arange(0, -2, -1, Uint32) }, "are not values of uint32")
	wantPanic(t, func() { Arange(0, 2, 1, Bool) }, "want a number type, got bool")
}

// Constructors make tensors of no scope, whatever scopes are open.
func TestConstructorsHaveNoScope(t *testing.T) {
	newTestScope(t)
	for i, x := range []*Tensor{
		Zeros(Float32, 2), Arange(0, 3, 1, Float32), Arange(0, 3, 0.5, BFloat16), Arange(0, 3, 1, Int32), Eye(2, 2, 0, Float32),
		FromSlice([]int8{1}), Scalar(true), Key(1), Permutation(Key(7), 3),
	} {
		if x.scope != nil {
			t.Errorf("tensor %d is in a scope", i)
		}
	}
	x := newTestScope(t).Use(Ones(Float32, 2))
	for i, y := range []*Tensor{ZerosLike(x), OnesLike(x), FullLike(x, 2), Like(x, 2)} {
		if y.scope != x.scope {
			t.Errorf("tensor %d is not in the operand's scope", i)
		}
	}
}

func TestShapeMethods(t *testing.T) {
	x := Ones(Float32, 2, 3, 4, 1, 5, 1, 1)
	want := []int{2, 3, 4, 1, 5, 1, 1}
	shape := x.Shape()
	if !slices.Equal(shape, want) || x.NDim() != 7 || x.Size() != 120 || x.Dim(-3) != 5 || x.Dim(1) != 3 {
		t.Errorf("shape %v, %d axes, %d elements", shape, x.NDim(), x.Size())
	}
	shape[0] = 9
	if x.Dim(0) != 2 {
		t.Error("Shape is not a copy")
	}
	wantPanic(t, func() { x.Dim(7) }, "tensor.Dim: axis 7 is out of range for 7 dimensions")
	wantPanic(t, func() { Scalar(1.0).Dim(-1) }, "axis -1 is out of range for 0 dimensions: []")
}
