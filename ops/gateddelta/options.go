package gateddelta

import (
	"math"
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// Inputs are the operands of Apply. Hv is a multiple of Hk: r = Hv/Hk value
// heads in a row share a key head.
//
// Q, K and V have one dtype. It is float16, bfloat16 or float32, then the other
// inputs may be of any of these three but InitialState, which is float32; or it
// is float64, then all are.
type Inputs struct {
	Q, K *autograd.Var // queries and keys [B, T, Hk, K]; keys should have unit length (see Options.QKL2Norm)
	V    *autograd.Var // values [B, T, Hv, V]

	// LogDecay is g = log of the decay, [B, T, Hv], at most 0; -Inf forgets
	// everything, and a number above 0 is as good as a NaN. nil means no decay, g = 0.
	LogDecay *autograd.Var

	// Beta is the writing strength β [B, T, Hv], between 0 and 1, or 2 to allow
	// negative eigenvalues. nil means β = 1.
	Beta *autograd.Var

	// GateInput is a [B, T, Hv], from which together with ALog = A_log [Hv] and
	// DtBias = dt_bias [Hv] the log decay is computed, as an alternative to
	// LogDecay: g = −exp(A_log)·softplus(a + dt_bias), in float32 or float64.
	// GateInput and ALog go together; nil for DtBias means dt_bias = 0.
	GateInput, ALog, DtBias *autograd.Var

	// BetaLogits is b [B, T, Hv], an alternative to Beta: β = sigmoid(b) in float32
	// or float64, or twice that with Options.AllowNegativeEigenvalues.
	BetaLogits *autograd.Var

	// Mask [B, T], of any dtype, is 0 for tokens that are padding, wherever they
	// are, and 1 for the others. Padding leaves the state as it is, its rows of O
	// are 0, and so are the gradients of its rows of all inputs: the rest is what
	// it would be without the padding. Whatever the inputs hold there, NaN
	// included, makes no difference. nil means no padding.
	Mask *tensor.Tensor

	// InitialState is the state before the first token, [B, Hv, K, V], or
	// [B, Hv, V, K] with Options.StateLayout VK; with Options.CuSeqlens, N for the N
	// packed sequences takes the place of B. nil means zeros.
	InitialState *autograd.Var
}

// Output is the result of Apply.
type Output struct {
	O          *autograd.Var // [B, T, Hv, V] of V's dtype
	FinalState *autograd.Var // in InitialState's layout, float32 or float64; nil unless asked for
}

// Implementation names a way to compute the rule. All agree.
type Implementation string

const (
	// Auto lets Apply choose: on a GPU Metal, where it serves the inputs, on a CPU CPU,
	// where it serves them and the processor is an x86 with AVX2, and else Chunk, or
	// Recurrent for one or two tokens. Explain says what it comes to, and why.
	Auto Implementation = "auto"

	// Recurrent is the definition, token by token. Its graph and the memory of
	// its backward pass grow by a state per token.
	Recurrent Implementation = "recurrent"

	// CPU is the chunk form by kernels for a CPU, float32 inside, on as many cores as
	// there are key heads times sequences: one operation of the engine's graph for each
	// pass. float64 is refused, and so are functions that tensor.VJP traces, and an
	// engine that scripts/setup.sh didn't build (see tensor.HostOps).
	CPU Implementation = "cpu"

	// Chunk turns the recurrence within chunks of tokens into matrix products.
	Chunk Implementation = "chunk"

	// Metal is the chunk form by fused kernels, on GPUs: Apple's through Metal and
	// NVIDIA's through CUDA. On a CPU the kernels run in an emulator, to prove them. K
	// and V must be multiples of 8 up to 256, ChunkSize 16, 32, or 64 for half types,
	// and float64 is refused. With more than one segment (see Explain) Apply and the
	// backward pass evaluate the operands, and one segment after the other, so that the
	// memory for all but one is free again; but not in functions that are traced.
	Metal Implementation = "metal"
)

// StateLayout is the order of the last two axes of states.
type StateLayout string

const (
	KV StateLayout = "kv" // [B, Hv, K, V], the rows are of keys
	VK StateLayout = "vk" // [B, Hv, V, K], as flash-linear-attention and mlx-lm have it
)

// Options configure Apply. The zero value is a good choice.
type Options struct {
	// Scale multiplies the queries. 0 means K^-1/2.
	Scale float64

	// ChunkSize is the number of tokens in a chunk: 16, 32, 64 or 128. 0 chooses
	// by the sizes of the inputs. Results differ by rounding only.
	ChunkSize int

	// Segment is the number of chunks of each sequence to work on at a time; 0
	// chooses by the sizes of the inputs. It bounds the memory of the backward pass
	// (see the package documentation) and does not change results by more than
	// rounding. Metal takes fewer where one launch would otherwise hold a GPU of 10
	// TFLOP/s for more than 4 ms.
	Segment int

	// Implementation is how to compute the rule; "" means Auto.
	Implementation Implementation

	// Scan is how states get from chunk to chunk; "" means ScanAuto. To name one asks
	// for Chunk, too. Results differ by rounding only; what the others cost beyond
	// ScanSequential is in the package documentation.
	Scan Scan

	// ScanLength is the number L of chunks in a run of ScanTwoLevel. 0 chooses about
	// the square root of the number of chunks in a segment, which makes the fewest
	// wait. As many as there are in a segment make it a ScanTransition.
	ScanLength int

	// Compile says whether MLX keeps and optimises the graphs; "" means CompileAuto.
	Compile Compile

	// Threads is the number of processor cores to work on at a time: 1, or 2 for
	// halves of the key heads (or of the rows of a batch) side by side. 0 chooses by
	// the sizes of the inputs, for CPU up to the number of cores. Only Chunk on a CPU,
	// and CPU, have a use for two; where there is one key head and one row, or where
	// Chunk is traced (tensor.Compile), there is nothing to part, and one does it all.
	// Results differ by rounding at most.
	Threads int

	// FinalState asks for the state after the last token.
	FinalState bool

	// CuSeqlens says that the tokens are N sequences packed one after the other,
	// each with a state of its own: sequence n has tokens CuSeqlens[n] to
	// CuSeqlens[n+1]-1. The N+1 numbers begin with 0, never fall and end with at
	// most T; B is 1. Sequences may have no tokens: their state stays as it is. O
	// and all gradients are zero for tokens beyond the last sequence. nil means
	// that each of B rows is one sequence.
	CuSeqlens []int

	// QKL2Norm normalises the vectors of Q and K to length 1 first: x becomes
	// x/√(Σx² + L2NormEps), in float32 or float64, which Metal rounds to Q's dtype. A
	// zero vector stays zero, and its gradient is finite.
	QKL2Norm bool

	// L2NormEps is the ε of QKL2Norm. 0 means 1e-6.
	L2NormEps float64

	// AllowNegativeEigenvalues doubles the sigmoid of BetaLogits, so that β is
	// between 0 and 2 and a token may turn round what the state holds for its key.
	AllowNegativeEigenvalues bool

	// NoDelta writes values as they are, d = β v in place of β (v − Sdᵀk): gated
	// linear attention, the control for what the correction is worth.
	NoDelta bool

	// StateLayout is the layout of InitialState, FinalState and their gradients;
	// "" means KV.
	StateLayout StateLayout

	// CheckKernels has the first Apply with a configuration of Metal's kernels (dtype,
	// chunk size, heads and their sizes) compare them with Chunk on a few tokens of
	// noise, forward and backward. Where they differ, or can't be run, each Apply with
	// the option and that configuration panics with *tensor.Error. It means nothing
	// for other implementations.
	CheckKernels bool

	// Validate looks at the values of the inputs first, which evaluates them: a
	// NaN, an infinity (−Inf is good in LogDecay and ALog), a LogDecay above 0 or
	// a Mask of something else than 0 and 1 panics with a *tensor.Error that names
	// the input and the place. Padding is not looked at.
	Validate bool
}

// chunkSizes are the lengths of chunks that there are, in rising order.
var chunkSizes = []int{16, 32, 64, 128}

// operands are the inputs' tensors. Absent ones are nil.
type operands struct {
	q, k, v, g, β, h0 *tensor.Tensor
}

const (
	operandV     = 2 // position of v
	operandState = 5 // position of h0, after those that have an axis of tokens
	operandCount = 6
)

func (in Inputs) vars() []*autograd.Var {
	return []*autograd.Var{in.Q, in.K, in.V, in.LogDecay, in.Beta, in.InitialState}
}

// tensors returns the values of vars, nil for absent ones.
func (in Inputs) tensors() []*tensor.Tensor {
	ts := make([]*tensor.Tensor, operandCount)
	for i, v := range in.vars() {
		if v != nil {
			ts[i] = v.Value()
		}
	}
	return ts
}

// operandsOf takes the operands from a list in the order of Inputs.
func operandsOf(ts []*tensor.Tensor) operands {
	return operands{q: ts[0], k: ts[1], v: ts[operandV], g: ts[3], β: ts[4], h0: ts[5]}
}

// list is the inverse of operandsOf.
func (in operands) list() []*tensor.Tensor {
	return []*tensor.Tensor{in.q, in.k, in.v, in.g, in.β, in.h0}
}

// mistake is the error of arguments of Apply to panic with.
func mistake(shapes []*tensor.Tensor, format string, args ...any) *tensor.Error {
	return tensor.NewError("gateddelta.Apply", shapes, format, args...)
}

// geometryOf checks the inputs and options and returns the sizes to work with.
func geometryOf(in operands, opt Options) geometry {
	q, k, v := in.q, in.k, in.v
	if q.NDim() != 4 || k.NDim() != 4 || v.NDim() != 4 {
		panic(mistake([]*tensor.Tensor{q, k, v}, "want Q, K [B, T, Hk, K] and V [B, T, Hv, V]"))
	}
	if !slices.Equal(q.Shape(), k.Shape()) {
		panic(mistake([]*tensor.Tensor{q, k}, "Q and K must have one shape [B, T, Hk, K]"))
	}
	if v.Dim(0) != q.Dim(0) || v.Dim(1) != q.Dim(1) {
		panic(mistake([]*tensor.Tensor{q, v}, "Q [B, T, Hk, K] and V [B, T, Hv, V] must agree in B and T"))
	}
	if q.Size() == 0 || v.Size() == 0 {
		panic(mistake([]*tensor.Tensor{q, v}, "an axis of Q or V has length 0"))
	}
	if v.Dim(2)%q.Dim(2) != 0 {
		panic(mistake([]*tensor.Tensor{q, v}, "V has %d heads, want a multiple of the %d heads of Q and K", v.Dim(2), q.Dim(2)))
	}
	z := geometry{B: q.Dim(0), T: q.Dim(1), Hk: q.Dim(2), R: v.Dim(2) / q.Dim(2), K: q.Dim(3), V: v.Dim(3)}
	wantShape("LogDecay", in.g, "[B, T, Hv]", v, z.B, z.T, z.Hk*z.R)
	wantShape("Beta", in.β, "[B, T, Hv]", v, z.B, z.T, z.Hk*z.R)
	z.sequences = z.B
	rows := "B"
	if opt.CuSeqlens != nil {
		z.checkPacked(opt.CuSeqlens)
		z.cuSeqlens, z.sequences = opt.CuSeqlens, len(opt.CuSeqlens)-1
		rows = "N"
	}
	switch opt.StateLayout {
	case "", KV:
		wantShape("InitialState", in.h0, "["+rows+", Hv, K, V]", v, z.sequences, z.Hk*z.R, z.K, z.V)
	case VK:
		wantShape("InitialState", in.h0, "["+rows+", Hv, V, K]", v, z.sequences, z.Hk*z.R, z.V, z.K)
	default:
		panic(mistake(nil, "there is no StateLayout %q, want %q or %q", opt.StateLayout, KV, VK))
	}
	z.dtype = dtypeOf(in)

	z.noDelta = opt.NoDelta
	z.initial, z.final = in.h0 != nil, opt.FinalState
	z.scale = opt.Scale
	switch {
	case z.scale == 0:
		z.scale = 1 / math.Sqrt(float64(z.K))
	case math.IsNaN(z.scale) || math.IsInf(z.scale, 0):
		panic(mistake(nil, "Scale is %v, want a finite number", opt.Scale))
	}
	switch {
	case opt.ChunkSize == 0:
		z.C, z.why.chunk = chooseChunk(z)
	case slices.Contains(chunkSizes, opt.ChunkSize):
		z.C, z.why.chunk = opt.ChunkSize, asked
	default:
		panic(mistake(nil, "ChunkSize is %d, want one of %v, or 0 to choose", opt.ChunkSize, chunkSizes))
	}
	if opt.Segment < 0 {
		panic(mistake(nil, "Segment is %d, want the number of chunks to work on at a time, or 0 to choose", opt.Segment))
	}
	opt.Segment = min(opt.Segment, max(1, z.tokenCount())) // longer ones are the same
	opt.checkScan()
	z.implementation, z.why.implementation = opt.choose(z, z.kernelConfig(in, opt))
	z.plan, z.why.segment = z.planOf(opt.Segment)
	z.segment, z.scanLength = opt.Segment, opt.ScanLength
	z.scan, z.why.scan = opt.chooseScan(z, onGPU(z.dtype))
	z.compile, z.why.compile = opt.chooseCompile(z, onGPU(z.dtype))
	z.threads, z.why.threads = opt.chooseThreads(z)
	switch z.implementation {
	case Recurrent:
		z.why.chunk = "the recurrent form goes token by token, whatever ChunkSize is"
	case Metal:
		z.useKernels(in, opt)
	case CPU:
		z.useCPU(opt)
	}
	return z
}

func wantShape(name string, x *tensor.Tensor, axes string, v *tensor.Tensor, want ...int) {
	if x != nil && !slices.Equal(x.Shape(), want) {
		panic(mistake([]*tensor.Tensor{x, v}, "%s must be %s = %v for this V", name, axes, want))
	}
}

// wantFloat checks that the dtype of x goes with that of q.
func wantFloat(name string, x, q *tensor.Tensor) {
	if got, d := x.Dtype(), q.Dtype(); !got.IsFloat() || (got == tensor.Float64) != (d == tensor.Float64) {
		panic(mistake([]*tensor.Tensor{x}, "%s is %s, which does not go with Q of %s: want float64 for all or floats of at most 32 bits", name, got, d))
	}
}

// dtypeOf checks the inputs' dtypes and returns that of the arithmetic, which is
// the state's, too.
func dtypeOf(in operands) tensor.Dtype {
	d := in.q.Dtype()
	if in.k.Dtype() != d || in.v.Dtype() != d {
		panic(mistake([]*tensor.Tensor{in.q, in.k, in.v}, "Q, K and V must have one dtype, got %s, %s and %s", d, in.k.Dtype(), in.v.Dtype()))
	}
	work := tensor.Float32
	if d == tensor.Float64 {
		work = tensor.Float64
	}
	for _, x := range []struct {
		name string
		t    *tensor.Tensor
	}{{"Q", in.q}, {"LogDecay", in.g}, {"Beta", in.β}} {
		if x.t != nil {
			wantFloat(x.name, x.t, in.q)
		}
	}
	if in.h0 != nil && in.h0.Dtype() != work {
		panic(mistake([]*tensor.Tensor{in.h0}, "InitialState is %s, want %s", in.h0.Dtype(), work))
	}
	return work
}

// choose returns the implementation to use, and why; kernels is what those of Metal
// would be built for.
func (opt Options) choose(z geometry, kernels metal.Config) (Implementation, string) {
	refusal := kernels.Refusal()
	if refusal == "" && opt.Compile == CompileOn {
		refusal = "the kernels are compiled already, and Compile is on"
	}
	switch opt.Implementation {
	case Recurrent, Chunk:
		return opt.Implementation, asked
	case Metal:
		if refusal != "" {
			panic(mistake(nil, "Implementation is %q, but %s", Metal, refusal))
		}
		return Metal, asked
	case CPU:
		if refusal := opt.cpuRefusal(z); refusal != "" {
			panic(mistake(nil, "Implementation is %q, but %s", CPU, refusal))
		}
		return CPU, asked
	case Auto, "":
		if opt.Scan.named() {
			return Chunk, "the scan that is asked for goes from chunk to chunk"
		}
		notCPU := opt.cpuRefusal(z)
		if notCPU == "" && !cpuPays() {
			notCPU = "the kernels for a CPU weren't measured on this processor"
		}
		switch {
		case notCPU == "":
			return CPU, "kernels that keep a chunk in a core's cache take the least time on this CPU"
		case z.longest() <= recurrentUpTo:
			return Recurrent, "no sequence is longer than the one or two tokens that aren't worth the padding of a chunk"
		case !onGPU(z.dtype):
			return Chunk, "the longest sequence has enough tokens for matrix products to beat going token by token, and " + notCPU
		case refusal != "":
			return Chunk, refusal
		}
		return Metal, "fused kernels take the least time and memory on a GPU"
	}
	panic(mistake(nil, "there is no implementation %q, want %q, %q, %q, %q or %q", opt.Implementation, Auto, Recurrent, Chunk, CPU, Metal))
}
