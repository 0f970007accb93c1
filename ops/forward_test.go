package ops

import (
	"math"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// TestForward compares ops that are more than a tensor function with loops that
// follow their definitions.
func TestForward(t *testing.T) {
	const b, steps, c, width, eps = 2, 5, 4, 3, 1e-3
	x, gate, weight, filters := normal(b, steps, c), normal(b, steps, c), normal(c), normal(c, width)
	xs, gates, ws, fs := values(t, x), values(t, gate), values(t, weight), values(t, filters)
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

	// each applies f to the rows of x.
	each := func(f func(row []float64, i int) float64) []float64 {
		out := make([]float64, len(xs))
		for i := range xs {
			out[i] = f(xs[i/c*c:i/c*c+c], i%c)
		}
		return out
	}
	sum := func(row []float64, f func(float64) float64) float64 {
		s := 0.0
		for _, v := range row {
			s += f(v)
		}
		return s
	}
	square := func(v float64) float64 { return v * v }
	rms := func(row []float64) float64 { return math.Sqrt(sum(row, square)/c + eps) }

	for _, test := range []struct {
		name string
		f    func(v ...*autograd.Var) *autograd.Var
		in   []*tensor.Tensor
		want []float64
	}{
		{"ReLU", func(v ...*autograd.Var) *autograd.Var { return ReLU(v[0]) }, list(x),
			each(func(row []float64, i int) float64 { return max(row[i], 0) })},
		{"SiLU", func(v ...*autograd.Var) *autograd.Var { return SiLU(v[0]) }, list(x),
			each(func(row []float64, i int) float64 { return row[i] * sigmoid(row[i]) })},
		{"GELU", func(v ...*autograd.Var) *autograd.Var { return GELU(v[0]) }, list(x),
			each(func(row []float64, i int) float64 { return row[i] * (1 + math.Erf(row[i]/math.Sqrt2)) / 2 })},
		{"GELUApprox", func(v ...*autograd.Var) *autograd.Var { return GELUApprox(v[0]) }, list(x),
			each(func(row []float64, i int) float64 {
				return row[i] * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(row[i]+0.044715*row[i]*row[i]*row[i]))) / 2
			})},
		{"LogSigmoid", func(v ...*autograd.Var) *autograd.Var { return LogSigmoid(v[0]) }, list(x),
			each(func(row []float64, i int) float64 { return math.Log(sigmoid(row[i])) })},
		{"ELU", func(v ...*autograd.Var) *autograd.Var { return ELU(v[0], 1.5) }, list(x),
			each(func(row []float64, i int) float64 { return max(row[i], 0) + 1.5*math.Expm1(min(row[i], 0)) })},
		{"LeakyReLU", func(v ...*autograd.Var) *autograd.Var { return LeakyReLU(v[0], 0.1) }, list(x),
			each(func(row []float64, i int) float64 { return max(row[i], 0) + 0.1*min(row[i], 0) })},
		{"LayerNorm", func(v ...*autograd.Var) *autograd.Var { return LayerNorm(v[0], v[1], v[1], eps) }, list(x, weight),
			each(func(row []float64, i int) float64 {
				mean := sum(row, func(v float64) float64 { return v }) / c
				variance := sum(row, func(v float64) float64 { return square(v - mean) }) / c
				return (row[i]-mean)/math.Sqrt(variance+eps)*ws[i] + ws[i]
			})},
		{"PadEdge", func(v ...*autograd.Var) *autograd.Var {
			return SliceAxis(PadEdge(SliceAxis(v[0], 1, 2, 3), [][2]int{{0, 0}, {2, 4}, {0, 0}}), 1, 1, 1+steps)
		}, list(x), func() []float64 {
			out := make([]float64, 0, len(xs))
			for n := range b {
				for range steps {
					out = append(out, xs[(n*steps+2)*c:][:c]...)
				}
			}
			return out
		}()},
		{"LogSoftmax", func(v ...*autograd.Var) *autograd.Var { return LogSoftmax(v[0], -1) }, list(x),
			each(func(row []float64, i int) float64 { return row[i] - math.Log(sum(row, math.Exp)) })},
		{"RMSNorm", func(v ...*autograd.Var) *autograd.Var { return RMSNorm(v[0], v[1], eps) }, list(x, weight),
			each(func(row []float64, i int) float64 { return row[i] / rms(row) * ws[i] })},
		{"RMSNorm without weight", func(v ...*autograd.Var) *autograd.Var { return RMSNorm(v[0], nil, eps) }, list(x),
			each(func(row []float64, i int) float64 { return row[i] / rms(row) })},
		{"RMSNormZeroCentered", func(v ...*autograd.Var) *autograd.Var { return RMSNormZeroCentered(v[0], v[1], eps) }, list(x, weight),
			each(func(row []float64, i int) float64 { return row[i] / rms(row) * (1 + ws[i]) })},
		{"L2Norm", func(v ...*autograd.Var) *autograd.Var { return L2Norm(v[0], eps) }, list(x),
			each(func(row []float64, i int) float64 { return row[i] / math.Sqrt(sum(row, square)+eps) })},
		{"GatedRMSNorm", func(v ...*autograd.Var) *autograd.Var { return GatedRMSNorm(v[0], v[1], v[2], eps) }, list(x, gate, weight),
			func() []float64 {
				out := each(func(row []float64, i int) float64 { return row[i] / rms(row) * ws[i] })
				for i, g := range gates {
					out[i] *= g * sigmoid(g)
				}
				return out
			}()},
		{"ShortConv", func(v ...*autograd.Var) *autograd.Var { return ShortConv(v[0], v[1]) }, list(x, filters),
			func() []float64 {
				out := make([]float64, len(xs))
				for n := range b {
					for s := range steps {
						for ch := range c {
							for i := range width {
								if from := s - width + 1 + i; from >= 0 {
									out[(n*steps+s)*c+ch] += fs[ch*width+i] * xs[(n*steps+from)*c+ch]
								}
							}
						}
					}
				}
				return out
			}()},
	} {
		t.Run(test.name, func(t *testing.T) {
			tape := autograd.NoGrad()
			defer tape.Close()
			vars := make([]*autograd.Var, len(test.in))
			for i, x := range test.in {
				vars[i] = tape.Const(x)
			}
			compare(t, "output", list(test.f(vars...).Value()), list(tensor.FromSlice(test.want, b, steps, c)), 1e-13)
		})
	}
}

