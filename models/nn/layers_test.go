package nn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
)

func normal(seed uint64, shape ...int) *tensor.Tensor {
	return tensor.Normal(tensor.Key(seed), shape...)
}

// set gives a parameter values away from its initial ones and zeros.
func set(p *autograd.Param, seed uint64) {
	p.SetValue(tensor.AddScalar(tensor.MulScalar(normal(seed, p.Value().Shape()...), 0.3), 0.7))
}

// TestGradients checks every layer's gradients of input and parameters against
// finite differences.
func TestGradients(t *testing.T) {
	layer := func(m interface {
		Forward(*autograd.Tape, *autograd.Var) *autograd.Var
	}) (any, layertest.Forward) {
		return m, func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var { return m.Forward(tape, in[0]) }
	}
	norm, centred, gated := nn.NewRMSNorm(5, 1e-6), nn.NewZeroCenteredRMSNorm(5, 1e-6), nn.NewGatedRMSNorm(5, 1e-6)
	set(norm.Weight, 11)
	set(centred.Weight, 12)
	set(gated.Weight, 13)
	biased := nn.NewLinear(tensor.Key(2), 5, 3, true)
	set(biased.Bias, 14)
	conv := nn.NewShortConv(tensor.Key(5), 5, 3)
	table := nn.NewEmbedding(tensor.Key(6), 7, 5)

	t.Run("Linear", func(t *testing.T) {
		m, f := layer(nn.NewLinear(tensor.Key(1), 5, 3, false))
		layertest.Gradients(t, m, f, normal(1, 2, 3, 5))
	})
	t.Run("Linear with bias, one axis", func(t *testing.T) {
		m, f := layer(biased)
		layertest.Gradients(t, m, f, normal(2, 5))
	})
	t.Run("RMSNorm", func(t *testing.T) {
		m, f := layer(norm)
		layertest.Gradients(t, m, f, normal(3, 2, 3, 5))
	})
	t.Run("RMSNorm, zero-centred", func(t *testing.T) {
		m, f := layer(centred)
		layertest.Gradients(t, m, f, normal(4, 2, 5))
	})
	t.Run("GatedRMSNorm", func(t *testing.T) {
		f := func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var { return gated.Forward(tape, in[0], in[1]) }
		layertest.Gradients(t, gated, f, normal(5, 2, 2, 5), normal(6, 2, 2, 5))
	})
	t.Run("ShortConv", func(t *testing.T) {
		m, f := layer(conv)
		layertest.Gradients(t, m, f, normal(7, 2, 4, 5))
	})
	t.Run("ShortConv continued", func(t *testing.T) {
		f := func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var {
			y, _ := conv.Continue(tape, in[0], in[1])
			return y
		}
		layertest.Gradients(t, conv, f, normal(8, 2, 3, 5), normal(9, 2, 2, 5))
	})
	t.Run("SwiGLU", func(t *testing.T) {
		m, f := layer(nn.NewSwiGLU(tensor.Key(3), 5, 4))
		layertest.Gradients(t, m, f, normal(10, 2, 2, 5))
	})
	t.Run("Embedding", func(t *testing.T) {
		ids := tensor.FromSlice([]int32{3, 0, 3, 6}, 2, 2) // 3 comes twice
		layertest.Gradients(t, table, func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var {
			return table.Forward(tape, ids)
		})
	})
	t.Run("Embedding as output", func(t *testing.T) {
		layertest.Gradients(t, table, func(tape *autograd.Tape, in ...*autograd.Var) *autograd.Var {
			return table.Logits(tape, in[0])
		}, normal(15, 2, 3, 5))
	})
}

