package tensor

import (
	"math"
	"slices"
	"testing"
)

// count is 0, 1, 2 … in a shape.
func count(dt Dtype, shape ...int) *Tensor {
	return Reshape(Arange(0, float64(product(shape)), 1, dt), shape...)
}

func TestReshape(t *testing.T) {
	for _, x := range layouts(t, Int32, []int{2, 3, 4}, func(i int) float64 { return float64(i) }) {
		for _, c := range []struct{ to, want []int }{
			{[]int{24}, []int{24}}, {[]int{4, -1}, []int{4, 6}}, {[]int{-1}, []int{24}},
			{[]int{1, 2, 12, 1}, []int{1, 2, 12, 1}}, {[]int{2, 3, 4}, []int{2, 3, 4}},
		} {
			wantTensor(t, Reshape(x.t, c.to...), Int32, c.want, x.ref.data...)
		}
		wantTensor(t, Flatten(x.t), Int32, []int{24}, x.ref.data...)
	}
	wantTensor(t, Reshape(Scalar(3.0), 1, 1), Float64, []int{1, 1}, 3)
	wantTensor(t, Reshape(FromSlice([]float64{3})), Float64, []int{}, 3)
	wantTensor(t, Reshape(Zeros(Bool, 0, 3), -1, 3), Bool, []int{0, 3})
	wantTensor(t, Reshape(Zeros(Bool, 0, 3), 5, 0), Bool, []int{5, 0})
	wantTensor(t, Flatten(Zeros(Bool, 0, 3)), Bool, []int{0})

	x := count(Float32, 2, 3)
	for _, c := range []struct {
		x     *Tensor
		shape []int
		text  string
	}{
		{x, []int{5}, "6 elements don't fill the shape [5]: [2 3]"},
		{x, []int{-1, 4}, "no length fits for the -1 in [-1 4]: [2 3]"},
		{x, []int{-1, -1}, "the shape [-1 -1] has more than one -1 or a negative length: [2 3]"},
		{x, []int{-2, 3}, "negative length"},
		{x, []int{-1, 0}, "no length fits for the -1 in [-1 0]"},
		{Zeros(Bool, 0, 3), []int{-1, 0}, "no length fits for the -1 in [-1 0]: [0 3]"},
		{x, []int{1 << 40, 6}, "is not between 0 and 2147483647"},
		{Zeros(Bool, 0), []int{1 << 31, 1 << 31}, "is not between 0 and 2147483647"},
		{Zeros(Bool, 1), []int{1 << 30, 1 << 30, 1 << 30}, "too many elements"},
		{Zeros(Bool, 1<<16, 1<<16), []int{-1}, "a length in the shape [4294967296] is not between"},
	} {
		wantPanic(t, func() { Reshape(c.x, c.shape...) }, "tensor.Reshape: ", c.text)
	}
}

func TestTranspose(t *testing.T) {
	for _, x := range layouts(t, Float32, []int{2, 3, 4}, func(i int) float64 { return float64(i) }) {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}, {-1, 0, -2}} {
			y := Transpose(x.t, order...)
			shape, want := permute(x.ref, order)
			wantTensor(t, y, Float32, shape, want...)
		}
		shape, want := permute(x.ref, []int{2, 1, 0})
		wantTensor(t, Transpose(x.t), Float32, shape, want...)
		wantTensor(t, SwapAxes(x.t, 0, -1), Float32, shape, want...)
	}
	wantTensor(t, Transpose(Scalar(1.0)), Float64, []int{}, 1)
	wantTensor(t, Transpose(Zeros(Bool, 0, 2)), Bool, []int{2, 0})
	x := Ones(Float32, 2, 3)
	wantPanic(t, func() { Transpose(x, 0) }, "tensor.Transpose: want 2 axes, got [0]: [2 3]")
	wantPanic(t, func() { Transpose(x, 0, 0) }, "axis 0 is given twice")
	wantPanic(t, func() { Transpose(x, 0, 2) }, "axis 2 is out of range for 2 dimensions")
	wantPanic(t, func() { SwapAxes(x, 0, 2) }, "tensor.SwapAxes: axis 2 is out of range")
}

// permute is Transpose in plain Go.
func permute(a array, order []int) (shape []int, data []float64) {
	shape = make([]int, len(order))
	for i, o := range order {
		shape[i] = a.shape[(o+len(order))%len(order)]
	}
	each(shape, func(index []int) {
		from := make([]int, len(index))
		for i, o := range order {
			from[(o+len(order))%len(order)] = index[i]
		}
		data = append(data, a.at(from))
	})
	return shape, data
}

