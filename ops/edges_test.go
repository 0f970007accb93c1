package ops

import (
	"math"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

var inf = math.Inf(1)

// TestKinks pins the gradients at points where a function has no derivative or
// an infinite one, and where the formula of the derivative breaks down. Seeds
// are ones.
func TestKinks(t *testing.T) {
	row := func(v ...float64) *tensor.Tensor { return tensor.FromSlice(v) }
	for _, c := range []struct {
		name string
		f    func(v ...*autograd.Var) []*autograd.Var
		in   []*tensor.Tensor
		want [][]float64
	}{
		{"Abs at 0", f1(Abs), list(row(0)), [][]float64{{0}}},
		{"ReLU at 0", f1(ReLU), list(row(0)), [][]float64{{0}}},
		{"Maximum ties", f2(Maximum), list(row(1, -inf), row(1, -inf)), [][]float64{{0.5, 0.5}, {0.5, 0.5}}},
		{"Minimum ties", f2(Minimum), list(row(1), row(1)), [][]float64{{0.5}, {0.5}}},
		{"Max ties", f1(func(x *autograd.Var) *autograd.Var { return Max(x, false) }), list(row(1, 3, 3)), [][]float64{{0, 0.5, 0.5}}},
		{"Min ties", f1(func(x *autograd.Var) *autograd.Var { return Min(x, false, 0) }), list(row(1, 1, 1, 1, 3)), [][]float64{{0.25, 0.25, 0.25, 0.25, 0}}},
		{"Clip ends", f1(func(x *autograd.Var) *autograd.Var { return Clip(x, -1, 2) }), list(row(-1, 2, -1.5, 2.5)), [][]float64{{1, 1, 0, 0}}},
		{"Sqrt at 0", f1(Sqrt), list(row(0)), [][]float64{{inf}}},
		{"Rsqrt at 0", f1(Rsqrt), list(row(0)), [][]float64{{-inf}}},
		{"Pow at 0", f2(Pow), list(row(0, 0, 0), row(2, 1, 0)), [][]float64{{0, 1, 0}, {0, 0, 0}}},
		{"Softplus far out", f1(Softplus), list(row(-1000, 1000)), [][]float64{{0, 1}}},
		{"SiLU far out", f1(SiLU), list(row(-1000, 1000)), [][]float64{{0, 1}}},
		{"GELU far out", f1(GELU), list(row(-1000, 1000)), [][]float64{{0, 1}}},
		{"LogSumExp of nothing", f1(func(x *autograd.Var) *autograd.Var { return LogSumExp(x, false) }), list(row(-inf, -inf)), [][]float64{{0, 0}}},
		{"LogSumExp masked", f1(func(x *autograd.Var) *autograd.Var { return LogSumExp(x, false) }), list(row(-inf, 1, 1)), [][]float64{{0, 0.5, 0.5}}},
		{"Softmax masked", f1(func(x *autograd.Var) *autograd.Var { return SliceAxis(Softmax(x, 0), 0, 1, 2) }), list(row(-inf, 1, 1)), [][]float64{{0, 0.25, -0.25}}},
		{"L2Norm of zeros", f1(func(x *autograd.Var) *autograd.Var { return L2Norm(x, 1e-4) }), list(row(0, 0)), [][]float64{{100, 100}}},
		{"RMSNorm of zeros", f1(func(x *autograd.Var) *autograd.Var { return RMSNorm(x, nil, 1e-4) }), list(row(0, 0)), [][]float64{{100, 100}}},
		{"LogAddExp ties", f2(LogAddExp), list(row(1, -inf, inf), row(1, -inf, inf)), [][]float64{{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}}},
		{"LogAddExp with nothing", f2(LogAddExp), list(row(2, -inf), row(-inf, 2)), [][]float64{{1, 0}, {0, 1}}},
		{"LogAddExp far out", f2(LogAddExp), list(row(1000, -1000), row(-1000, 1000)), [][]float64{{1, 0}, {0, 1}}},
		{"LogSigmoid far out", f1(LogSigmoid), list(row(-1000, 1000)), [][]float64{{1, 0}}},
		{"GELUApprox far out", f1(GELUApprox), list(row(-1000, 1000)), [][]float64{{0, 1}}},
		{"ELU at 0 and far out", f1(func(x *autograd.Var) *autograd.Var { return ELU(x, 2) }), list(row(0, -1000, 1000)), [][]float64{{2, 0, 1}}},
		{"LeakyReLU at 0", f1(func(x *autograd.Var) *autograd.Var { return LeakyReLU(x, 0.5) }), list(row(0, -2, 2)), [][]float64{{0.75, 0.5, 1}}},
		{"Norm of zeros", f1(func(x *autograd.Var) *autograd.Var { return Norm(x, false) }), list(row(0, 0)), [][]float64{{0, 0}}},
		{"Std of equals", f1(func(x *autograd.Var) *autograd.Var { return Std(x, false, 1) }), list(row(2, 2)), [][]float64{{0, 0}}},
		{"LayerNorm of equals", f1(func(x *autograd.Var) *autograd.Var { return Mul(LayerNorm(x, nil, nil, 1e-4), x) }), list(row(3, 3)), [][]float64{{0, 0}}},
		{"CumProd of zeros", f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 0, false, false) }), list(row(2, 0, 3, 0)), [][]float64{{1, 8, 0, 0}}},
		{"Prod of zeros", f1(func(x *autograd.Var) *autograd.Var { return Prod(x, false) }), list(row(2, 0, 3)), [][]float64{{0, 6, 0}}},
		{"ArcSin at its ends", f1(ArcSin), list(row(-1, 1)), [][]float64{{inf, inf}}},
		{"ArcCos at its ends", f1(ArcCos), list(row(-1, 1)), [][]float64{{-inf, -inf}}},
		{"Log at 0", f1(Log), list(row(0)), [][]float64{{inf}}},
		{"TopK", f1(func(x *autograd.Var) *autograd.Var { y, _ := TopK(x, 2, 0); return y }), list(row(1, 4, 2, 3)), [][]float64{{0, 1, 0, 1}}},
		{"Dropout", f1(func(x *autograd.Var) *autograd.Var { return MulScalar(Dropout(x, tensor.Key(3), 0), 3) }), list(row(1, inf)), [][]float64{{3, 3}}},
		{"Where beside NaN", f1(func(x *autograd.Var) *autograd.Var {
			return Where(tensor.FromSlice([]bool{true, false}), Log(x), x)
		}), list(row(2, -1)), [][]float64{{0.5, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				in := convert(c.in, dtype)
				tape := autograd.NoGrad()
				defer tape.Close()
				vars := make([]*autograd.Var, len(in))
				for i, x := range in {
					vars[i] = tape.Const(x)
				}
				_, got := grads(t, c.f, in, list(tensor.OnesLike(c.f(vars...)[0].Value())))
				for i, want := range c.want {
					for j, g := range values(t, got[i]) {
						if !(math.Abs(g-want[j]) <= 1e-5*math.Abs(want[j])) && g != want[j] {
							t.Errorf("%v: gradient of element %d of input %d is %v, want %v", dtype, j, i, g, want[j])
						}
					}
				}
			}
		})
	}
}

