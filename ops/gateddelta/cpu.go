package gateddelta

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/deltatape/deltatape/internal/cpukernel"
	"github.com/deltatape/deltatape/tensor"
)

// The kernels of Implementation CPU work at once, on memory that the engine evaluated,
// and not in its graph.

const (
	cpuChunk     = 32 // products fill the vectors, and little is computed above diagonals
	cpuChunkWide = 64 // for keys of wideKeys or more, where work on states takes most of the time
	wideKeys     = 192
	cpuSegment   = 1024 // tokens, whose states a core's caches hold

	// cpuFrom is the size of the value heads' keys and values from which the kernels
	// are chosen. Below, the few milliseconds to be gained aren't worth an evaluation
	// in the middle of a step, by which the tape keeps more.
	cpuFrom = 1 << 20
)

// cpuRefusal says why the kernels can't compute the rule, or is "".
func (opt Options) cpuRefusal(z geometry) string {
	switch {
	case z.dtype != tensor.Float32:
		return "the kernels take float32, bfloat16 and float16, not " + z.dtype.String()
	case tensor.DefaultDevice() != tensor.CPU:
		return "the kernels run on the CPU, and the default device is another"
	case !tensor.CanAside():
		return "the kernels work at once, and nothing is evaluated inside a function that is traced"
	case opt.Compile == CompileOn:
		return "the kernels are compiled already, and Compile is on"
	case opt.Scan.named():
		return fmt.Sprintf("the kernels have one way to scan, and Scan is %q", opt.Scan)
	}
	return ""
}

// cpuPays reports whether the kernels are worth choosing: on the processors that were
// measured, x86 with AVX2 or more, where there is enough to do.
func (z geometry) cpuPays() bool {
	return cpukernel.Levels() > 1 && z.tokenCount()*z.Hk*z.R*(z.K+z.V)*z.dtype.Size() >= cpuFrom
}

// useCPU makes the choices of Implementation CPU.
func (z *geometry) useCPU(opt Options) {
	r := cpukernel.Rule{
		HK: z.Hk, R: z.R, DK: z.K, DV: z.V, Offsets: z.cuSeqlens, Chunk: opt.ChunkSize, Segment: opt.Segment,
		Scale: float32(z.scale), NoDelta: z.noDelta, Threads: opt.Threads, Level: cpukernel.Levels() - 1,
	}
	if r.Offsets == nil {
		r.Offsets = make([]int, z.B+1)
		for b := range r.Offsets {
			r.Offsets[b] = b * z.T
		}
	}
	if r.Chunk == 0 {
		z.why.chunk = "small enough for little work above diagonals, and large enough for states to be seldom moved"
		switch {
		case z.longest() <= cpuChunk/2:
			r.Chunk = cpuChunk / 2
		case z.K >= wideKeys && z.longest() > cpuChunk:
			r.Chunk = cpuChunkWide
		default:
			r.Chunk = cpuChunk
		}
	}
	z.why.segment = asked
	if r.Segment == 0 {
		r.Segment = cpuSegment / r.Chunk
		z.why.segment = "the states within one are to stay in the processor's cache"
	}
	z.why.threads = asked
	if r.Threads == 0 {
		r.Threads = runtime.GOMAXPROCS(0)
		z.why.threads = "a core for each key head of each sequence, as far as there are cores"
	}
	r.Threads = min(r.Threads, z.Hk*z.sequences)
	z.cpu, z.C, z.plan, z.threads = &r, r.Chunk, plan{C: r.Chunk}, r.Threads
	z.scan, z.why.scan = ScanSequential, "a state stays in the cache from chunk to chunk"
	z.compile, z.why.compile = CompileOff, "the kernels are compiled already"
}

// cpuStates is the number of tensors that the tape keeps for the backward pass.
func (z geometry) cpuStates() int { return min(1, z.cpu.Starts()) }

