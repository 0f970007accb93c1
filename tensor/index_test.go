package tensor

import (
	"math"
	"slices"
	"testing"
)

func TestSlice(t *testing.T) {
	for _, x := range layouts(t, Float32, []int{3, 4}, func(i int) float64 { return float64(i) }) {
		for _, c := range []struct{ start, stop, stride, rows, cols []int }{
			{[]int{0, 0}, []int{3, 4}, nil, []int{0, 1, 2}, []int{0, 1, 2, 3}},
			{[]int{1, -2}, []int{-1, 9}, nil, []int{1}, []int{2, 3}},
			{[]int{0, 1}, []int{3, 4}, []int{2, 2}, []int{0, 2}, []int{1, 3}},
			{[]int{-9, 3}, []int{9, 1}, nil, []int{0, 1, 2}, nil},
			{[]int{2, 0}, []int{2, 4}, []int{1, 1 << 40}, nil, []int{0}},
		} {
			var want []float64
			for _, i := range c.rows {
				for _, j := range c.cols {
					want = append(want, x.ref.at([]int{i, j}))
				}
			}
			wantTensor(t, Slice(x.t, c.start, c.stop, c.stride...), Float32, []int{len(c.rows), len(c.cols)}, want...)
		}
		wantTensor(t, SliceAxis(x.t, -1, -3, -1), Float32, []int{3, 2}, floats(t, Slice(x.t, []int{0, 1}, []int{3, 3}))...)
	}
	wantTensor(t, Slice(Scalar(1.0), nil, nil), Float64, []int{}, 1)
	wantTensor(t, SliceAxis(Zeros(Int8, 0, 2), 0, 0, 5), Int8, []int{0, 2})
	x := Ones(Float32, 3, 4)
	wantPanic(t, func() { Slice(x, []int{0}, []int{1}) }, "tensor.Slice: want start and stop for 2 axes, got [0] and [1]: [3 4]")
	wantPanic(t, func() { Slice(x, []int{0, 0}, []int{1, 1}, 1) }, "want 2 strides, got [1]")
	wantPanic(t, func() { Slice(x, []int{0, 0}, []int{1, 1}, 1, -1) }, "want positive strides, got [1 -1]; use Flip to reverse")
	wantPanic(t, func() { Slice(x, []int{0, 0}, []int{1, 1}, 0, 1) }, "want positive strides")
	wantPanic(t, func() { SliceAxis(x, 2, 0, 1) }, "tensor.SliceAxis: axis 2 is out of range for 2 dimensions: [3 4]")
	wantTensor(t, SliceAxis(x, 0, math.MinInt, math.MaxInt), Float32, []int{3, 4}, ones(12)...)
}

func ones(n int) []float64 { return slices.Repeat([]float64{1}, n) }

func TestSliceUpdate(t *testing.T) {
	x := count(Float32, 2, 3)
	wantTensor(t, SliceUpdate(x, FromSlice([]float32{9, 8}, 2, 1), []int{0, -1}, []int{2, 3}), Float32, []int{2, 3}, 0, 1, 9, 3, 4, 8)
	wantTensor(t, SliceUpdate(Transpose(x), Scalar(float32(7)), []int{1, 0}, []int{3, 1}), Float32, []int{3, 2}, 0, 3, 7, 4, 7, 5)
	wantTensor(t, SliceUpdate(x, Zeros(Float32, 0, 3), []int{1, 0}, []int{1, 3}), Float32, []int{2, 3}, 0, 1, 2, 3, 4, 5)
	wantTensor(t, SliceUpdate(AsType(x, Int32), Scalar(1.75), []int{0, 0}, []int{1, 1}), Int32, []int{2, 3}, 1, 1, 2, 3, 4, 5)
	wantTensor(t, x, Float32, []int{2, 3}, 0, 1, 2, 3, 4, 5) // unchanged
	wantPanic(t, func() { SliceUpdate(x, Ones(Float32, 3), []int{0, 0}, []int{2, 2}) },
		"tensor.SliceUpdate: the update does not broadcast to the part [2 2]: [2 3] x [3]")
	wantPanic(t, func() { SliceUpdate(x, Ones(Float32, 1, 1, 2), []int{0, 0}, []int{2, 2}) }, "does not broadcast to the part")
}

// unknown returns x such that the host does not know its values.
func unknown(x *Tensor) *Tensor { return Add(x, ZerosLike(x)) }

