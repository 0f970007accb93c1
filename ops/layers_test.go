package ops

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// forward runs f without recording and returns its only result.
func forward(t *testing.T, f func(...*autograd.Var) []*autograd.Var, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	tape := autograd.NoGrad()
	t.Cleanup(tape.Close)
	vars := make([]*autograd.Var, len(in))
	for i, x := range in {
		vars[i] = tape.Const(x)
	}
	return f(vars...)[0].Value()
}

// TestConv1D compares with the sum of the documentation.
func TestConv1D(t *testing.T) {
	const n, cin, cout = 2, 4, 6
	for _, c := range []struct{ length, width, stride, padding, dilation, groups int }{
		{7, 3, 1, 0, 1, 1}, {7, 3, 1, 2, 1, 2}, {9, 2, 3, 1, 2, 1}, {8, 4, 2, 5, 2, 2}, {3, 1, 1, 0, 1, 1}, {5, 5, 4, 0, 1, 2},
	} {
		x, w := normal(n, c.length, cin), normal(cout, c.width, cin/c.groups)
		xs, ws := values(t, x), values(t, w)
		steps := (c.length+2*c.padding-c.dilation*(c.width-1)-1)/c.stride + 1
		want := make([]float64, 0, n*steps*cout)
		for b := range n {
			for s := range steps {
				for o := range cout {
					sum, first := 0.0, o/(cout/c.groups)*(cin/c.groups)
					for i := range c.width {
						at := s*c.stride + i*c.dilation - c.padding
						for ch := 0; at >= 0 && at < c.length && ch < cin/c.groups; ch++ {
							sum += ws[(o*c.width+i)*cin/c.groups+ch] * xs[(b*c.length+at)*cin+first+ch]
						}
					}
					want = append(want, sum)
				}
			}
		}
		got := forward(t, convOf(Conv1DOptions{c.stride, c.padding, c.dilation, c.groups}), x, w)
		compare(t, "output", list(got), list(tensor.FromSlice(want, n, steps, cout)), 1e-13)
	}
}

// A causal ShortConv is a Conv1D of single channels.
func TestShortConvIsConv1D(t *testing.T) {
	conv := f2(func(x, w *autograd.Var) *autograd.Var {
		padded := Pad(x, [][2]int{{0, 0}, {3, 0}, {0, 0}}, 0)
		return Conv1D(padded, ExpandDims(w, 2), Conv1DOptions{Groups: 5})
	})
	gradcheck.Parity(t, f2(ShortConv), conv, list(normal(2, 9, 5), normal(5, 4)))
}

// TestRoPE compares with mlx.fast.rope of MLX 0.32.2, dims 4, base 100, scale
// 0.5, offset 7, of the numbers −3, −2.75, … [1, 2, 3, 6].
func TestRoPE(t *testing.T) {
	x := tensor.Reshape(tensor.Arange(-3, 6, 0.25, tensor.Float32), 1, 2, 3, 6)
	for _, c := range []struct {
		traditional bool
		want        []float64
	}{
		{false, []float64{1.9324119, -1.8117549, 3.3934913, -3.0565577, -2, -1.75, 0.22366291, -0.85926241, 1.7888473, -1.1775687, -0.5, -0.25,
			0.48876506, -0.10111241, -0.10539789, 0.78407669, 1, 1.25, -0.70311856, 0.87238216, -2.3990881, 2.7136598, 2.5, 2.75,
			0.68787789, 1.5331295, -4.5581598, 4.719588, 4, 4.25, 3.9390695, 1.9935541, -5.4528646, 6.7934332, 5.5, 5.75}},
		{true, []float64{1.8447162, 3.6276054, -1.5769117, -2.9708333, -2, -1.75, 0.034462273, 1.9522582, -0.62899721, -1.080214, -0.5, -0.25,
			0.24438253, -0.052698947, 0.12399936, 0.89281821, 1, 1.25, -0.7908144, -2.164974, 1.1072253, 2.7993841, 2.5, 2.75,
			0.49867725, -4.3947492, 1.7633946, 4.8169432, 4, 4.25, 3.6946871, -5.4001656, 2.2186661, 6.9021749, 5.5, 5.75}},
	} {
		o := RoPEOptions{Dims: 4, Base: 100, Scale: 0.5, Offset: 7, Traditional: c.traditional}
		compare(t, "output", list(forward(t, ropeOf(o), x)), list(tensor.FromSlice(c.want, 1, 2, 3, 6)), 1e-6)
	}
}

