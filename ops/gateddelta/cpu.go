package gateddelta

import (
	"fmt"
	"runtime"

	"github.com/deltatape/deltatape/internal/cpukernel"
	"github.com/deltatape/deltatape/tensor"
)

const (
	cpuChunk     = 32 // products fill the vectors, and little is computed above diagonals
	cpuChunkWide = 64 // for keys of wideKeys or more, where work on states takes most of the time
	wideKeys     = 192
	cpuSegment   = 1024 // tokens, whose states a core's caches hold

	// threadBytes is the size of the value heads' keys and values that keeps a thread
	// busy for some times as long as it takes to start.
	threadBytes = 128 << 10
)

// cpuRefusal says why the kernels can't compute the rule, or is "".
func (opt Options) cpuRefusal(z geometry) string {
	switch {
	case z.dtype != tensor.Float32:
		return "the kernels take float32, bfloat16 and float16, not " + z.dtype.String()
	case tensor.DefaultDevice() != tensor.CPU:
		return "the kernels run on the CPU, and the default device is another"
	case tensor.HostOps() != nil:
		return tensor.HostOps().Error()
	case tensor.Differentiating():
		return "the kernels have no derivative for tensor.VJP, which traces this function"
	case opt.Compile == CompileOn:
		return "the kernels are compiled already, and Compile is on"
	case opt.Scan.named():
		return fmt.Sprintf("the kernels have one way to scan, and Scan is %q", opt.Scan)
	}
	return ""
}

// cpuPays reports whether the kernels are worth choosing: on the processors that were
// measured, x86 with AVX2 or more, whatever there is to do.
func cpuPays() bool { return cpukernel.Levels() > 1 }

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
		rows := 0 // with padding
		for i, end := range r.Offsets[1:] {
			rows += (end - r.Offsets[i] + r.Chunk - 1) / r.Chunk * r.Chunk
		}
		enough := int(z.bytes(rows*(z.K+z.V)) / threadBytes)
		r.Threads = max(1, min(runtime.GOMAXPROCS(0), enough))
		z.why.threads = "a core for each key head of each sequence, as far as there are cores, and enough for each to do"
	}
	r.Threads = min(r.Threads, z.Hk*z.sequences)
	z.cpu, z.C, z.plan, z.threads = &r, r.Chunk, plan{C: r.Chunk}, r.Threads
	z.scan, z.why.scan = ScanSequential, "a state stays in the cache from chunk to chunk"
	z.compile, z.why.compile = CompileOff, "the kernels are compiled already"
}

// cpuStates is the number of tensors that the tape keeps for the backward pass.
func (z geometry) cpuStates() int { return min(1, z.cpu.Starts()) }

// cpuForwardOnly is the rule of a pass that no backward pass follows: it keeps nothing.
func (z geometry) cpuForwardOnly() *cpukernel.Rule {
	r := *z.cpu
	r.Segment = max(1, (z.longest()+r.Chunk-1)/r.Chunk)
	return &r
}

// cpuForward is forward by the kernels.
func (z geometry) cpuForward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	outputs := []tensor.KernelOutput{{Dtype: z.dtype, Shape: in.v.Shape()}}
	if z.final {
		outputs = append(outputs, z.states(z.sequences))
	}
	if n := z.cpu.Starts(); n > 0 {
		outputs = append(outputs, z.states(n))
	}
	read := z.working(in.list()...)
	call := z.cpu.ForwardCall(z.B*z.T, cpukernel.There{H0: z.initial, HT: z.final})
	out := tensor.HostOp(call).Apply(read, outputs)
	o, out = tensor.AsType(out[0], in.v.Dtype()), out[1:]
	if z.final {
		ht, out = out[0], out[1:]
	}
	return o, ht, out
}

// cpuBackward is backward by the kernels.
func (z geometry) cpuBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor) gradients {
	operands := in.list()
	var outputs []tensor.KernelOutput
	for _, x := range present(operands...) {
		outputs = append(outputs, tensor.KernelOutput{Dtype: z.dtype, Shape: x.Shape()})
	}
	read := z.working(append(append(in.list(), do, dht), starts...)...)
	call := z.cpu.BackwardCall(z.B*z.T, cpukernel.There{H0: z.initial, GradO: do != nil, GradHT: dht != nil})
	out := tensor.HostOp(call).Apply(read, outputs)
	list := make([]*tensor.Tensor, operandCount)
	for i, x := range out {
		list[i] = tensor.AsType(x, operands[i].Dtype())
	}
	return operandsOf(list)
}

// states describes n states of all value heads.
func (z geometry) states(n int) tensor.KernelOutput {
	return tensor.KernelOutput{Dtype: z.dtype, Shape: []int{n, z.Hk * z.R, z.K, z.V}}
}

// working returns those tensors that aren't nil, in the dtype of the arithmetic.
func (z geometry) working(ts ...*tensor.Tensor) []*tensor.Tensor {
	list := present(ts...)
	for i, x := range list {
		list[i] = tensor.AsType(x, z.dtype)
	}
	return list
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