func TestTake(t *testing.T) {
	for _, dt := range []Dtype{Float32, Float64, BFloat16, Int32, Bool} {
		for _, x := range layouts(t, dt, []int{2, 3, 4}, func(i int) float64 { return float64(i % 7) }) {
			for axis, n := range x.ref.shape {
				list := []int32{int32(n) - 1, 0, 1, 0}
				for _, index := range []*Tensor{FromSlice(list), unknown(FromSlice(list))} {
					y := Take(x.t, index, axis-3)
					shape := slices.Clone(x.ref.shape)
					shape[axis] = len(list)
					var want []float64
					each(shape, func(i []int) {
						from := slices.Clone(i)
						from[axis] = int(list[i[axis]])
						want = append(want, x.ref.at(from))
					})
					wantTensor(t, y, dt, shape, want...)
				}
			}
		}
	}
	x := count(Float32, 3, 2)
	wantTensor(t, Take(x, Scalar(int32(1)), 0), Float32, []int{2}, 2, 3)
	wantTensor(t, Take(x, FromSlice([]uint8{2, 0}, 2, 1), 0), Float32, []int{2, 1, 2}, 4, 5, 0, 1)
	wantTensor(t, Take(x, FromSlice([]int64{}), 0), Float32, []int{0, 2})
	wantTensor(t, Take(Zeros(Float32, 3, 0), FromSlice([]int32{1}), 0), Float32, []int{1, 0})
	wantTensor(t, Take(Zeros(Float32, 0, 2), FromSlice([]int32{}), 0), Float32, []int{0, 2})
	wantPanic(t, func() { Take(x, FromSlice([]float32{0}), 0) }, "tensor.Take: want integer indices, got float32: [3 2] x [1]")
	wantPanic(t, func() { Take(x, FromSlice([]bool{true}), 0) }, "want integer indices, got bool")
	wantPanic(t, func() { Take(Zeros(Float32, 0, 2), FromSlice([]int32{0}), 0) }, "axis 0 has length 0")
	wantPanic(t, func() { Take(Scalar(1.0), FromSlice([]int32{0}), 0) }, "axis 0 is out of range for 0 dimensions")
}

// Indices out of range that the host knows are refused, in every integer type.
func TestKnownIndicesOutOfRange(t *testing.T) {
	x := count(Float32, 3)
	for name, index := range map[string]*Tensor{
		"index 3 ": FromSlice([]int32{0, 3}), "index -1 ": FromSlice([]int64{0, -1}), "index 255 ": FromSlice([]uint8{255}),
		"index -128 ": FromSlice([]int8{-128}), "index 65535 ": FromSlice([]uint16{65535}), "index 9 ": AsType(FromSlice([]int64{9}), Int32),
		"index 4 ": Transpose(Reshape(Arange(0, 5, 1, Int32), 1, 5)), "index 1000000 ": Full(1e6, Uint32, 2),
	} {
		list := Flatten(index)
		wantPanic(t, func() { Take(x, list, 0) }, "tensor.Take: "+name+"is out of range [0, 3) of axis 0")
		wantPanic(t, func() { TakeAlong(x, list, 0) }, "tensor.TakeAlong: "+name)
		wantPanic(t, func() { ScatterAdd(x, list, Ones(Float32, list.Size()), 0) }, "tensor.ScatterAdd: "+name)
	}
	// The last number of an unfinished step belongs to the range.
	wantPanic(t, func() { Take(x, Arange(0, 3.5, 1, Int32), 0) }, "index 3 is out of range")
	wantPanic(t, func() { Take(x, Arange(3, 0, -1, Int32), 0) }, "index 3 is out of range")
	wantTensor(t, Take(x, Arange(2, -0.5, -1, Int32), 0), Float32, []int{3}, 2, 1, 0)
	for name, index := range map[string]*Tensor{
		"ArgMax": ArgMax(Ones(Float32, 2, 4), 1, false), "ArgSort": ArgSort(Ones(Float32, 4), 0),
		"Permutation": Permutation(Key(1), 4), "RandInt": RandInt(Key(1), 0, 4, 3), "Categorical": Categorical(Key(1), Ones(Float32, 4)),
	} {
		if index.bounds == nil || index.bounds.low != 0 || index.bounds.high != 3 {
			t.Errorf("%s: the host knows %v of the values", name, index.bounds)
		}
	}
}

// Indices out of range that only the device knows are clipped, and a float
// result says so.
func TestUnknownIndicesOutOfRange(t *testing.T) {
	nan := math.NaN()
	for _, index := range []*Tensor{
		FromSlice([]int32{1, 3, -1, math.MaxInt32, math.MinInt32}), FromSlice([]int64{1, 3, -1, math.MaxInt64, math.MinInt64}),
		FromSlice([]int8{1, 3, -1, 127, -128}), FromSlice([]int16{1, 3, -1, 32767, -32768}), FromSlice([]uint64{1, 3, math.MaxUint64, 99, 1 << 63}),
		FromSlice([]uint8{1, 3, 255, 254, 99}), FromSlice([]uint32{1, 3, math.MaxUint32, 1 << 31, 99}),
	} {
		index = unknown(index)
		x := count(Float32, 3)
		wantTensor(t, Take(x, index, 0), Float32, []int{5}, 1, nan, nan, nan, nan)
		wantTensor(t, TakeAlong(x, index, 0), Float32, []int{5}, 1, nan, nan, nan, nan)
		sum := floats(t, ScatterAdd(x, index, Ones(Float32, 5), 0))
		if sum[1] != 2 || sum[0] == sum[0] && sum[2] == sum[2] {
			t.Errorf("%s: scattered %v", index.Dtype(), sum)
		}
		for _, v := range floats(t, Take(AsType(x, Int32), index, 0)) {
			if v < 0 || v > 2 {
				t.Errorf("%s: took the integer %v", index.Dtype(), v)
			}
		}
	}
	m := count(Float64, 2, 3)
	wantTensor(t, Take(m, unknown(FromSlice([]int32{0, 7})), 1), Float64, []int{2, 2}, 0, nan, 3, nan)
	wantTensor(t, Take(m, unknown(FromSlice([]int32{0, 7})), 0), Float64, []int{2, 3}, 0, 1, 2, nan, nan, nan)
	wantTensor(t, TakeAlong(m, unknown(FromSlice([]int32{0, 7}, 2, 1)), 1), Float64, []int{2, 1}, 0, nan)
	wantTensor(t, ScatterAdd(m, unknown(FromSlice([]int32{1, 7})), Ones(Float64, 2, 2), 1), Float64, []int{2, 3}, 0, 2, nan, 3, 5, nan)
}

