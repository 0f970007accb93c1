package tensor

import (
	"fmt"
	"math"
	"testing"
)

// Long sums don't lose what is small beside them.
func TestLongSums(t *testing.T) {
	for _, c := range []struct {
		shape []int
		axes  []int
	}{
		{[]int{1 << 18}, nil}, {[]int{100_003}, []int{0}}, {[]int{513}, []int{-1}}, {[]int{3, 5000}, []int{1}},
		{[]int{5000, 3}, []int{0}}, {[]int{100, 100, 20}, []int{2, 0}}, {[]int{40, 50, 60}, nil}, {[]int{700, 2, 600}, []int{0, -1}},
	} {
		n := product(c.shape)
		data := make([]float64, n)
		for i := range data {
			data[i] = 7.389 + 0.1*math.Sin(float64(i))
		}
		for _, dt := range floatTypes {
			x := AsType(FromSlice(data, c.shape...), dt)
			back := Transpose(AsType(Transpose(FromSlice(data, c.shape...)), dt)) // not contiguous
			ref := array{c.shape, floats(t, x)}
			total := reduceArray(sum, ref, c.axes)
			count := float64(n / len(total.data))
			tolerance := map[Dtype]float64{Float64: 1e-13, Float32: 3e-6, BFloat16: 8e-3, Float16: 1e-3}[dt]
			for _, x := range []*Tensor{x, back} {
				what := fmt.Sprint(dt, c.shape, c.axes)
				if count*8 < 65000 || dt != Float16 {
					wantClose(t, floats(t, Sum(x, false, c.axes...)), total.data, tolerance)
				}
				mean := Mean(x, true, c.axes...)
				if mean.Dtype() != dt || fmt.Sprint(mean.Shape()) != fmt.Sprint(total.shape) {
					t.Errorf("%s: %s %v", what, mean.Dtype(), mean.Shape())
				}
				got := floats(t, mean)
				for i := range got {
					if !near(got[i], total.data[i]/count, tolerance) {
						t.Errorf("%s: mean %v, want %v", what, got[i], total.data[i]/count)
						break
					}
				}
				if t.Failed() {
					t.Fatal(what)
				}
			}
		}
	}
}

// 16 bits count past 256 and 2048.
func TestNarrowSums(t *testing.T) {
	for _, dt := range []Dtype{Float16, BFloat16} {
		x := Contiguous(Ones(dt, 4096))
		wantTensor(t, Sum(x, false), dt, []int{}, 4096)
		wantTensor(t, Sum(Reshape(x, 64, 64), false, 0, 1), dt, []int{}, 4096)
		wantTensor(t, Mean(x, false), dt, []int{}, 1)
		wantTensor(t, SliceAxis(CumSum(x, 0, false, false), 0, 4095, 4096), dt, []int{1}, 4096)
		wantTensor(t, SliceAxis(CumSum(x, 0, true, true), 0, 0, 1), dt, []int{1}, map[Dtype]float64{Float16: 4096, BFloat16: 4096}[dt])
		wantTensor(t, ScatterAdd(Zeros(dt, 1), Zeros(Int32, 4096), x, 0), dt, []int{1}, 4096)
		wantTensor(t, MatMul(x, x), dt, []int{}, 4096)
		wantTensor(t, Prod(Full(1.0078125, dt, 256), false), dt, []int{}, map[Dtype]float64{Float16: 7.33203125, BFloat16: 7.34375}[dt])
	}
}