// TestRoPEFar checks angles over several blocks, far out and in parts, against
// their definition.
func TestRoPEFar(t *testing.T) {
	const steps, dims, offset = 300, 6, 100_000
	ones := tensor.Ones(tensor.Float64, steps, dims)
	want := make([]float64, steps*dims)
	for s := range steps {
		for j := range dims / 2 {
			sin, cos := math.Sincos(float64(offset+s) * math.Pow(10000, -2*float64(j)/dims))
			want[s*dims+j], want[s*dims+j+dims/2] = cos-sin, sin+cos
		}
	}
	whole := forward(t, ropeOf(RoPEOptions{Offset: offset}), ones)
	compare(t, "output", list(whole), list(tensor.FromSlice(want, steps, dims)), 1e-11)
	single := forward(t, ropeOf(RoPEOptions{Offset: offset}), tensor.Ones(tensor.Float32, steps, dims))
	compare(t, "output in float32", list(single), list(whole), 3e-7)
	last := forward(t, ropeOf(RoPEOptions{Offset: offset + steps - 1}), tensor.SliceAxis(ones, 0, 0, 1))
	compare(t, "the last step alone", list(last), list(tensor.SliceAxis(whole, 0, steps-1, steps)), 1e-11)
}

// TestAttention compares with loops over heads, queries and keys, for heads that
// share keys.
func TestAttention(t *testing.T) {
	const b, h, kv, queries, keys, d, e, scale = 2, 4, 2, 3, 5, 2, 3, 0.6
	q, k, v := normal(b, h, queries, d), normal(b, kv, keys, d), normal(b, kv, keys, e)
	qs, ks, vs := values(t, q), values(t, k), values(t, v)
	allowed := []bool{true, false, true, true, true, false, false, false, false, false, true, true, false, true, true}
	bias := normal(b, 1, queries, keys)
	added := values(t, bias)
	for _, c := range []struct {
		name    string
		options AttentionOptions
		seen    func(i, j int) bool
		bias    func(n, i, j int) float64
	}{
		{"plain", AttentionOptions{Scale: scale}, nil, nil},
		{"causal", AttentionOptions{Scale: scale, Causal: true}, func(i, j int) bool { return j <= i+keys-queries }, nil},
		{"mask", AttentionOptions{Scale: scale, Mask: tensor.FromSlice(allowed, queries, keys)}, func(i, j int) bool { return allowed[i*keys+j] }, nil},
		{"causal and mask", AttentionOptions{Scale: scale, Causal: true, Mask: tensor.FromSlice(allowed, queries, keys)},
			func(i, j int) bool { return allowed[i*keys+j] && j <= i+keys-queries }, nil},
		{"added", AttentionOptions{Scale: scale, Mask: bias}, nil, func(n, i, j int) float64 { return added[(n*queries+i)*keys+j] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := make([]float64, b*h*queries*e)
			for n := range b * h {
				for i := range queries {
					head, total := (n/h)*kv+n%h/(h/kv), 0.0
					row := want[(n*queries+i)*e:][:e]
					for j := range keys {
						if c.seen != nil && !c.seen(i, j) {
							continue
						}
						score := 0.0
						for x := range d {
							score += scale * qs[(n*queries+i)*d+x] * ks[(head*keys+j)*d+x]
						}
						if c.bias != nil {
							score += c.bias(n/h, i, j)
						}
						total += math.Exp(score)
						for x := range e {
							row[x] += math.Exp(score) * vs[(head*keys+j)*e+x]
						}
					}
					for x := range row {
						if total > 0 {
							row[x] /= total
						}
					}
				}
			}
			compare(t, "output", list(forward(t, attentionOf(c.options), q, k, v)), list(tensor.FromSlice(want, b, h, queries, e)), 1e-13)
		})
	}
}