func TestTakeAlong(t *testing.T) {
	x := count(Float32, 2, 3)
	wantTensor(t, TakeAlong(x, FromSlice([]int32{2, 0}, 2, 1), 1), Float32, []int{2, 1}, 2, 3)
	wantTensor(t, TakeAlong(Transpose(x), FromSlice([]uint32{1, 0, 1}, 3, 1), -1), Float32, []int{3, 1}, 3, 1, 5)
	wantTensor(t, TakeAlong(x, FromSlice([]int32{1, 0, 1}, 1, 3), 0), Float32, []int{1, 3}, 3, 1, 5)
	wantTensor(t, TakeAlong(x, FromSlice([]int32{1, 1}, 1, 2), 1), Float32, []int{2, 2}, 1, 1, 4, 4) // broadcasts
	wantTensor(t, TakeAlong(Zeros(Float32, 3, 0), Zeros(Int32, 3, 0), 0), Float32, []int{3, 0})
	wantTensor(t, TakeAlong(x, Zeros(Int32, 0, 3), 0), Float32, []int{0, 3})
	wantPanic(t, func() { TakeAlong(x, FromSlice([]int32{0}), 1) }, "tensor.TakeAlong: want as many axes in the indices as in x: [2 3] x [1]")
	wantPanic(t, func() { TakeAlong(x, Zeros(Int32, 3, 3), 1) }, "shapes can't be broadcast outside axis 1: [2 3] x [3 3]")
}

func TestScatterAdd(t *testing.T) {
	for _, dt := range []Dtype{Float32, Float64, Float16, BFloat16, Int32} {
		for _, x := range layouts(t, dt, []int{2, 3, 4}, func(i int) float64 { return float64(i % 5) }) {
			for axis, n := range x.ref.shape {
				list := []int32{int32(n) - 1, 0, 0, 1, 0, 1}
				shape := slices.Concat(x.ref.shape[:axis], []int{3, 2}, x.ref.shape[axis+1:])
				updates := layouts(t, dt, shape, func(i int) float64 { return float64(i%3 + 1) })
				for i, u := range updates {
					index := FromSlice(list, 3, 2)
					if i%2 == 1 {
						index = unknown(index)
					}
					y := ScatterAdd(x.t, index, u.t, axis-3)
					want := slices.Clone(x.ref.data)
					each(shape, func(at []int) {
						to := slices.Concat(at[:axis], []int{int(list[at[axis]*2+at[axis+1]])}, at[axis+2:])
						want[(to[0]*3+to[1])*4+to[2]] += u.ref.at(at)
					})
					wantTensor(t, y, dt, x.ref.shape, want...)
				}
			}
		}
	}
	x := Zeros(Float32, 2, 3)
	wantTensor(t, ScatterAdd(x, Scalar(uint8(1)), FromSlice([]float32{5, 6}), 1), Float32, []int{2, 3}, 0, 5, 0, 0, 6, 0)
	wantTensor(t, ScatterAdd(x, FromSlice([]int32{}), Zeros(Float32, 0, 3), 0), Float32, []int{2, 3}, 0, 0, 0, 0, 0, 0)
	wantTensor(t, ScatterAdd(Zeros(Float32, 0, 3), FromSlice([]int32{}), Zeros(Float32, 0, 3), 0), Float32, []int{0, 3})
	wantTensor(t, ScatterAdd(x, FromSlice([]int32{0, 0}), FromSlice([]float64{1, 1, 1, 2, 2, 2}, 2, 3), 0), Float32, []int{2, 3}, 3, 3, 3, 0, 0, 0)
	wantPanic(t, func() { ScatterAdd(x, FromSlice([]int32{0}), Ones(Float32, 3), 0) },
		"tensor.ScatterAdd: want updates of shape [1 3]: [2 3] x [1] x [3]")
}
