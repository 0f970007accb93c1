package tensor

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/deltatape/deltatape/internal/mlxc"
)

func TestHostEdge(t *testing.T) {
	roundTrip(t, Bool, []bool{true, false, true, true})
	roundTrip(t, Uint8, []uint8{0, 1, 127, 255})
	roundTrip(t, Uint16, []uint16{0, 1, 32768, 65535})
	roundTrip(t, Uint32, []uint32{0, 1, 1 << 31, math.MaxUint32})
	roundTrip(t, Uint64, []uint64{0, 1, 1 << 63, math.MaxUint64})
	roundTrip(t, Int8, []int8{0, -1, 127, -128})
	roundTrip(t, Int16, []int16{0, -1, 32767, -32768})
	roundTrip(t, Int32, []int32{0, -1, math.MaxInt32, math.MinInt32})
	roundTrip(t, Int64, []int64{0, -1, math.MaxInt64, math.MinInt64})
	roundTrip(t, Float32, []float32{0, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32})
	roundTrip(t, Float64, []float64{0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64})
}

func roundTrip[T Element](t *testing.T, dt Dtype, data []T) {
	t.Helper()
	x := FromSlice(data, 2, 2)
	check := func(x *Tensor, want ...T) {
		t.Helper()
		if got, err := Data[T](x); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", dt, got, err, want)
		}
	}
	if x.Dtype() != dt {
		t.Errorf("got %s, want %s", x.Dtype(), dt)
	}
	check(x, data...)
	check(FromSlice(data), data...)
	check(Transpose(x), data[0], data[2], data[1], data[3])
	check(SliceAxis(x, 1, 1, 2), data[1], data[3])
	check(BroadcastTo(SliceAxis(FromSlice(data), 0, 1, 2), 3), data[1], data[1], data[1])
	check(FromSlice([]T{}))
	check(FromSlice([]T{}, 3, 0))
	for _, v := range data {
		if got, err := Item[T](Scalar(v)); err != nil || got != v {
			t.Errorf("%s: Item is %v, %v, want %v", dt, got, err, v)
		}
	}
	if got, err := Item[T](Slice(x, []int{1, 1}, []int{2, 2})); err != nil || got != data[3] {
		t.Errorf("%s: Item of [1 1] is %v, %v", dt, got, err)
	}
	data[0] = data[1] // the tensor holds a copy
	if got, _ := Data[T](x); got[0] == data[1] {
		t.Errorf("%s: the tensor changed with the slice", dt)
	}
}

func TestHostEdgeErrors(t *testing.T) {
	x := Ones(Float32, 2)
	_, err := Data[float64](x)
	wantError(t, err, "tensor.Data: a tensor of float32 can't be read as float64; convert it with AsType")
	_, err = Data[float64](Ones(BFloat16, 2))
	wantError(t, err, "a tensor of bfloat16 can't be read as float64")
	_, err = Item[int32](Ones(Int64, 1))
	wantError(t, err, "a tensor of int64 can't be read as int32")
	_, err = Item[float32](x)
	wantError(t, err, "tensor.Item: want a tensor of one element, got shape [2]")
	_, err = Item[float32](nil)
	wantError(t, err, "tensor.Item: the tensor is nil")
	_, err = Data[float32](nil)
	wantError(t, err, "tensor.Data: the tensor is nil")
	_, err = ToMat(nil)
	wantError(t, err, "tensor.ToMat: the tensor is nil")
	wantPanic(t, func() { FromSlice([]float32{1, 2}, 3) }, "tensor.FromSlice: 2 elements don't fill the shape [3]")
	wantPanic(t, func() { FromSlice([]float32{1, 2}, -1, -2) }, "a length in the shape [-1 -2] is not between 0 and")
	wantPanic(t, func() { FromSlice([]float32{1}, 1<<32) }, "is not between 0 and")
	wantPanic(t, func() { FromSlice([]float32{}, 1<<31-1, 1<<31-1, 1<<31-1) }, "too many elements")
}