// TestDetach checks that a detached factor counts as a constant.
func TestDetach(t *testing.T) {
	x := tensor.FromSlice([]float64{2, 3})
	_, got := grads(t, f1(func(x *autograd.Var) *autograd.Var { return Mul(x, Detach(x)) }), list(x), list(tensor.OnesLike(x)))
	compare(t, "gradient", got, list(x), 0)
}

func TestAsTypeToIntegersEndsGradient(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	x := tape.Var(tensor.FromSlice([]float32{1.5, 2.5}))
	if y := AsType(x, tensor.Int32); y.RequiresGrad() || y.Dtype() != tensor.Int32 {
		t.Errorf("got %v that requires a gradient: %v", y.Dtype(), y.RequiresGrad())
	}
}

// TestPromotion checks that operands of other dtypes get gradients of theirs.
func TestPromotion(t *testing.T) {
	in := list(tensor.AsType(normal(2, 3), tensor.BFloat16), tensor.AsType(normal(3), tensor.Float32), tensor.AsType(normal(2, 1), tensor.Float16))
	f := f3(func(a, b, c *autograd.Var) *autograd.Var {
		return Concat(1, Mul(Add(a, b), c), a, ExpandDims(MatMul(a, b), 1))
	})
	grads(t, f, in, nil) // compares dtypes
}