func TestExpandAndSqueeze(t *testing.T) {
	x := count(Int32, 2, 3)
	for _, c := range []struct{ axes, want []int }{
		{[]int{0}, []int{1, 2, 3}}, {[]int{-1}, []int{2, 3, 1}}, {[]int{1, -1}, []int{2, 1, 3, 1}}, {nil, []int{2, 3}},
	} {
		y := ExpandDims(x, c.axes...)
		wantTensor(t, y, Int32, c.want, 0, 1, 2, 3, 4, 5)
		wantTensor(t, Squeeze(y), Int32, []int{2, 3}, 0, 1, 2, 3, 4, 5)
		if len(c.axes) > 0 {
			wantTensor(t, Squeeze(y, c.axes...), Int32, []int{2, 3}, 0, 1, 2, 3, 4, 5)
		}
	}
	wantTensor(t, Squeeze(Ones(Float32, 1, 1)), Float32, []int{}, 1)
	wantPanic(t, func() { ExpandDims(x, 3) }, "tensor.ExpandDims: axis 3 is out of range for 3 dimensions: [2 3]")
	wantPanic(t, func() { ExpandDims(x, 0, -4) }, "axis -4 is given twice in [0 -4]")
	wantPanic(t, func() { Squeeze(x, 0) }, "tensor.Squeeze: axis 0 has length 2, want 1: [2 3]")
	wantPanic(t, func() { Squeeze(Scalar(1.0), 0) }, "axis 0 is out of range for 0 dimensions")
}

func TestBroadcast(t *testing.T) {
	x := count(Float32, 3, 1)
	wantTensor(t, BroadcastTo(x, 2, 3, 2), Float32, []int{2, 3, 2}, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2)
	wantTensor(t, BroadcastTo(Scalar(2.0), 0), Float64, []int{0})
	wantPanic(t, func() { BroadcastTo(x, 3) }, "tensor.BroadcastTo: can't be broadcast to the shape [3]: [3 1]")
	wantPanic(t, func() { BroadcastTo(x, 2, 2) }, "can't be broadcast")
	wantPanic(t, func() { BroadcastTo(x, 3, -1) }, "is not between 0")
	for _, c := range []struct{ a, b, want []int }{
		{nil, nil, []int{}}, {[]int{2, 1}, []int{3}, []int{2, 3}}, {[]int{1}, []int{0}, []int{0}}, {[]int{4, 1, 5}, []int{6, 1}, []int{4, 6, 5}},
	} {
		if got, err := BroadcastShapes(c.a, c.b); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("BroadcastShapes(%v, %v) = %v, %v", c.a, c.b, got, err)
		}
	}
	_, err := BroadcastShapes([]int{2, 3}, []int{2})
	wantError(t, err, "shapes [2 3] and [2] can't be broadcast together")

	full := count(Float64, 2, 3)
	wantTensor(t, SumTo(full, []int{3}), Float64, []int{3}, 3, 5, 7)
	wantTensor(t, SumTo(full, []int{1, 3}), Float64, []int{1, 3}, 3, 5, 7)
	wantTensor(t, SumTo(full, []int{2, 1}), Float64, []int{2, 1}, 3, 12)
	wantTensor(t, SumTo(full, nil), Float64, []int{}, 15)
	wantTensor(t, SumTo(Ones(Float32, 4, 2, 1), []int{2, 1}), Float32, []int{2, 1}, 4, 4)
	wantTensor(t, SumTo(Zeros(Float32, 0, 3), []int{3}), Float32, []int{3}, 0, 0, 0)
	if SumTo(full, []int{2, 3}) != full {
		t.Error("SumTo to the own shape is a new tensor")
	}
	wantPanic(t, func() { SumTo(full, []int{4}) }, "tensor.SumTo: the shape [4] does not broadcast to this one: [2 3]")
	wantPanic(t, func() { SumTo(full, []int{1, 2, 3}) }, "does not broadcast to this one")
}

