package tensor

import (
	"math"
	"testing"
)

// TestManyExponentials compares float32 tensors that are long enough for powers
// with Go's functions, over the whole range.
func TestManyExponentials(t *testing.T) {
	inf := math.Inf(1)
	xs := []float32{0, float32(inf), float32(-inf), float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32, 1e-30, -1e-30,
		1, -1, 88.72, 88.73, -87.33, -87.34, -103, 200, -200}
	for x := float32(-90); x < 90; x += 0.0371 {
		xs = append(xs, x)
	}
	if len(xs) < manyElements {
		t.Fatalf("%d numbers are too few", len(xs))
	}
	x := newTestScope(t).Use(FromSlice(xs))
	for _, c := range []struct {
		name string
		f    func(*Tensor) *Tensor
		ref  func(float64) float64
	}{{"Exp", Exp, math.Exp}, {"Sigmoid", Sigmoid, sigmoid}} {
		t.Run(c.name, func(t *testing.T) {
			got, bad := floats(t, AsType(c.f(x), Float64)), 0
			for i, x := range xs {
				want := float64(float32(c.ref(float64(x))))
				ok := got[i] == want || got[i] != got[i] && want != want || math.Abs(got[i]-want) <= 5e-7*want ||
					want < 0x1p-126 && got[i] <= 0x1p-126 // subnormal numbers count as zero
				if !ok {
					if bad++; bad < 5 {
						t.Errorf("%s(%g) = %v, want %v", c.name, x, got[i], want)
					}
				}
			}
		})
	}
}

// TestLargeSoftmax checks a softmax in float32 that is made of powers, to what the
// rounding of differences of 100 leaves.
func TestLargeSoftmax(t *testing.T) {
	s := newTestScope(t)
	inf := math.Inf(1)
	x := make([]float64, 8*512)
	for i := range x {
		x[i] = float64(float32(50 * math.Sin(float64(i))))
	}
	for i := range 512 {
		x[i], x[1024+i] = -inf, 1e38
	}
	x[700] = math.NaN()
	for i := 512; i < 1024; i += 2 {
		x[i] = -inf
	}
	data := s.Use(FromSlice(x, 8, 512))
	for _, axis := range []int{0, 1} {
		got := Softmax(AsType(data, Float32), axis)
		want := floats(t, Softmax(data, axis))
		for i, g := range floats(t, AsType(got, Float64)) {
			if g != g && want[i] != want[i] {
				continue
			}
			if !(math.Abs(g-want[i]) <= 1e-5*want[i]+1e-37) {
				t.Fatalf("axis %d, element %d: got %v, want %v", axis, i, g, want[i])
			}
		}
	}
}

// TestExponentialSlopes checks that MLX's own differentiation of the powers has
// the slopes of what they stand for, and none that is NaN far out.
func TestExponentialSlopes(t *testing.T) {
	for _, d := range []Dtype{Float32, Float64} {
		s := newTestScope(t)
		xs := make([]float64, manyElements)
		for i := range xs {
			xs[i] = 0.4 * float64(i-len(xs)/2)
		}
		x := s.Use(AsType(FromSlice(xs), d))
		_, grads, err := VJP(func(in []*Tensor) []*Tensor { return []*Tensor{Sigmoid(in[0])} }, []*Tensor{x}, []*Tensor{OnesLike(x)})
		must(t, 0, err)
		for i, got := range floats(t, AsType(grads[0], Float64)) {
			p := sigmoid(xs[i])
			if want := p * (1 - p); !(math.Abs(got-want) <= 1e-6*want+1e-15) {
				t.Fatalf("%v: the slope of Sigmoid at %g is %v, want %v", d, xs[i], got, want)
			}
		}
	}
}

func BenchmarkExponential(b *testing.B) {
	x := Normal(Key(1), 1<<20)
	must(b, 0, Eval(x))
	for _, c := range []struct {
		name string
		f    func(*Tensor) *Tensor
	}{{"Exp", Exp}, {"Sigmoid", Sigmoid}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				y := c.f(x)
				must(b, 0, Eval(y))
				Free(y)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N<<20), "ns/element")
		})
	}
}