func TestErrors(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	v := func(shape ...int) *autograd.Var { return tape.Var(tensor.Zeros(tensor.Float32, shape...)) }
	for _, c := range []struct {
		name string
		f    func()
		want string
	}{
		{"broadcast", func() { Add(v(2, 3), v(2)) }, "ops.Add: shapes can't be broadcast together: [2 3] x [2]"},
		{"nil operand", func() { Mul(v(2), nil) }, "ops.Mul: an operand is nil"},
		{"nil activation", func() { SiLU(nil) }, "ops.SiLU: an operand is nil"},
		{"nil cond", func() { Where(nil, v(2), v(2)) }, "ops.Where: an operand is nil"},
		{"nil part", func() { Concat(0, v(2), nil) }, "ops.Concat: an operand is nil"},
		{"two tapes", func() { Add(v(2), autograd.NoGrad().Const(tensor.Ones(tensor.Float32, 2))) }, "ops.Add: an operand is on another tape"},
		{"inner dimensions", func() { MatMul(v(2, 3), v(4, 2)) }, "ops.MatMul: inner dimensions differ: [2 3] x [4 2]"},
		{"matmul of a scalar", func() { MatMul(v(), v(2, 3)) }, "ops.MatMul: an operand has no axes"},
		{"addmm of a row", func() { AddMM(v(3), v(2), v(2, 3), 1, 1) }, "ops.AddMM: want two axes or more in a and b"},
		{"clip", func() { Clip(v(2), 1, 0) }, "ops.Clip: want low <= high"},
		{"sum axis", func() { Sum(v(2, 3), false, 2) }, "ops.Sum: axis 2 is out of range for 2 dimensions"},
		{"max of nothing", func() { Max(v(0, 3), false, 0) }, "ops.Max: axis 0 has length 0"},
		{"prod axis", func() { Prod(v(2), false, 0, 0) }, "ops.Prod: axis 0 is given twice"},
		{"softmax axis", func() { Softmax(v(2), 1) }, "ops.Softmax: axis 1 is out of range"},
		{"log-softmax axis", func() { LogSoftmax(v(2, 0), 2) }, "ops.LogSoftmax: axis 2 is out of range"},
		{"cumsum axis", func() { CumSum(v(2), -2, false, false) }, "ops.CumSum: axis -2 is out of range"},
		{"reshape", func() { Reshape(v(2, 3), 4) }, "ops.Reshape: 6 elements don't fill the shape [4]"},
		{"transpose", func() { Transpose(v(2, 3), 0) }, "ops.Transpose: want 2 axes"},
		{"squeeze", func() { Squeeze(v(2, 3), 0) }, "ops.Squeeze: axis 0 has length 2, want 1"},
		{"broadcast to", func() { BroadcastTo(v(2, 3), 3, 3) }, "ops.BroadcastTo: can't be broadcast"},
		{"slice", func() { Slice(v(2, 3), []int{0}, []int{1}) }, "ops.Slice: want start and stop for 2 axes"},
		{"pad", func() { Pad(v(2), [][2]int{{-1, 0}}, 0) }, "ops.Pad: want widths between 0"},
		{"concat nothing", func() { Concat(0) }, "ops.Concat: want at least one tensor"},
		{"concat shapes", func() { Concat(0, v(2, 3), v(2, 4)) }, "ops.Concat: shapes must agree but for axis 0"},
		{"concat axis", func() { Concat(2, v(2, 3)) }, "ops.Concat: axis 2 is out of range"},
		{"stack nothing", func() { Stack(0) }, "ops.Stack: want at least one tensor"},
		{"stack shapes", func() { Stack(0, v(2), v(3)) }, "ops.Stack: shapes must agree"},
		{"split", func() { SplitEqual(v(4), 3, 0) }, "ops.SplitEqual: axis 0 can't be cut into 3 equal parts"},
		{"too many parts", func() { SplitEqual(v(0), 1<<31-1, 0) }, "ops.SplitEqual: want at most 1048576 parts, got 2147483647"},
		{"split indices", func() { SplitAt(v(4), 0, 3, 2) }, "ops.SplitAt: want rising indices"},
		{"take index", func() { Take(v(3), ints(0, 3), 0) }, "ops.Take: index 3 is out of range [0, 3) of axis 0"},
		{"take by floats", func() { Take(v(3), tensor.Ones(tensor.Float32, 1), 0) }, "ops.Take: want integer indices, got float32"},
		{"take along", func() { TakeAlong(v(2, 3), ints(0), 1) }, "ops.TakeAlong: want as many axes"},
		{"embedding weight", func() { Embedding(v(3), ints(0)) }, "ops.Embedding: want weight [V, D] and ids"},
		{"embedding id", func() { Embedding(v(3, 2), ints(-1)) }, "ops.Embedding: index -1 is out of range [0, 3)"},
		{"labels shape", func() { CrossEntropy(v(2, 3), ints(0, 1, 2)) }, "ops.CrossEntropy: want logits [..., V] and labels [...]: [2 3] x [3]"},
		{"labels dtype", func() { CrossEntropy(v(1, 3), tensor.Ones(tensor.Float32, 1)) }, "ops.CrossEntropy: want integer labels, got float32"},
		{"label too large", func() { CrossEntropy(v(3, 4), ints(0, 4, 1)) }, "ops.CrossEntropy: label 4 at position 1 is out of range [0, 4)"},
		{"label negative", func() { CrossEntropy(v(3, 4), ints(0, IgnoreLabel, -1)) }, "ops.CrossEntropy: label -1 at position 2 is out of range [0, 4)"},
		{"byte label", func() { CrossEntropy(v(1, 4), tensor.FromSlice([]uint8{156})) }, "ops.CrossEntropy: label 156 at position 0"},
		{"smoothing", func() { CrossEntropyWith(v(1, 4), ints(0), CrossEntropyOptions{Smoothing: 1}) }, "ops.CrossEntropy: want a smoothing in [0, 1), got 1"},
		{"reduction", func() { CrossEntropyWith(v(1, 4), ints(0), CrossEntropyOptions{Reduction: 7}) }, "ops.CrossEntropy: unknown reduction 7"},
		{"norm weight", func() { RMSNorm(v(2, 3), v(2), 1e-6) }, "ops.RMSNorm: want a weight of shape [3]: [2 3] x [2]"},
		{"norm eps", func() { GatedRMSNorm(v(3), v(3), v(3), math.NaN()) }, "ops.GatedRMSNorm: want eps >= 0, got NaN"},
		{"gate shape", func() { GatedRMSNorm(v(2, 3), v(3), v(3), 1e-6) }, "ops.GatedRMSNorm: want x and gate of one shape: [2 3] x [3]"},
		{"zero-centered weight", func() { RMSNormZeroCentered(v(3), v(1), 0) }, "ops.RMSNormZeroCentered: want a weight of shape [3]"},
		{"norm of a scalar", func() { L2Norm(v(), 0) }, "ops.L2Norm: want x with at least one axis"},
		{"layer norm bias", func() { LayerNorm(v(2, 3), nil, v(2), 1e-6) }, "ops.LayerNorm: want a bias of shape [3]: [2 3] x [2]"},
		{"conv channels", func() { Conv1D(v(2, 5, 3), v(4, 2, 2), Conv1DOptions{}) }, "ops.Conv1D: 1 groups don't fit the channels"},
		{"conv span", func() { Conv1D(v(2, 2, 3), v(4, 3, 3), Conv1DOptions{}) }, "ops.Conv1D: the kernel spans 3 of 2 positions"},
		{"conv stride", func() { Conv1D(v(2, 5, 3), v(4, 2, 3), Conv1DOptions{Stride: -1}) }, "ops.Conv1D: want stride, dilation and groups from 1"},
		{"dropout rate", func() { Dropout(v(2), tensor.Key(1), 1) }, "ops.Dropout: want a rate in [0, 1), got 1"},
		{"dropout rate NaN", func() { Dropout(v(2), tensor.Key(1), math.NaN()) }, "ops.Dropout: want a rate in [0, 1), got NaN"},
		{"dropout key", func() { Dropout(v(2), ints(1), 0.5) }, "ops.Dropout: want a key made by Key or Split"},
		{"dropout without key", func() { Dropout(v(2), nil, 0.5) }, "ops.Dropout: an operand is nil"},
		{"rope dims", func() { RoPE(v(2, 4), RoPEOptions{Dims: 3}) }, "ops.RoPE: want an even number of rotated features up to 4, got 3"},
		{"rope odd", func() { RoPE(v(2, 5), RoPEOptions{}) }, "ops.RoPE: want an even number of rotated features up to 5, got 5"},
		{"rope of a row", func() { RoPE(v(4), RoPEOptions{}) }, "ops.RoPE: want a floating-point x [..., T, D]"},
		{"rope base", func() { RoPE(v(2, 4), RoPEOptions{Base: -1}) }, "ops.RoPE: want a finite base above 0"},
		{"einsum nothing", func() { Einsum("->") }, "ops.Einsum: want at least one operand"},
		{"einsum count", func() { Einsum("i,j", v(2)) }, `ops.Einsum: "i,j" has 2 operands, got 1: [2]`},
		{"einsum axes", func() { Einsum("ij->i", v(2)) }, `ops.Einsum: operand 0 has 1 axes, but "ij" names 2: [2]`},
		{"einsum lengths", func() { Einsum("ij,jk", v(2, 3), v(4, 2)) }, `ops.Einsum: label 'j' has length 4 in operand 1 and 3 before it: [2 3] x [4 2]`},
		{"einsum output", func() { Einsum("ij->k", v(2, 3)) }, `ops.Einsum: the output names 'k', which no operand has`},
		{"einsum output twice", func() { Einsum("ij->ii", v(2, 3)) }, `ops.Einsum: the output names 'i' twice`},
		{"einsum letters", func() { Einsum("i%n->i", v(2, 3, 4)) }, `ops.Einsum: want letters and one "..." in "i%n", got '%'`},
		{"einsum dots", func() { Einsum("i..->i", v(2, 3)) }, `ops.Einsum: want letters and one "..." in "i..", got '.'`},
		{"attention axes", func() { ScaledDotProductAttention(v(2, 3), v(2, 3), v(2, 3), AttentionOptions{}) }, "ops.ScaledDotProductAttention: want q [B, H, T, D]"},
		{"attention heads", func() {
			ScaledDotProductAttention(v(1, 3, 2, 2), v(1, 2, 2, 2), v(1, 2, 2, 2), AttentionOptions{})
		}, "ops.ScaledDotProductAttention: q has 3 heads, want a multiple of the 2 heads"},
		{"attention mask", func() {
			ScaledDotProductAttention(v(1, 2, 2, 2), v(1, 2, 2, 2), v(1, 2, 2, 2), AttentionOptions{Mask: ints(1, 2)})
		}, "ops.ScaledDotProductAttention: want a mask that is bool or floating-point, got int32"},
		{"scatter shape", func() { ScatterAdd(v(3, 2), ints(0, 1), v(3, 2), 0) }, "ops.ScatterAdd: want updates of shape [2 2]"},
		{"scatter along", func() { ScatterAddAlong(v(3, 2), ints(0, 1), v(3, 2), 0) }, "ops.ScatterAddAlong: want as many axes"},
		{"top k", func() { TopK(v(3), 4, 0) }, "ops.TopK: want k between 0 and 3, got 4"},
		{"sort axis", func() { Sort(v(3), 1) }, "ops.Sort: axis 1 is out of range"},
		{"pad edge", func() { PadEdge(v(2, 0), [][2]int{{0, 0}, {1, 0}}) }, "ops.PadEdge: axis 1 has length 0"},
		{"pad edge widths", func() { PadEdge(v(2), [][2]int{{-1, 0}}) }, "ops.PadEdge: want widths of 0 or more"},
		{"slice update", func() { SliceUpdate(v(3), v(2), []int{0}, []int{3}) }, "ops.SliceUpdate: the update does not broadcast to the part [3]"},
		{"tile", func() { Tile(v(3), -1) }, "ops.Tile: want counts between 0"},
		{"roll", func() { Roll(v(3), 1, 1) }, "ops.Roll: axis 1 is out of range"},
		{"move axis", func() { MoveAxis(v(3), 0, 1) }, "ops.MoveAxis: axis 1 is out of range"},
		{"variance axis", func() { Var(v(3), false, 0, 2) }, "ops.Var: axis 2 is out of range"},
		{"short conv", func() { ShortConv(v(2, 5, 3), v(4, 3)) }, "ops.ShortConv: want x [B, T, C] and w [C, W]: [2 5 3] x [4 3]"},
		{"short conv with SiLU", func() { ShortConvSiLU(v(2, 5, 3), v(4, 3)) }, "ops.ShortConvSiLU: want x [B, T, C] and w [C, W]: [2 5 3] x [4 3]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := tensor.Try(c.f)
			var e *tensor.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *tensor.Error", err)
			}
			if !strings.HasPrefix(e.Error(), c.want) {
				t.Errorf("got  %v\nwant %v", e, c.want)
			}
			if !strings.Contains(e.Site, "edges_test.go") {
				t.Errorf("the error's site is %s", e.Site)
			}
		})
	}
}

// The deterministic sum of rows that GPUs take is the scatter of CPUs.
func TestSumRows(t *testing.T) {
	const vocab, width = 7, 5
	ids := tensor.FromSlice([]int32{3, 0, 3, 6, 3, 1}, 2, 3)
	g := tensor.Normal(tensor.Key(5), 2, 3, width)
	got := tensor.Sub(sumRows(g, ids, []int{vocab, width}), tensor.ScatterAdd(tensor.Zeros(tensor.Float32, vocab, width), ids, g, 0))
	if worst, err := tensor.Item[float32](tensor.Max(tensor.Abs(got), false)); err != nil || worst > 1e-6 {
		t.Errorf("differs by %v, %v", worst, err)
	}
}