// TestDropout checks how many elements are dropped, that the others are scaled,
// that the gradient goes the same way, and that keys decide.
func TestDropout(t *testing.T) {
	const n, rate = 1 << 14, 0.3
	x := tensor.Ones(tensor.Float32, n)
	drop := func(key *tensor.Tensor) func(...*autograd.Var) []*autograd.Var {
		return f1(func(x *autograd.Var) *autograd.Var { return Dropout(x, key, rate) })
	}
	outs, g := grads(t, drop(tensor.Key(1)), list(x), list(x))
	compare(t, "gradient", g, outs, 0) // of ones both are the factors
	kept := 0
	for i, v := range values(t, outs[0]) {
		if v != 0 && v != float64(float32(1/(1-rate))) {
			t.Fatalf("element %d is %v", i, v)
		}
		if v != 0 {
			kept++
		}
	}
	if share := float64(kept) / n; math.Abs(share-(1-rate)) > 0.02 { // five standard deviations
		t.Errorf("a share of %v is kept, want %v", share, 1-rate)
	}
	again := forward(t, drop(tensor.Key(1)), x)
	compare(t, "output of the same key", list(again), outs, 0)
	other := values(t, tensor.Sum(tensor.NotEqual(forward(t, drop(tensor.Key(2)), x), again), false))[0]
	if want := 2 * rate * (1 - rate) * n; math.Abs(other-want) > want/10 {
		t.Errorf("two keys differ in %v elements, want about %v", other, want)
	}
	poisoned := forward(t, drop(tensor.Key(1)), tensor.Where(tensor.Equal(again, tensor.Like(again, 0)), tensor.FullLike(x, math.NaN()), x))
	compare(t, "output without the dropped", list(poisoned), list(again), 0)
}

// TestDropoutInCheckpoint checks that the second run drops what the first did:
// gradients are those of a plain call, bit for bit.
func TestDropoutInCheckpoint(t *testing.T) {
	layer := f2(func(x, w *autograd.Var) *autograd.Var {
		return Dropout(SiLU(Dropout(MatMul(x, w), tensor.Key(3), 0.5)), tensor.Key(4), 0.1)
	})
	in := list(tensor.Normal(tensor.Key(1), 16, 8), tensor.Normal(tensor.Key(2), 8, 8))
	_, want := grads(t, layer, in, nil)
	_, got := grads(t, func(v ...*autograd.Var) []*autograd.Var { return autograd.Checkpoint(layer, v...) }, in, nil)
	compare(t, "gradient", got, want, 0)
}

// TestLongCumProd checks gradients of a product that underflows on the way and
// has a zero, in float32, against float64 sums of the definition.
func TestLongCumProd(t *testing.T) {
	const n = 300
	xs, gs := make([]float64, n), make([]float64, n)
	for i := range xs {
		xs[i] = float64(float32(0.6 + 0.3*math.Sin(float64(i))))
		gs[i] = float64(float32(math.Cos(float64(2 * i))))
	}
	xs[5] = 0
	want := make([]float64, n)
	for i := range want {
		product := 1.0
		for k := range i {
			product *= xs[k]
		}
		for j := i; j < n; j++ {
			if j > i {
				product *= xs[j]
			}
			want[i] += gs[j] * product
		}
	}
	f := f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 0, false, false) })
	_, got := grads(t, f, list(tensor.AsType(tensor.FromSlice(xs), tensor.Float32)), list(tensor.AsType(tensor.FromSlice(gs), tensor.Float32)))
	compare(t, "gradient", got, list(tensor.FromSlice(want)), 1e-6)
}

// TestTopK checks order and indices.
func TestTopK(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	v, indices := TopK(tape.Const(tensor.FromSlice([]float32{3, 9, 1, 7, 5, 2, 8, 4}, 2, 4)), 3, 1)
	compare(t, "value", list(v.Value(), indices), list(
		tensor.FromSlice([]float64{9, 7, 3, 8, 5, 4}, 2, 3), tensor.FromSlice([]float64{1, 3, 0, 2, 0, 3}, 2, 3)), 0)
}
