package gateddelta

import (
	"fmt"
	"strings"
)

// Plan says how Apply will compute, what that costs, and why it is so. Costs are
// those of the rule itself, without what may come before it (see the package
// documentation), and of a backward pass to all of its operands.
type Plan struct {
	Implementation Implementation // Recurrent, Chunk, CPU or Metal
	ChunkSize      int            // tokens in a chunk, 1 for Recurrent
	Segment        int            // steps in the longest segment; a step takes one chunk of each sequence
	Segments       int            // number of segments, which are worked on one after the other
	Scan           Scan           // how states get from chunk to chunk; ScanSequential for Recurrent
	ScanLength     int            // chunks in a run of ScanTwoLevel, in the longest segment; 0 for others
	Compile        Compile        // CompileAuto where passes are compiled the second time that they come

	// Threads is the number of processor cores that work at a time.
	Threads int

	// KeptBytes is what the tape keeps until the backward pass besides operands
	// and outputs: the states at the starts of segments.
	KeptBytes int64

	// BackwardBytes is the bound on what the backward pass takes at its peak, the
	// gradients included. Recurrent takes about as much, not at most.
	BackwardBytes int64

	// ForwardFLOPs and BackwardFLOPs count a multiplication and an addition as
	// two. The products of matrices and the solve count, for Recurrent everything
	// but the exponentials; padding does not. The backward pass includes what it
	// computes again.
	ForwardFLOPs, BackwardFLOPs float64

	// ForwardTraffic and BackwardTraffic are the fewest bytes that have to move:
	// each operand and gradient once, each result once.
	ForwardTraffic, BackwardTraffic int64

	// ForwardLaunches and BackwardLaunches are the numbers of kernels that Metal
	// launches; 0 for others.
	ForwardLaunches, BackwardLaunches int

	// Why has a sentence for each choice: implementation, chunk size, segment, scan,
	// compilation and threads.
	Why []string
}

// reasons say why the choices in a geometry are as they are.
type reasons struct{ implementation, chunk, segment, scan, compile, threads string }

// asked is the reason for what the options name.
const asked = "the options ask for it"

// Explain says what Apply would do with the inputs and options. It makes the same
// choices by the same code and panics with the same errors, but computes
// nothing and does not look at values.
func Explain(in Inputs, opt Options) Plan {
	z := resolve(in, opt)
	p := Plan{
		Implementation: z.implementation,
		ChunkSize:      z.plan.C,
		Segment:        z.plan.steps(),
		Segments:       len(z.plan.segments),
		Scan:           z.scan,
		Compile:        z.compile,
		Threads:        z.threads,
		KeptBytes:      z.keptBytes(),
		BackwardBytes:  z.backwardBytes(in),
		Why: []string{
			fmt.Sprintf("implementation %s: %s", z.implementation, z.why.implementation),
			fmt.Sprintf("chunks of %d: %s", z.plan.C, z.why.chunk),
			"", // of the segments, below
			fmt.Sprintf("%s scan: %s", z.scan, z.why.scan),
			fmt.Sprintf("compile %s: %s", z.compile, z.why.compile),
			fmt.Sprintf("threads %d: %s", z.threads, z.why.threads),
		},
	}
	if z.scan == ScanTwoLevel && p.Segment > 0 {
		p.ScanLength = z.runLength(p.Segment)
	}
	p.Why[2] = fmt.Sprintf("segments of %d: %s", p.Segment, z.why.segment)
	p.ForwardFLOPs, p.BackwardFLOPs = z.flops()
	p.ForwardTraffic, p.BackwardTraffic = z.traffic(in, opt.FinalState)
	switch {
	case z.kernels != nil:
		z.explainKernels(&p, in)
	case z.cpu != nil:
		z.explainCPU(&p, in)
	}
	return p
}

// String returns the plan as lines of text.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, chunks of %d, %d segments of up to %d steps, %s scan, threads %d\n", p.Implementation, p.ChunkSize, p.Segments, p.Segment, p.Scan, p.Threads)
	fmt.Fprintf(&b, "memory: %s kept, up to %s in the backward pass\n", bytesText(p.KeptBytes), bytesText(p.BackwardBytes))
	fmt.Fprintf(&b, "forward: %.3g GFLOP, at least %s moved\n", p.ForwardFLOPs/1e9, bytesText(p.ForwardTraffic))
	fmt.Fprintf(&b, "backward: %.3g GFLOP, at least %s moved\n", p.BackwardFLOPs/1e9, bytesText(p.BackwardTraffic))
	for _, why := range p.Why {
		fmt.Fprintf(&b, "- %s\n", why)
	}
	return b.String()
}

func bytesText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
