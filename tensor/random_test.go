package tensor

import (
	"math"
	"slices"
	"testing"
)

// moments returns mean and variance.
func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		variance += (x - mean) * (x - mean) / float64(len(v))
	}
	return mean, variance
}

func TestRandomDependsOnTheKeyAlone(t *testing.T) {
	draw := func(key *Tensor) map[string]*Tensor {
		return map[string]*Tensor{
			"Normal": Normal(key, 3, 5), "Uniform": Uniform(key, -1, 2, 3, 5), "RandInt": RandInt(key, -100, 100, 3, 5),
			"Bernoulli": Bernoulli(key, 0.5, 40), "Categorical": Categorical(key, Zeros(Float32, 40, 9)),
			"Permutation": Permutation(key, 20), "Split": Split(key, 2)[1],
		}
	}
	a, b, c := draw(Key(5)), draw(Key(5)), draw(Key(6))
	for name := range a {
		x, y, z := floats(t, a[name]), floats(t, b[name]), floats(t, c[name])
		if !slices.Equal(x, y) {
			t.Errorf("%s: the same key gives other numbers", name)
		}
		if slices.Equal(x, z) {
			t.Errorf("%s: another key gives the same numbers", name)
		}
	}
	seen := map[[2]float64]bool{}
	for _, k := range append(Split(Key(5), 50), Key(5)) {
		v := floats(t, k)
		seen[[2]float64{v[0], v[1]}] = true
		if k.Dtype() != Uint32 || k.Size() != 2 {
			t.Fatalf("a key is %s %v", k.Dtype(), k.Shape())
		}
	}
	if len(seen) != 51 {
		t.Errorf("51 keys, of which %d differ", len(seen))
	}
	if k := floats(t, Key(1<<63+7)); k[0] != 1<<31 || k[1] != 7 {
		t.Errorf("key of a large seed is %v", k)
	}
}

func TestRandomDistributions(t *testing.T) {
	const n = 40000
	key := Key(11)
	mean, variance := moments(floats(t, Normal(key, n)))
	if math.Abs(mean) > 0.02 || math.Abs(variance-1) > 0.03 {
		t.Errorf("normal: mean %v, variance %v", mean, variance)
	}
	u := floats(t, Uniform(key, 2, 6, n))
	mean, variance = moments(u)
	if math.Abs(mean-4) > 0.03 || math.Abs(variance-16.0/12) > 0.03 || slices.Min(u) < 2 || slices.Max(u) >= 6 {
		t.Errorf("uniform: mean %v, variance %v, from %v to %v", mean, variance, slices.Min(u), slices.Max(u))
	}
	mean, _ = moments(floats(t, Bernoulli(key, 0.3, n)))
	if math.Abs(mean-0.3) > 0.01 {
		t.Errorf("bernoulli: mean %v, want 0.3", mean)
	}
	counts := make([]float64, 3)
	logits := BroadcastTo(FromSlice([]float32{0, float32(math.Log(3)), float32(math.Inf(-1))}), n, 3)
	for _, v := range floats(t, Categorical(key, logits)) {
		counts[int(v)] += 1.0 / n
	}
	if math.Abs(counts[0]-0.25) > 0.01 || counts[2] != 0 {
		t.Errorf("categorical: %v, want 0.25 0.75 0", counts)
	}
	p := floats(t, Permutation(key, 1000))
	slices.Sort(p)
	for i, v := range p {
		if int(v) != i {
			t.Fatalf("a permutation lacks %d", i)
		}
	}
	wantTensor(t, Bernoulli(key, 1, 3), Bool, []int{3}, 1, 1, 1)
	wantTensor(t, Bernoulli(key, 0, 3), Bool, []int{3}, 0, 0, 0)
	wantTensor(t, Uniform(key, 2, 2, 2), Float32, []int{2}, 2, 2)
}