// TestCrossEntropy compares all options with the definition.
func TestCrossEntropy(t *testing.T) {
	const n, classes = 5, 4
	logits := normal(n, classes)
	rows := values(t, logits)
	labels := []int32{3, IgnoreLabel, 0, 1, IgnoreLabel}
	loss := func(i int, smoothing float64) float64 {
		row := rows[i*classes : (i+1)*classes]
		z := 0.0
		for _, v := range row {
			z += math.Exp(v)
		}
		if labels[i] == IgnoreLabel {
			return 0
		}
		l := 0.0
		for k, v := range row {
			p := smoothing / classes
			if k == int(labels[i]) {
				p += 1 - smoothing
			}
			l -= p * (v - math.Log(z))
		}
		return l
	}
	for _, smoothing := range []float64{0, 0.1} {
		each := make([]float64, n)
		total := 0.0
		for i := range each {
			each[i] = loss(i, smoothing)
			total += each[i]
		}
		for reduction, want := range map[Reduction]*tensor.Tensor{
			ReduceMean: tensor.Scalar(total / 3), ReduceSum: tensor.Scalar(total), ReduceNone: tensor.FromSlice(each),
		} {
			tape := autograd.NoGrad()
			got := CrossEntropyWith(tape.Const(logits), tensor.FromSlice(labels), CrossEntropyOptions{smoothing, reduction})
			compare(t, "loss", list(got.Value()), list(want), 1e-13)
			tape.Close()
		}
	}
}