// cpuForward is forward by the kernels. It fails where memory is short.
func (z geometry) cpuForward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor, err error) {
	outputs := []tensor.KernelOutput{{Dtype: z.dtype, Shape: in.v.Shape()}}
	if z.final {
		outputs = append(outputs, z.states(z.sequences))
	}
	if n := z.cpu.Starts(); n > 0 {
		outputs = append(outputs, z.states(n))
	}
	out, err := z.onHost(func(in, out [][]float32) error {
		r := cpukernel.Results{O: out[0]}
		if out = out[1:]; z.final {
			r.HT, out = out[0], out[1:]
		}
		if len(out) > 0 {
			r.Starts = out[0]
		}
		return z.cpu.Forward(cpuOperands(in), r)
	}, in.list(), outputs)
	if err != nil {
		return nil, nil, nil, err
	}
	o, out = tensor.AsType(out[0], in.v.Dtype()), out[1:]
	if z.final {
		ht, out = out[0], out[1:]
	}
	return o, ht, out, nil
}

// cpuBackward is backward by the kernels. It fails where memory is short, or where
// something can't be evaluated.
func (z geometry) cpuBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor) (gradients, error) {
	operands := in.list()
	read := append(append(slices.Clip(operands), do, dht), starts...)
	if err := tensor.EvalAhead(present(read...)...); err != nil {
		return gradients{}, err
	}
	var outputs []tensor.KernelOutput
	for _, x := range operands {
		if x != nil {
			outputs = append(outputs, tensor.KernelOutput{Dtype: z.dtype, Shape: x.Shape()})
		}
	}
	out, err := z.onHost(func(in, out [][]float32) error {
		grad := cpukernel.Gradients{O: in[operandCount], HT: in[operandCount+1], Q: out[0], K: out[1], V: out[operandV], G: out[3], Beta: out[4]}
		if len(out) > operandState {
			grad.H0 = out[operandState]
		}
		var starts []float32
		if kept := in[operandCount+2:]; len(kept) > 0 {
			starts = kept[0]
		}
		return z.cpu.Backward(cpuOperands(in), starts, grad)
	}, read, outputs)
	if err != nil {
		return gradients{}, err
	}
	list := make([]*tensor.Tensor, operandCount)
	for i, x := range out {
		list[i] = tensor.AsType(x, operands[i].Dtype())
	}
	return operandsOf(list), nil
}

// states describes n states of all value heads.
func (z geometry) states(n int) tensor.KernelOutput {
	return tensor.KernelOutput{Dtype: z.dtype, Shape: []int{n, z.Hk * z.R, z.K, z.V}}
}

// onHost calls a pass with the elements of tensors, in the dtype of the arithmetic, and
// of new ones.
func (z geometry) onHost(pass func(in, out [][]float32) error, ts []*tensor.Tensor, outputs []tensor.KernelOutput) ([]*tensor.Tensor, error) {
	in := make([]*tensor.Tensor, len(ts))
	for i, x := range ts {
		if x != nil {
			in[i] = tensor.AsType(x, z.dtype)
		}
	}
	return tensor.OnHost(func(in, out [][]byte) error { return pass(floats(in), floats(out)) }, in, outputs)
}

func floats(list [][]byte) [][]float32 {
	fs := make([][]float32, len(list))
	for i, b := range list {
		if b != nil {
			fs[i] = unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
		}
	}
	return fs
}

func cpuOperands(list [][]float32) cpukernel.Operands {
	return cpukernel.Operands{Q: list[0], K: list[1], V: list[operandV], G: list[3], Beta: list[4], H0: list[operandState]}
}

// explainCPU fills in what differs for the kernels.
func (z geometry) explainCPU(p *Plan, in Inputs) {
	chunks := (z.longest() + z.C - 1) / z.C
	p.Segment = min(z.cpu.Segment, chunks)
	p.Segments = (chunks + z.cpu.Segment - 1) / z.cpu.Segment
	p.KeptBytes = int64(z.cpu.Starts()) * z.bytes(z.K*z.V)
	p.BackwardBytes = 2*z.operandBytes(in) + z.cpu.WorkBytes()
	if in.V.Value().Dtype() != z.dtype {
		p.BackwardBytes += 4 * z.operandBytes(in) // in the dtype of the arithmetic
	}
	p.Why[2] = fmt.Sprintf("segments of %d: %s", p.Segment, z.why.segment)
}