func TestJoin(t *testing.T) {
	a, b := count(Float32, 2, 2), MulScalar(count(Float32, 2, 1), 10)
	wantTensor(t, Concat(1, a, b), Float32, []int{2, 3}, 0, 1, 0, 2, 3, 10)
	wantTensor(t, Concat(-1, Transpose(a), b, b), Float32, []int{2, 4}, 0, 2, 0, 0, 1, 3, 10, 10)
	wantTensor(t, Concat(0, a), Float32, []int{2, 2}, 0, 1, 2, 3)
	wantTensor(t, Concat(0, a, Zeros(Float32, 0, 2)), Float32, []int{2, 2}, 0, 1, 2, 3)
	wantTensor(t, Concat(0, FromSlice([]int32{1}), FromSlice([]float64{0.5})), Float64, []int{2}, 1, 0.5)
	wantTensor(t, Stack(0, a, a), Float32, []int{2, 2, 2}, 0, 1, 2, 3, 0, 1, 2, 3)
	wantTensor(t, Stack(-1, a, Transpose(a)), Float32, []int{2, 2, 2}, 0, 0, 1, 2, 2, 1, 3, 3)
	wantTensor(t, Stack(0, Scalar(1.0), Scalar(2.0)), Float64, []int{2}, 1, 2)
	wantPanic(t, func() { Concat(0) }, "tensor.Concat: want at least one tensor")
	wantPanic(t, func() { Stack(0) }, "tensor.Stack: want at least one tensor")
	wantPanic(t, func() { Concat(0, a, b) }, "tensor.Concat: shapes must agree but for axis 0: [2 2] x [2 1]")
	wantPanic(t, func() { Concat(0, a, Flatten(a)) }, "shapes must agree but for axis 0: [2 2] x [4]")
	wantPanic(t, func() { Concat(2, a, b) }, "axis 2 is out of range for 2 dimensions")
	wantPanic(t, func() { Concat(0, Scalar(1.0)) }, "axis 0 is out of range for 0 dimensions")
	wantPanic(t, func() { Stack(0, a, b) }, "tensor.Stack: shapes must agree: [2 2] x [2 1]")
	wantPanic(t, func() { Stack(3, a, a) }, "axis 3 is out of range for 3 dimensions")
	wantPanic(t, func() { Concat(0, a, nil) }, "tensor.Concat: an operand is nil")
}

func TestSplit(t *testing.T) {
	x := count(Float32, 2, 6)
	for _, part := range SplitEqual(Transpose(x), 3, 0) {
		if !slices.Equal(part.Shape(), []int{2, 2}) {
			t.Errorf("a third of [6 2] has shape %v", part.Shape())
		}
	}
	wantTensor(t, SplitEqual(x, 3, -1)[1], Float32, []int{2, 2}, 2, 3, 8, 9)
	parts := SplitAt(x, 1, 0, 1, 1, 4)
	for i, want := range [][]float64{{}, {0, 6}, {}, {1, 2, 3, 7, 8, 9}, {4, 5, 10, 11}} {
		wantTensor(t, parts[i], Float32, []int{2, len(want) / 2}, want...)
	}
	if got := SplitAt(x, 0); len(got) != 1 || got[0].Size() != 12 {
		t.Errorf("no indices give %d parts", len(got))
	}
	rows := Unstack(x, 0)
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	wantTensor(t, rows[1], Float32, []int{6}, 6, 7, 8, 9, 10, 11)
	wantTensor(t, Unstack(x, -1)[5], Float32, []int{2}, 5, 11)
	if got := Unstack(Zeros(Float32, 0, 3), 0); len(got) != 0 {
		t.Errorf("%d slices of nothing", len(got))
	}
	wantPanic(t, func() { SplitEqual(x, 4, 1) }, "tensor.SplitEqual: axis 1 can't be cut into 4 equal parts: [2 6]")
	wantPanic(t, func() { SplitEqual(x, 0, 1) }, "can't be cut into 0 equal parts")
	wantPanic(t, func() { SplitAt(x, 1, 3, 2) }, "tensor.SplitAt: want rising indices between 0 and 6, got [3 2]: [2 6]")
	wantPanic(t, func() { SplitAt(x, 1, 7) }, "want rising indices")
	wantPanic(t, func() { SplitAt(x, 1, -1) }, "want rising indices")
	wantPanic(t, func() { Unstack(Scalar(1.0), 0) }, "axis 0 is out of range for 0 dimensions")
}

