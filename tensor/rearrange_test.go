package tensor

import (
	"fmt"
	"math"
	"testing"
)

func TestRearrange(t *testing.T) {
	s := newTestScope(t)
	x := s.Use(FromSlice([]int32{1, 2, 3, 4, 5, 6}, 2, 3))
	none := s.Use(Zeros(Int32, 0, 3))
	for _, c := range []struct {
		name  string
		got   *Tensor
		shape []int
		want  []float64
	}{
		{"tile", Tile(x, 2, 2), []int{4, 6}, []float64{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}},
		{"tile the last axis", Tile(x, 2), []int{2, 6}, []float64{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}},
		{"tile a new axis", Tile(x, 2, 1, 1), []int{2, 2, 3}, []float64{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}},
		{"tile no times", Tile(x, 0, 2), []int{0, 6}, nil},
		{"tile nothing", Tile(none, 3, 1), []int{0, 3}, nil},
		{"tile a scalar", Tile(Scalar(int32(7)), 3), []int{3}, []float64{7, 7, 7}},
		{"tile without counts", Tile(x), []int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		{"roll", Roll(x, 1, -1), []int{2, 3}, []float64{3, 1, 2, 6, 4, 5}},
		{"roll back", Roll(x, -4, 1), []int{2, 3}, []float64{2, 3, 1, 5, 6, 4}},
		{"roll around", Roll(x, 2, 0), []int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		{"roll far", Roll(x, math.MinInt, 0), []int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		{"roll nothing", Roll(none, 1, 0), []int{0, 3}, nil},
		{"move axis", MoveAxis(Reshape(x, 1, 2, 3), 2, 0), []int{3, 1, 2}, []float64{1, 4, 2, 5, 3, 6}},
		{"move axis to the end", MoveAxis(x, 0, -1), []int{3, 2}, []float64{1, 4, 2, 5, 3, 6}},
		{"one hot", OneHot(FromSlice([]int32{1, -1, 2, 3}, 2, 2), 3, Int32), []int{2, 2, 3}, []float64{0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}},
		{"one hot of bytes", OneHot(Scalar(uint8(255)), 256, Int32), []int{256}, append(make([]float64, 255), 1)},
		{"one hot of no classes", OneHot(FromSlice([]int32{1}), 0, Int32), []int{1, 0}, nil},
	} {
		t.Run(c.name, func(t *testing.T) { wantTensor(t, c.got, Int32, c.shape, c.want...) })
	}
	for _, c := range []struct {
		text string
		f    func()
	}{
		{"tensor.Tile: want counts between 0 and", func() { Tile(x, -1) }},
		{"tensor.Tile", func() { Tile(x, math.MaxInt32, math.MaxInt32) }},
		{"tensor.Roll: axis 2 is out of range", func() { Roll(x, 1, 2) }},
		{"tensor.MoveAxis: axis -3 is out of range", func() { MoveAxis(x, 0, -3) }},
		{"tensor.OneHot: want integer indices, got float32", func() { OneHot(Ones(Float32, 1), 2, Float32) }},
		{"tensor.OneHot: a length in the shape [-1]", func() { OneHot(x, -1, Float32) }},
	} {
		t.Run(c.text, func(t *testing.T) { wantError(t, Try(c.f), c.text) })
	}
}

// What is cut from a reversed tensor holds its elements: the engine's split reads
// beside it.
func TestSplitReversed(t *testing.T) {
	x := newTestScope(t).Use(FromSlice([]float32{1, 2, 3, 4, 5, 6}, 3, 2))
	for _, axes := range [][]int{nil, {0}, {1}} {
		parts := SplitAt(Flip(x, axes...), 0, 1)
		want := floats(t, Contiguous(Flip(x, axes...)))
		wantTensor(t, parts[0], Float32, []int{1, 2}, want[:2]...)
		wantTensor(t, parts[1], Float32, []int{2, 2}, want[2:]...)
		rows := Unstack(Flip(x, axes...), 0)
		wantTensor(t, rows[2], Float32, []int{2}, want[4:]...)
	}
}

func TestScatterAddAlong(t *testing.T) {
	s := newTestScope(t)
	x := s.Use(Ones(Float64, 2, 3))
	index := func(v []int32, shape ...int) *Tensor { return s.Use(FromSlice(v, shape...)) }
	update := func(v []float64, shape ...int) *Tensor { return s.Use(FromSlice(v, shape...)) }
	for _, c := range []struct {
		name string
		got  *Tensor
		want []float64
	}{
		{"last axis", ScatterAddAlong(x, index([]int32{2, 0, 2, 2}, 2, 2), update([]float64{1, 2, 3, 4}, 2, 2), -1), []float64{3, 1, 2, 1, 1, 8}},
		{"first axis", ScatterAddAlong(x, index([]int32{1, 1, 0}, 1, 3), update([]float64{1, 2, 3}, 1, 3), 0), []float64{1, 1, 4, 2, 3, 1}},
		{"indices broadcast", ScatterAddAlong(x, index([]int32{1, 1}, 1, 2), update([]float64{1, 2, 3, 4}, 2, 2), 1), []float64{1, 4, 1, 1, 8, 1}},
		{"updates broadcast", ScatterAddAlong(x, index([]int32{1, 1, 0, 2}, 2, 2), update([]float64{5}, 1, 1), 1), []float64{1, 11, 1, 6, 1, 6}},
		{"nothing", ScatterAddAlong(x, index(nil, 2, 0), update(nil, 2, 0), 1), []float64{1, 1, 1, 1, 1, 1}},
		{"bytes", ScatterAddAlong(x, AsType(index([]int32{1, 1}, 2, 1), Uint8), update([]float64{5}, 1, 1), 1), []float64{1, 6, 1, 1, 6, 1}},
	} {
		t.Run(c.name, func(t *testing.T) { wantTensor(t, c.got, Float64, []int{2, 3}, c.want...) })
	}
	unknown := Add(index([]int32{0, 2}, 2, 1), index([]int32{0, 1}, 2, 1))
	got := floats(t, ScatterAddAlong(x, unknown, update([]float64{5}, 1, 1), 1))
	if nan := got[3] != got[3] || got[4] != got[4] || got[5] != got[5]; got[0] != 6 || !nan {
		t.Errorf("an index out of range that the host does not know gave %v", got)
	}
	sum := ScatterAddAlong(Zeros(BFloat16, 1), Zeros(Int32, 4096), Ones(BFloat16, 1), 0)
	wantTensor(t, sum, BFloat16, []int{1}, 4096)
	for _, c := range []struct {
		text string
		f    func()
	}{
		{"index 3 is out of range [0, 3) of axis 1", func() { ScatterAddAlong(x, index([]int32{3}, 1, 1), x, 1) }},
		{"want as many axes", func() { ScatterAddAlong(x, index([]int32{0}), x, 1) }},
		{"broadcast to [2 1]", func() { ScatterAddAlong(x, index([]int32{0}, 1, 1), x, 1) }},
		{"broadcast to [2 1]", func() { ScatterAddAlong(x, index([]int32{0, 0, 0}, 3, 1), Ones(Float64, 1, 1), 1) }},
		{"want integer indices", func() { ScatterAddAlong(x, x, x, 1) }},
	} {
		t.Run(c.text, func(t *testing.T) { wantError(t, Try(c.f), c.text) })
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		x         *Tensor
		low, high int64
		known     bool
	}{
		{FromSlice([]int32{3, -1, 7}), -1, 7, true},
		{Reshape(Arange(0, 6, 1, Int64), 2, 3), 0, 5, true},
		{ArgSort(Ones(Float32, 5), 0), 0, 4, true},
		{Add(FromSlice([]int32{1}), FromSlice([]int32{1})), 0, 0, false},
		{Ones(Float32, 2), 0, 0, false},
		{Zeros(Int32, 0), 0, 0, false},
	} {
		if low, high, known := c.x.Bounds(); low != c.low || high != c.high || known != c.known {
			t.Errorf("%v: got %d, %d, %v", c.x, low, high, known)
		}
	}
}

func TestMoments(t *testing.T) {
	data := []float64{1, 4, 2, 8, 5, 7, 3, 3, 3, -1, 0, 6}
	ref := array{[]int{2, 3, 2}, data}
	for _, dt := range []Dtype{Float64, Float32, Float16, BFloat16} {
		x := newTestScope(t).Use(AsType(FromSlice(data, 2, 3, 2), dt))
		for _, axes := range [][]int{nil, {0}, {-1}, {2, 0}, {0, 1, 2}} {
			n := float64(len(data) / len(reduceArray(sum, ref, axes).data))
			squares := reduceArray(func(v []float64) float64 {
				total := 0.0
				for _, x := range v {
					total += x * x
				}
				return total
			}, ref, axes).data
			means := reduceArray(sum, ref, axes).data
			for _, ddof := range []int{0, 1} {
				variance, deviation, norm := make([]float64, len(squares)), make([]float64, len(squares)), make([]float64, len(squares))
				for i := range squares {
					variance[i] = (squares[i] - means[i]*means[i]/n) / (n - float64(ddof))
					deviation[i], norm[i] = math.Sqrt(variance[i]), math.Sqrt(squares[i])
				}
				tolerance := map[Dtype]float64{Float64: 1e-14, Float32: 1e-6, Float16: 1e-3, BFloat16: 8e-3}[dt]
				what := fmt.Sprint(dt, axes, ddof)
				wantNear(t, what+" Var", Var(x, false, ddof, axes...), variance, tolerance)
				wantNear(t, what+" Std", Std(x, true, ddof, axes...), deviation, tolerance)
				wantNear(t, what+" Norm", Norm(x, false, axes...), norm, tolerance)
			}
		}
	}
	if v := floats(t, Var(Ones(Float32, 1), false, 1))[0]; v == v {
		t.Errorf("the variance of one element is %v, want NaN", v)
	}
	wantError(t, Try(func() { Norm(Ones(Int32, 2), false) }), "tensor.Norm: want a floating-point dtype, got int32")
	wantError(t, Try(func() { Std(Ones(Float32, 2), false, 0, 1) }), "tensor.Std: axis 1 is out of range")
}

func wantNear(t *testing.T, what string, got *Tensor, want []float64, tolerance float64) {
	t.Helper()
	g := floats(t, got)
	for i := range want {
		if !near(g[i], want[i], tolerance*max(1, want[i])) {
			t.Errorf("%s: element %d is %v, want %v", what, i, g[i], want[i])
		}
	}
}
