package gateddelta

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// kernelChunk is the chunk size of the kernels that is chosen: their products take
// matrices of 16 rows, and larger chunks save states.
const kernelChunk = 32

// kernelConfig returns what kernels are to be built for.
func (z geometry) kernelConfig(in operands, opt Options) metal.Config {
	c := metal.Config{Dtype: in.q.Dtype(), Chunk: opt.ChunkSize, DK: z.K, DV: z.V, HK: z.Hk, HV: z.Hk * z.R}
	if c.Chunk == 0 {
		c.Chunk = kernelChunk
		if z.longest() <= kernelChunk/2 {
			c.Chunk = kernelChunk / 2
		}
	}
	return c
}

// useKernels makes the choices of Implementation Metal.
func (z *geometry) useKernels(in operands, opt Options) {
	if opt.Scan.named() {
		panic(mistake(nil, "Scan is %q with Implementation %q, which has one way to scan, want %q", opt.Scan, Metal, Chunk))
	}
	c := z.kernelConfig(in, opt)
	if z.C = c.Chunk; opt.ChunkSize == 0 {
		z.why.chunk = "the kernels multiply matrices of 16 rows, and larger chunks save fewer states"
	}
	offsets := z.cuSeqlens
	if offsets == nil {
		offsets = make([]int, z.B+1)
		for b := range offsets {
			offsets[b] = b * z.T
		}
	}
	kernels := metal.NewPlan(c, offsets, opt.Segment*z.C)
	z.kernels, z.plan = &kernels, plan{C: z.C}
	z.scan, z.threads, z.compile = ScanSequential, 1, CompileOff
	z.why.compile = "there are few operations beside the kernels"
	z.why.scan = "a kernel keeps the states from chunk to chunk, in registers, or on CUDA in shared memory"
	z.why.threads = "the kernels run on a GPU, or in the emulator"
	switch {
	case opt.Segment == 0:
		z.why.segment = "a segment of the backward pass is to take at most three quarters of what the inputs and outputs do, or 76 MB"
	case kernels.Capped():
		z.why.segment = "the options ask for longer ones, which would hold a GPU of 10 TFLOP/s for more than 4 ms in one launch"
	default:
		z.why.segment = asked
	}
}

// kernelOperands are the operands for the kernels.
func (z geometry) kernelOperands(in operands) metal.Operands {
	return metal.Operands{Q: in.q, K: in.k, V: in.v, G: in.g, Beta: in.β, H0: in.h0, Scale: z.scale, NoDelta: z.noDelta, NoFinal: !z.final}
}

// kernelForward is forward by the kernels.
func (z geometry) kernelForward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	return z.kernels.Forward(z.kernelOperands(in))
}

// kernelBackward is backward by the kernels.
func (z geometry) kernelBackward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor) gradients {
	d := z.kernels.Backward(z.kernelOperands(in), starts, do, dht)
	return gradients{q: d.Q, k: d.K, v: d.V, g: d.G, β: d.Beta, h0: d.H0}
}

// keptStates is the number of tensors that the tape keeps for the backward pass
// beside the operands.
func (z geometry) keptStates() int {
	switch {
	case z.kernels != nil:
		return z.kernels.Starts()
	case z.cpu != nil:
		return z.cpuStates()
	}
	return z.threads * z.plan.starts()
}

// explainKernels fills in what differs for the kernels.
func (z geometry) explainKernels(p *Plan, in Inputs) {
	forward, backward := z.kernels.ForwardOnly().ForwardWork(), z.kernels.BackwardWork()
	for _, x := range in.vars() {
		if x != nil && x.RequiresGrad() {
			forward = z.kernels.ForwardWork()
		}
	}
	p.Segments, p.Segment = z.kernels.Segments(), z.kernels.SegmentChunks()
	p.KeptBytes = z.kernels.KeptBytes()
	p.BackwardBytes = z.operandBytes(in) + z.kernels.TemporaryBytes()
	for _, x := range []*autograd.Var{in.LogDecay, in.Beta} {
		if x != nil && x.Dtype() != tensor.Float32 {
			p.BackwardBytes += z.bytes(z.B * z.T) // in float32
		}
	}
	p.ForwardFLOPs, p.BackwardFLOPs = forward.FLOPs, backward.FLOPs
	p.ForwardLaunches, p.BackwardLaunches = forward.Launches, backward.Launches
	p.Why[2] = fmt.Sprintf("segments of %d: %s", p.Segment, z.why.segment)
	order := "one of each stage for a segment"
	if z.kernels.Stepwise() {
		order += ", and segments are evaluated one after the other"
	}
	p.Why = append(p.Why, fmt.Sprintf("%d kernels forward and %d backward: %s", forward.Launches, backward.Launches, order))
}