// Integers keep to their range, are even and odd alike, and reach both ends,
// for ranges that float32 can't count.
func TestRandInt(t *testing.T) {
	for _, c := range [][2]int{{0, 3}, {-5, 6}, {1 << 24, 1<<24 + 3}, {math.MaxInt32 - 4, math.MaxInt32}, {math.MinInt32, math.MinInt32 + 2}} {
		x := RandInt(Key(3), c[0], c[1], 2000)
		seen := map[int]int{}
		for _, v := range x.ints(t) {
			seen[int(v)]++
		}
		n := c[1] - c[0]
		for i := c[0]; i < c[1]; i++ {
			if got, want := float64(seen[i]), 2000/float64(n); math.Abs(got-want) > 6*math.Sqrt(want) {
				t.Errorf("[%d, %d): %d came %v times of 2000", c[0], c[1], i, got)
			}
		}
		if len(seen) != n || *x.bounds != (bounds{int64(c[0]), int64(c[1]) - 1}) {
			t.Errorf("[%d, %d): %d different numbers, bounds %v", c[0], c[1], len(seen), *x.bounds)
		}
	}
	odd := 0
	for _, v := range RandInt(Key(4), math.MinInt32, math.MaxInt32, 1000).ints(t) {
		odd += int(v & 1)
	}
	if odd < 400 || odd > 600 {
		t.Errorf("%d odd numbers of 1000", odd)
	}
	s := newTestScope(t)
	if x := RandInt(s.Use(Key(1)), 0, 5, 2); x.scope != s {
		t.Error("the numbers are not in the key's scope")
	}
}

func (t *Tensor) ints(tb testing.TB) []int32 {
	tb.Helper()
	data, err := Data[int32](t)
	return must(tb, data, err)
}

func TestRandomRefuses(t *testing.T) {
	key := Key(1)
	for _, c := range []struct {
		f    func()
		text string
	}{
		{func() { Normal(Ones(Float32, 2), 1) }, "tensor.Normal: want a key made by Key or Split (uint32 [2]), got float32: [2]"},
		{func() { Normal(nil, 1) }, "tensor.Normal: an operand is nil"},
		{func() { Normal(key, -1) }, "tensor.Normal: a length in the shape [-1] is not between"},
		{func() { Normal(key, 1<<20, 1<<20) }, "tensor.Normal: the result of shape [1048576 1048576]"},
		{func() { Split(key, 0) }, "tensor.Split: want n >= 1, got 0"},
		{func() { Uniform(key, 1, 0, 1) }, "tensor.Uniform: want finite low <= high, got 1 and 0"},
		{func() { Uniform(key, math.Inf(-1), 0, 1) }, "want finite low <= high"},
		{func() { Uniform(key, math.NaN(), 0, 1) }, "want finite low <= high"},
		{func() { RandInt(key, 3, 3, 1) }, "tensor.RandInt: want low < high, both in 32 bits, got 3 and 3"},
		{func() { RandInt(key, 0, 1<<31, 1) }, "both in 32 bits"},
		{func() { Bernoulli(key, 1.1, 1) }, "tensor.Bernoulli: want a probability, got 1.1"},
		{func() { Bernoulli(key, math.NaN(), 1) }, "want a probability, got NaN"},
		{func() { Categorical(key, Scalar(1.0)) }, "tensor.Categorical: want a last axis of length 1 or more: []"},
		{func() { Categorical(key, Zeros(Float32, 2, 0)) }, "want a last axis of length 1 or more: [2 0]"},
		{func() { Permutation(key, -1) }, "tensor.Permutation: a length in the shape [-1] is not between"},
	} {
		wantPanic(t, c.f, c.text)
	}
	for _, x := range []*Tensor{Normal(key, 0, 3), Uniform(key, 0, 1, 0), RandInt(key, 0, 3, 0), Bernoulli(key, 0.5, 0), Permutation(key, 0)} {
		if got := floats(t, x); len(got) != 0 {
			t.Errorf("%v of nothing", got)
		}
	}
	wantTensor(t, Categorical(key, Ones(Float32, 0, 3)), Uint32, []int{0})
}