// TestForwardValues compares layers with plain Go.
func TestForwardValues(t *testing.T) {
	const b, n, d = 2, 5, 3
	x := tensor.AsType(normal(1, b, n, d), tensor.Float64)
	gate := tensor.AsType(normal(2, b, n, d), tensor.Float64)
	xs, gs := layertest.Floats(t, x), layertest.Floats(t, gate)
	silu := func(v float64) float64 { return v / (1 + math.Exp(-v)) }
	rms := func(i int) float64 { // of the row of element i
		sum := 0.0
		for _, v := range xs[i/d*d : i/d*d+d] {
			sum += v * v
		}
		return math.Sqrt(sum/d + 1e-6)
	}
	norm, centred, gated := nn.NewRMSNorm(d, 1e-6), nn.NewZeroCenteredRMSNorm(d, 1e-6), nn.NewGatedRMSNorm(d, 1e-6)
	conv, linear := nn.NewShortConv(tensor.Key(3), d, 4), nn.NewLinear(tensor.Key(4), d, 2, true)
	set(norm.Weight, 5)
	set(centred.Weight, 6)
	set(gated.Weight, 7)
	set(linear.Bias, 8)
	for _, m := range []any{norm, centred, gated, conv, linear} {
		nn.Cast(m, tensor.Float64)
	}
	wn, wc, wg := layertest.Floats(t, norm.Weight.Value()), layertest.Floats(t, centred.Weight.Value()), layertest.Floats(t, gated.Weight.Value())
	taps := layertest.Floats(t, conv.Weight.Value())
	w, bias := layertest.Floats(t, linear.Weight.Value()), layertest.Floats(t, linear.Bias.Value())

	for _, test := range []struct {
		name    string
		forward func(tape *autograd.Tape, x, gate *autograd.Var) *autograd.Var
		shape   []int
		want    func(i int) float64
	}{
		{"RMSNorm", func(tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var { return norm.Forward(tape, x) },
			[]int{b, n, d}, func(i int) float64 { return xs[i] / rms(i) * wn[i%d] }},
		{"zero-centred", func(tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var { return centred.Forward(tape, x) },
			[]int{b, n, d}, func(i int) float64 { return xs[i] / rms(i) * (1 + wc[i%d]) }},
		{"gated", func(tape *autograd.Tape, x, gate *autograd.Var) *autograd.Var { return gated.Forward(tape, x, gate) },
			[]int{b, n, d}, func(i int) float64 { return xs[i] / rms(i) * wg[i%d] * silu(gs[i]) }},
		{"ShortConv", func(tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var { return conv.Forward(tape, x) },
			[]int{b, n, d}, func(i int) float64 {
				sum, time := 0.0, i/d%n
				for tap := range 4 {
					if back := 3 - tap; back <= time {
						sum += taps[i%d*4+tap] * xs[i-back*d]
					}
				}
				return silu(sum)
			}},
		{"Linear", func(tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var { return linear.Forward(tape, x) },
			[]int{b, n, 2}, func(i int) float64 {
				row, out := i/2, i%2
				sum := bias[out]
				for j := range d {
					sum += xs[row*d+j] * w[out*d+j]
				}
				return sum
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tape := autograd.NoGrad()
			defer tape.Close()
			got := test.forward(tape, tape.Const(x), tape.Const(gate)).Value()
			want := make([]float64, got.Size())
			for i := range want {
				want[i] = test.want(i)
			}
			layertest.Close(t, "y", got, tensor.FromSlice(want, test.shape...), 1e-14)
		})
	}
}

// TestShortConvContinues cuts a sequence in pieces: the outputs must not tell.
func TestShortConvContinues(t *testing.T) {
	conv := nn.NewShortConv(tensor.Key(1), 3, 4)
	x := normal(2, 2, 9, 3)
	tape := autograd.NoGrad()
	defer tape.Close()
	whole := conv.Forward(tape, tape.Const(x)).Value()
	for _, cuts := range [][]int{{1, 2, 3, 4, 5, 6, 7, 8}, {5}, {2, 8}} {
		tail := tape.Const(tensor.Zeros(tensor.Float32, 2, 3, 3))
		var parts []*tensor.Tensor
		for i, part := range tensor.SplitAt(x, 1, cuts...) {
			var y *autograd.Var
			y, tail = conv.Continue(tape, tape.Const(part), tail)
			if got := tail.Shape(); got[1] != 3 {
				t.Fatalf("part %d leaves a tail %v", i, got)
			}
			parts = append(parts, y.Value())
		}
		layertest.Close(t, "y", tensor.Concat(1, parts...), whole, 1e-6)
	}
}

// TestLinearMixesDtypes checks that each gradient has its operand's dtype.
func TestLinearMixesDtypes(t *testing.T) {
	l := nn.NewLinear(tensor.Key(1), 4, 3, true)
	nn.Cast(l, tensor.BFloat16)
	tape := autograd.NewTape()
	defer tape.Close()
	x := tape.Var(normal(2, 5, 4))
	y := l.Forward(tape, x)
	grads, err := tape.Grad([]*autograd.Var{y}, []*tensor.Tensor{tensor.Ones(y.Dtype(), 5, 3)}, x, tape.Param(l.Weight), tape.Param(l.Bias))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []tensor.Dtype{tensor.Float32, tensor.BFloat16, tensor.BFloat16} {
		if got := grads[i].Dtype(); got != want {
			t.Errorf("gradient %d is %s, want %s", i, got, want)
		}
	}
}

// TestInitialScale checks that layers keep unit inputs at about unit size.
func TestInitialScale(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	x := tape.Const(normal(1, 64, 256))
	table := nn.NewEmbedding(tensor.Key(3), 100, 256)
	nn.Scale(table.Weight, 1.0/16)
	for name, y := range map[string]*autograd.Var{
		"Linear":           nn.NewLinear(tensor.Key(2), 256, 100, true).Forward(tape, x),
		"Embedding":        nn.NewEmbedding(tensor.Key(3), 100, 256).Forward(tape, tensor.Arange(0, 100, 1, tensor.Int32)),
		"Embedding.Logits": table.Logits(tape, x),
	} {
		std := 0.0
		for _, v := range layertest.Floats(t, y.Value()) {
			std += v * v / float64(y.Value().Size())
		}
		if std = math.Sqrt(std); std < 0.9 || std > 1.1 {
			t.Errorf("%s gives outputs of size %.3g", name, std)
		}
	}
	for i, v := range layertest.Floats(t, nn.NewShortConv(tensor.Key(4), 50, 4).Weight.Value()) {
		if math.Abs(v) > 0.5 {
			t.Fatalf("tap %d is %v, want at most 1/√4", i, v)
		}
	}
}

// TestMisuse checks that wrong sizes and shapes panic with an error that names
// what was expected and what came.
func TestMisuse(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	x := tape.Const(normal(1, 2, 4, 5))
	key := tensor.Key(1)
	conv := nn.NewShortConv(key, 5, 4)
	for _, test := range []struct {
		name string
		call func()
		want []string
	}{
		{"Linear sizes", func() { nn.NewLinear(key, 0, 3, false) }, []string{"nn.NewLinear", "1 or more", "[0 3]"}},
		{"Embedding sizes", func() { nn.NewEmbedding(key, 3, -1) }, []string{"nn.NewEmbedding", "[3 -1]"}},
		{"RMSNorm size", func() { nn.NewRMSNorm(0, 1e-6) }, []string{"nn.NewRMSNorm"}},
		{"ShortConv sizes", func() { nn.NewShortConv(key, 5, 0) }, []string{"nn.NewShortConv", "[5 0]"}},
		{"SwiGLU sizes", func() { nn.NewSwiGLU(key, 5, 0) }, []string{"nn.NewSwiGLU"}},
		{"Linear", func() { nn.NewLinear(key, 6, 3, false).Forward(tape, x) }, []string{"nn.Linear", "[2 4 5] x [3 6]"}},
		{"Logits", func() { nn.NewEmbedding(key, 7, 6).Logits(tape, x) }, []string{"nn.Linear", "[2 4 5] x [7 6]"}},
		{"RMSNorm", func() { nn.NewRMSNorm(4, 1e-6).Forward(tape, x) }, []string{"nn.RMSNorm", "[..., 4]", "[2 4 5]"}},
		{"GatedRMSNorm", func() { nn.NewGatedRMSNorm(4, 1e-6).Forward(tape, x, x) }, []string{"nn.GatedRMSNorm", "[2 4 5]"}},
		{"ShortConv", func() { nn.NewShortConv(key, 4, 4).Forward(tape, x) }, []string{"nn.ShortConv", "[B, T, 4]", "[2 4 5]"}},
		{"ShortConv tail", func() { conv.Continue(tape, x, x) }, []string{"nn.ShortConv.Continue", "[B, 3, C]", "[2 4 5]"}},
		{"token id", func() { nn.NewEmbedding(key, 7, 5).Forward(tape, tensor.FromSlice([]int32{1, 7})) }, []string{"7", "out of range"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := tensor.Try(test.call)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %q", err, want)
				}
			}
		})
	}
}
