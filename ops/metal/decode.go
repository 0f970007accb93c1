package metal

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// decodeQuarters is DECODE_QUARTERS.
const decodeQuarters = 4

// usualTaps are those of the convolution that the registry's cost of decode is for.
const usualTaps = 4

var decodeKernel = &kernel{
	name:  "decode",
	files: []string{"activation.h", "decode.metal"},
	in: []argument{
		{"inputs", element}, {"past", element}, {"taps", real}, {"a", element}, {"b", element}, {"a_log", real}, {"dt_bias", real},
		argZ, {"weight", real}, {"state", real}, argParams, argPlan,
	},
	out:  []argument{argY, {"later", element}, {"after", real}},
	work: func(c Config, tokens, _, _ int) Work { return c.DecodeWork(tokens, usualTaps) },

	simdgroups: decodeSimdgroups,
	sharedFloats: func(c Config) int {
		return 2*c.DK + 2*c.DV + 2*32*decodeSimdgroups(c)
	},
	width: perRun, height: perValueHead,
}

// decodeSimdgroups take at most 128 columns of the state at a time: more threads
// would leave too few registers for the rows of long keys.
func decodeSimdgroups(c Config) int { return decodeQuarters * min(4, ceilDiv(c.DV, 32)) }

// Token is what Decode takes: a token of each of B sequences, and what the sequences
// left. Dtypes are Config.Dtype but for the state.
type Token struct {
	QKV  *tensor.Tensor // [B, 2·HK·DK + HV·DV], all queries, all keys, all values, before the convolution
	Z    *tensor.Tensor // [B, HV·DV], the input of the output's gate
	A, B *tensor.Tensor // [B, HV], the inputs of the decay and of the writing strength

	Past  *tensor.Tensor // [B, W − 1, 2·HK·DK + HV·DV], the QKV of the tokens before
	State *tensor.Tensor // [B, HV, DK, DV] float32
}

// DecodeWeights are those of a layer that Decode computes, as the kernel reads them.
type DecodeWeights struct {
	taps         *tensor.Tensor // [channels, W], of the convolution
	aLog, dtBias *tensor.Tensor // [heads], or longer
	norm         *tensor.Tensor // [DV]
	heads        int
}

// NewDecodeWeights takes the weights of a layer, of any dtype: taps [2·HK·DK + HV·DV,
// W] of the convolution, with axes of length 1 or without; aLog and dtBias [HV]; and
// norm [DV] of the output's norm. The result belongs to no scope, until Free.
func NewDecodeWeights(taps, aLog, dtBias, norm *tensor.Tensor) *DecodeWeights {
	if taps.NDim() < 2 || taps.Size() == 0 || aLog.NDim() != 1 || !slices.Equal(aLog.Shape(), dtBias.Shape()) {
		panic(tensor.NewError("metal.NewDecodeWeights", []*tensor.Tensor{taps, aLog, dtBias}, "want taps [channels, W], aLog and dtBias [HV]"))
	}
	s := tensor.NewScope()
	defer s.Close()
	wide := func(x *tensor.Tensor) *tensor.Tensor { return tensor.AsType(s.Use(x), tensor.Float32) }
	w := &DecodeWeights{
		taps: tensor.Reshape(wide(taps), taps.Dim(0), -1),
		aLog: atLeast(8, wide(aLog)), dtBias: atLeast(8, wide(dtBias)), norm: wide(norm),
		heads: aLog.Dim(0),
	}
	s.Keep(w.tensors()...)
	return w
}

// Free releases the weights.
func (w *DecodeWeights) Free() { tensor.Free(w.tensors()...) }

func (w *DecodeWeights) tensors() []*tensor.Tensor {
	return []*tensor.Tensor{w.taps, w.aLog, w.dtBias, w.norm}
}

// DecodeNumbers are those of a layer that come with each launch.
type DecodeNumbers struct {
	Scale   float64 // of the queries
	L2Eps   float64 // ε of the norms of queries and keys
	NormEps float64 // ε of the output's norm
}

// DecodeRefusal says why Decode can't be had for a configuration, whose Chunk makes
// no difference; "" means that it can.
func (c Config) DecodeRefusal() string {
	c.Chunk = decodeChunk
	return c.Refusal()
}

// decodeChunk stands for no chunks.
const decodeChunk = 16

// Decode computes by one kernel what a gated delta rule layer does between its
// projections for the next token of B sequences: the causal convolution with SiLU,
// the norms of queries and keys, the gates, the rule, and the gated norm of its
// output (see decode.metal for the formulas). It returns the output [B, HV·DV], and
// Past and State after the token.
func (c Config) Decode(in Token, w *DecodeWeights, numbers DecodeNumbers) (y, past, state *tensor.Tensor) {
	made := c.decode(in, w, numbers).run()
	if y, past, state = made[0], made[1], made[2]; w.taps.Dim(1) == 1 {
		past = tensor.SliceAxis(past, 1, 0, 0)
	}
	return y, past, state
}

func (c Config) decode(in Token, w *DecodeWeights, numbers DecodeNumbers) call {
	c.Chunk = decodeChunk
	taps := c.checkDecode(in, w)
	B, channels := in.QKV.Dim(0), in.QKV.Dim(1)
	before := in.Past
	if taps == 1 {
		before = in.QKV // stands in for an array without elements
	}
	return launch{config: c, runs: B}.with(decodeKernel,
		[]float32{float32(numbers.Scale), float32(numbers.L2Eps), float32(numbers.NormEps)}, []int32{int32(taps)},
		[]*tensor.Tensor{in.QKV, before, w.taps, in.A, in.B, w.aLog, w.dtBias, in.Z, w.norm, in.State},
		[]int{B, c.HV * c.DV}, []int{B, max(1, taps-1), channels}, []int{B, c.HV, c.DK, c.DV})
}

// checkDecode panics unless the operands fit, and returns W.
func (c Config) checkDecode(in Token, w *DecodeWeights) (taps int) {
	bad := func(x *tensor.Tensor, format string, args ...any) {
		panic(tensor.NewError("metal.Decode", []*tensor.Tensor{x}, format, args...))
	}
	if why := c.Refusal(); why != "" {
		bad(nil, "%s", why)
	}
	channels := 2*c.HK*c.DK + c.HV*c.DV
	if in.QKV.NDim() != 2 || in.QKV.Size() == 0 {
		bad(in.QKV, "want QKV [B, %d] with B >= 1", channels)
	}
	B, taps := in.QKV.Dim(0), w.taps.Dim(1)
	if w.heads != c.HV {
		bad(w.aLog, "the weights are of %d value heads, want %d", w.heads, c.HV)
	}
	for _, x := range []struct {
		name  string
		x     *tensor.Tensor
		dtype tensor.Dtype
		shape []int
	}{
		{"QKV", in.QKV, c.Dtype, []int{B, channels}},
		{"Z", in.Z, c.Dtype, []int{B, c.HV * c.DV}},
		{"A", in.A, c.Dtype, []int{B, c.HV}},
		{"B", in.B, c.Dtype, []int{B, c.HV}},
		{"Past", in.Past, c.Dtype, []int{B, taps - 1, channels}},
		{"State", in.State, tensor.Float32, []int{B, c.HV, c.DK, c.DV}},
		{"taps", w.taps, tensor.Float32, []int{channels, taps}},
		{"norm", w.norm, tensor.Float32, []int{c.DV}},
	} {
		if x.x.Dtype() != x.dtype || !slices.Equal(x.x.Shape(), x.shape) {
			bad(x.x, "%s is %s, want %s %v", x.name, x.x.Dtype(), x.dtype, x.shape)
		}
	}
	return taps
}