// TestCrossEntropyLabels tries labels of every integer dtype, labels that are
// known only when evaluated, and none at all.
func TestCrossEntropyLabels(t *testing.T) {
	logits := tensor.FromSlice([]float32{1, 2, 3, 0, 0, 0}, 2, 3)
	want := math.Log(math.Exp(-1)+1+math.Exp(1)) + math.Log(3)
	f := func(labels *tensor.Tensor) func(...*autograd.Var) []*autograd.Var {
		return f1(func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, labels) })
	}
	ones := list(tensor.Scalar(float32(1)))
	for _, d := range []tensor.Dtype{tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16, tensor.Uint32, tensor.Int32, tensor.Uint64, tensor.Int64} {
		for _, labels := range []*tensor.Tensor{
			tensor.AsType(ints(1, 2), d),
			tensor.Add(tensor.AsType(ints(0, 1), d), tensor.Ones(d, 2)), // not known on the host
		} {
			got, _ := grads(t, f(labels), list(logits), ones)
			if v := values(t, got[0])[0]; math.Abs(v-want/2) > 1e-6 {
				t.Errorf("labels of %v: loss %v, want %v", d, v, want/2)
			}
		}
	}

	all := ints(IgnoreLabel, IgnoreLabel)
	got, d := grads(t, f(all), list(logits), ones)
	compare(t, "loss without labels", got, list(tensor.Scalar(0.0)), 0)
	compare(t, "gradient without labels", d, list(tensor.Zeros(tensor.Float64, 2, 3)), 0)

	outside := tensor.Add(ints(1, 2), ints(0, 1))
	got, _ = grads(t, f(outside), list(logits), ones)
	if v := values(t, got[0])[0]; !math.IsNaN(v) {
		t.Errorf("a label out of range that the host does not know: loss %v, want NaN", v)
	}
}

// TestCrossEntropyRange checks that large logits neither overflow nor lose the
// loss.
func TestCrossEntropyRange(t *testing.T) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16} {
		logits := tensor.AsType(tensor.FromSlice([]float32{1e4, 1e4 - 64, -1e4}, 1, 3), d)
		got, g := grads(t, f1(func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, ints(1)) }), list(logits), list(tensor.Scalar(float32(1))))
		compare(t, "loss", got, list(tensor.Scalar(64.0)), 1e-6)
		compare(t, "gradient", g, list(tensor.FromSlice([]float64{1, -1, 0}, 1, 3)), 1e-6)
	}
}

// TestHandles checks that an op leaves no tensor behind when its tape closes,
// constants that it makes included.
func TestHandles(t *testing.T) {
	x, ids := tensor.Normal(tensor.Key(1), 3, 4), tensor.FromSlice([]int32{1, 0, 3})
	along, key, mask := tensor.Reshape(ids, 3, 1), tensor.Key(1), tensor.Ones(tensor.Bool, 3, 3)
	for _, c := range []struct {
		name string
		f    func(x *autograd.Var) *autograd.Var
	}{
		{"CrossEntropy", func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, ids) }},
		{"TakeAlong", func(x *autograd.Var) *autograd.Var { return TakeAlong(x, along, 1) }},
		{"Embedding", func(x *autograd.Var) *autograd.Var { return Embedding(Reshape(x, 4, 3), ids) }},
		{"Pow", func(x *autograd.Var) *autograd.Var { return Pow(x, x) }},
		{"ShortConv", func(x *autograd.Var) *autograd.Var { return ShortConv(ExpandDims(x, 0), Reshape(x, 4, 3)) }},
		{"RMSNorm", func(x *autograd.Var) *autograd.Var { return RMSNorm(x, nil, 1e-6) }},
		{"RoPE", func(x *autograd.Var) *autograd.Var { return RoPE(x, RoPEOptions{}) }},
		{"Dropout", func(x *autograd.Var) *autograd.Var { return Dropout(x, key, 0.5) }},
		{"Einsum", func(x *autograd.Var) *autograd.Var { return Einsum("ii,ij->j", SliceAxis(x, 1, 0, 3), x) }},
		{"CumProd", func(x *autograd.Var) *autograd.Var { return CumProd(x, 0, true, true) }},
		{"TopK", func(x *autograd.Var) *autograd.Var { y, _ := TopK(x, 2, 0); return y }},
		{"Var", func(x *autograd.Var) *autograd.Var { return Var(x, false, 1) }},
		{"Conv1D", func(x *autograd.Var) *autograd.Var {
			return Conv1D(ExpandDims(x, 0), ExpandDims(x, 0), Conv1DOptions{Padding: 1})
		}},
		{"ScaledDotProductAttention", func(x *autograd.Var) *autograd.Var {
			x = ExpandDims(x, 0, 1)
			return ScaledDotProductAttention(x, x, x, AttentionOptions{Causal: true, Mask: mask})
		}},
	} {
		before := tensor.Live()
		tape := autograd.NewTape()
		v := tape.Var(x)
		y := Sum(c.f(v), false)
		if _, err := tape.Backward(y); err != nil {
			t.Fatal(err)
		}
		tape.Close()
		if after := tensor.Live(); after > before {
			t.Errorf("%s: %d tensors are left", c.name, after-before)
		}
	}
}