func TestPad(t *testing.T) {
	x := count(Int32, 1, 2)
	wantTensor(t, Pad(x, [][2]int{{1, 0}, {0, 2}}, 7), Int32, []int{2, 4}, 7, 7, 7, 7, 0, 1, 7, 7)
	wantTensor(t, Pad(Transpose(x), [][2]int{{0, 1}, {0, 0}}, -1), Int32, []int{3, 1}, 0, 1, -1)
	wantTensor(t, Pad(Zeros(Float64, 0), [][2]int{{1, 1}}, math.NaN()), Float64, []int{2}, math.NaN(), math.NaN())
	wantTensor(t, Pad(Scalar(1.0), nil, 0), Float64, []int{}, 1)
	wantPanic(t, func() { Pad(x, [][2]int{{1, 0}}, 0) }, "tensor.Pad: want widths for 2 axes, got 1: [1 2]")
	wantPanic(t, func() { Pad(x, [][2]int{{-1, 0}, {0, 0}}, 0) }, "want widths between 0 and 2147483647, got [-1 0] for axis 0")
	wantPanic(t, func() { Pad(x, [][2]int{{1 << 32, 0}, {0, 0}}, 0) }, "want widths between 0 and")
	wantPanic(t, func() { Pad(x, [][2]int{{0, 0}, {0, 0}}, 0.5) }, "tensor.Pad: 0.5 is not a value of int32")
}

func TestTriangles(t *testing.T) {
	for _, dt := range []Dtype{Float32, Float64, Int32, Bool} {
		for _, x := range layouts(t, dt, []int{2, 3, 4}, func(i int) float64 { return float64(i + 1) }) {
			for _, k := range []int{-9, -1, 0, 1, 9, math.MaxInt, math.MinInt} {
				low := mapIndexed(x.ref, func(i []int, v float64) float64 {
					if k < 9 && i[2]-i[1] > k {
						return 0
					}
					return v
				})
				high := mapIndexed(x.ref, func(i []int, v float64) float64 {
					if k > -9 && i[2]-i[1] < k {
						return 0
					}
					return v
				})
				wantTensor(t, Tril(x.t, k), dt, x.ref.shape, low...)
				wantTensor(t, Triu(x.t, k), dt, x.ref.shape, high...)
			}
		}
	}
	wantTensor(t, Tril(Full(math.Inf(1), Float32, 2, 2), 0), Float32, []int{2, 2}, math.Inf(1), 0, math.Inf(1), math.Inf(1))
	wantPanic(t, func() { Tril(Ones(Float32, 3), 0) }, "tensor.Tril: want at least two axes: [3]")
}

func mapIndexed(a array, f func(index []int, v float64) float64) []float64 {
	var out []float64
	each(a.shape, func(index []int) { out = append(out, f(index, a.at(index))) })
	return out
}

func TestRepeatAndFlip(t *testing.T) {
	x := count(Int32, 2, 2)
	wantTensor(t, Repeat(x, 2, 1), Int32, []int{2, 4}, 0, 0, 1, 1, 2, 2, 3, 3)
	wantTensor(t, Repeat(Transpose(x), 2, -2), Int32, []int{4, 2}, 0, 2, 0, 2, 1, 3, 1, 3)
	wantTensor(t, Repeat(x, 0, 0), Int32, []int{0, 2})
	wantTensor(t, Repeat(Zeros(Int32, 0), 3, 0), Int32, []int{0})
	wantTensor(t, Flip(x), Int32, []int{2, 2}, 3, 2, 1, 0)
	wantTensor(t, Flip(x, -1), Int32, []int{2, 2}, 1, 0, 3, 2)
	wantTensor(t, Flip(Scalar(1.0)), Float64, []int{}, 1)
	wantTensor(t, Flip(Zeros(Int32, 0, 2)), Int32, []int{0, 2})
	wantPanic(t, func() { Repeat(x, -1, 0) }, "tensor.Repeat: want n between 0 and 2147483647, got -1: [2 2]")
	wantPanic(t, func() { Repeat(x, 1<<33, 0) }, "want n between 0 and")
	wantPanic(t, func() { Flip(x, 0, -2) }, "axis -2 is given twice")
}

func TestContiguousAndDepends(t *testing.T) {
	for _, x := range layouts(t, Float16, []int{2, 3}, func(i int) float64 { return float64(i) }) {
		wantTensor(t, Contiguous(x.t), Float16, x.ref.shape, x.ref.data...)
		list := Depends([]*Tensor{x.t, x.t}, []*Tensor{Exp(Ones(Float32, 3))})
		if len(list) != 2 {
			t.Fatalf("%d tensors", len(list))
		}
		wantTensor(t, list[1], Float16, x.ref.shape, x.ref.data...)
	}
	if got := Depends(nil, nil); got != nil {
		t.Errorf("Depends of nothing is %v", got)
	}
	wantPanic(t, func() { Depends([]*Tensor{Scalar(1.0)}, nil) }, "tensor.Depends: want at least one tensor to depend on")
}