// Every pattern of 16 bits is converted to float32 and back as MLX does.
func TestHalfConversions(t *testing.T) {
	patterns := make([]uint16, 1<<16)
	for i := range patterns {
		patterns[i] = uint16(i)
	}
	for _, c := range []struct {
		dt   Dtype
		bits func(float32) uint16
	}{
		{Float16, func(v float32) uint16 { return float16Bits(float64(v)) }},
		{BFloat16, bfloat16Bits},
	} {
		values, err := Data[float32](viewAs(t, FromSlice(patterns), c.dt))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			got := c.bits(v)
			if v != v {
				if back := values[got]; back == back {
					t.Fatalf("%s: NaN %#x becomes %#x", c.dt, i, got)
				}
			} else if int(got) != i {
				t.Fatalf("%s: %#x is %v, which becomes %#x", c.dt, i, v, got)
			}
		}

		// Numbers between two patterns, and half way, as the engine rounds them.
		var between []float32
		for i := 0; i < len(values)-1; i++ {
			if a, b := values[i], values[i+1]; a == a && b == b && !math.IsInf(float64(a), 0) && i != 0x7fff {
				limit := b
				if math.IsInf(float64(b), 0) {
					limit = 2*a - values[i-1]
				}
				mid := a/2 + limit/2
				between = append(between, mid, math.Nextafter32(mid, a), math.Nextafter32(mid, limit))
			}
		}
		want, err := Data[uint16](viewAs(t, AsType(FromSlice(between), c.dt), Uint16))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range between {
			if got := c.bits(v); got != want[i] {
				t.Fatalf("%s: %v becomes %#x, want %#x", c.dt, v, got, want[i])
			}
		}
	}
	for v, want := range map[float64]uint16{1e300: 0x7c00, -1e300: 0xfc00, 65519.99: 0x7bff, 65520: 0x7c00, 5.9e-8: 1, 2e-8: 0, -2e-8: 0x8000} {
		if got := float16Bits(v); got != want {
			t.Errorf("float16 of %v is %#x, want %#x", v, got, want)
		}
	}
}

// viewAs takes the bits of x for another type of the same size.
func viewAs(t *testing.T, x *Tensor, dt Dtype) *Tensor {
	t.Helper()
	m, err := mlxc.View(mlxc.CPU, x.h, mlxc.Dtype(dt))
	must(t, m, err)
	return made("view", &m, err, x)
}

func TestAsType(t *testing.T) {
	for _, from := range allTypes {
		for _, to := range allTypes {
			x := AsType(FromSlice([]uint8{0, 1, 1, 0}, 2, 2), from)
			wantTensor(t, AsType(x, to), to, []int{2, 2}, 0, 1, 1, 0)
			wantTensor(t, AsType(Transpose(x), to), to, []int{2, 2}, 0, 1, 1, 0)
			wantTensor(t, AsType(Zeros(from, 0, 2), to), to, []int{0, 2})
		}
	}
	wantTensor(t, AsType(FromSlice([]float32{2.7, -2.7, 0}), Int32), Int32, []int{3}, 2, -2, 0)
	wantTensor(t, AsType(FromSlice([]float32{2.5, -1, 0}), Bool), Bool, []int{3}, 1, 1, 0)
	wantTensor(t, AsType(FromSlice([]int32{257, -1}), Uint8), Uint8, []int{2}, 1, 255)
	wantTensor(t, AsType(FromSlice([]float64{1 + 0x1p-40, 1e300}), Float32), Float32, []int{2}, 1, math.Inf(1))
	wantTensor(t, AsType(FromSlice([]float64{1 + 0x1p-8, 1 + 3*0x1p-8}), BFloat16), BFloat16, []int{2}, 1, 1+0x1p-6)
}

func TestGonum(t *testing.T) {
	m := mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6})
	x := FromMat(m.T())
	wantTensor(t, x, Float64, []int{3, 2}, 1, 4, 2, 5, 3, 6)
	for _, dt := range floatTypes {
		back := mustMat(t, AsType(Transpose(x), dt))
		if !mat.Equal(back, m) {
			t.Errorf("%s: got %v", dt, mat.Formatted(back))
		}
	}
	for _, none := range []mat.Matrix{nil, (*mat.Dense)(nil)} {
		wantPanic(t, func() { FromMat(none) }, "tensor.FromMat: the matrix is nil")
	}
	for _, shape := range [][]int{{2}, {0, 2}, {1, 2, 3}} {
		_, err := ToMat(Ones(Float64, shape...))
		wantError(t, err, "tensor.ToMat: want two axes of length 1 or more, got shape")
	}
	s := NewScope()
	y := s.Use(x)
	s.Close()
	_, err := ToMat(y)
	wantError(t, err, "tensor.ToMat: a tensor is used after its scope was closed")
}

func mustMat(t *testing.T, x *Tensor) *mat.Dense {
	t.Helper()
	m, err := ToMat(x)
	return must(t, m, err)
}
