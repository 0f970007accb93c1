package gateddelta

import (
	"fmt"
	"math"
)

// Scan names a way to take states from chunk to chunk in the Chunk
// implementation. All agree; they differ in what has to wait for what.
type Scan string

const (
	// ScanAuto lets Apply choose, by the device and the sizes of the inputs.
	ScanAuto Scan = "auto"

	// ScanSequential works on a chunk when the state at its start is known, in a
	// handful of products and elementwise operations per chunk. It takes the
	// fewest operations and the least memory.
	ScanSequential Scan = "sequential"

	// ScanTransition first makes for all chunks of a segment the matrices [K, K]
	// and [K, V] by which they change a state, so that one product and one sum per
	// chunk have to wait.
	ScanTransition Scan = "transition"

	// ScanTwoLevel does as ScanTransition, but takes all runs of L chunks
	// (Options.ScanLength) through their chunks at once, and then a state from run
	// to run: of N chunks, about L + N/L products have to wait in place of N.
	ScanTwoLevel Scan = "two-level"
)

// parallel reports whether all chunks of a segment are worked on at once.
func (s Scan) parallel() bool { return s == ScanTransition || s == ScanTwoLevel }

// scanBounds say where a scan that makes less wait pays: in steps that wait, and in
// numbers of the states that take part in a step.
type scanBounds struct {
	steps, transition           int // from, up to
	twoLevelSteps, twoLevelSize int // from, up to
}

// Both are measured, the latter on an H100. A CPU works on one thing at a time, so
// that what counts is whether to call an operation takes longer than the operation.
// On a GPU the time goes into launches for long; a step of 64 heads of 128 x 128
// could do with less memory instead.
var (
	cpuScans = scanBounds{steps: 8, transition: 8 << 10, twoLevelSteps: 32, twoLevelSize: 2 << 10}
	gpuScans = scanBounds{steps: 4, transition: 1 << 20, twoLevelSteps: 32, twoLevelSize: 1 << 17}
)

// chooseScan returns how states go from chunk to chunk, and why.
func (opt Options) chooseScan(z geometry, gpu bool) (Scan, string) {
	steps, size := z.plan.steps(), z.plan.sequences()*z.Hk*z.R*z.K*z.V
	bounds := cpuScans
	if gpu {
		bounds = gpuScans
	}
	const small = "to call the operations of such small steps takes longer than their arithmetic"
	switch {
	case z.implementation == Recurrent:
		return ScanSequential, "the recurrent form goes token by token"
	case opt.Scan.named():
		return opt.Scan, asked + opt.Scan.price(z)
	case steps < bounds.steps:
		return ScanSequential, fmt.Sprintf("it takes the fewest operations, and no more than %d steps wait for each other", steps)
	case size <= bounds.twoLevelSize && steps >= bounds.twoLevelSteps:
		return ScanTwoLevel, small + ScanTwoLevel.price(z)
	case size <= bounds.transition:
		return ScanTransition, small + ScanTransition.price(z)
	}
	return ScanSequential, "it takes the fewest operations and the least memory, and each step is large enough to be worth its calls"
}

// named reports whether s asks for one scan.
func (s Scan) named() bool { return s != "" && s != ScanAuto }

// price says how many more operations a scan takes than the sequential one.
func (s Scan) price(z geometry) string {
	if !s.parallel() || z.noDelta {
		return ""
	}
	z.scan = ScanSequential
	least, _ := z.flops()
	z.scan = s
	forward, _ := z.flops()
	return fmt.Sprintf("; it takes %.1f times the operations of the sequential one forward", forward/least)
}

// checkScan checks Scan and ScanLength.
func (opt Options) checkScan() {
	switch opt.Scan {
	case "", ScanAuto, ScanSequential, ScanTransition, ScanTwoLevel:
	default:
		panic(mistake(nil, "there is no Scan %q, want %q, %q, %q or %q", opt.Scan, ScanAuto, ScanSequential, ScanTransition, ScanTwoLevel))
	}
	if opt.Scan.named() && opt.Implementation == Recurrent {
		panic(mistake(nil, "Scan is %q with Implementation %q, which has no chunks to go between, want %q", opt.Scan, Recurrent, Chunk))
	}
	if opt.ScanLength < 0 {
		panic(mistake(nil, "ScanLength is %d, want the number of chunks in a run, or 0 to choose", opt.ScanLength))
	}
	if opt.ScanLength > 0 && opt.Scan.named() && opt.Scan != ScanTwoLevel {
		panic(mistake(nil, "ScanLength is %d with Scan %q, which has no runs, want %q", opt.ScanLength, opt.Scan, ScanTwoLevel))
	}
}

// runLength returns the number of steps in a run of a two-level scan of the given
// number of steps: what is asked for, or the power of two at or below the square
// root, which makes the fewest products wait.
func (z geometry) runLength(steps int) int {
	if z.scanLength > 0 {
		return min(z.scanLength, steps)
	}
	return 1 << int(math.Log2(float64(max(steps, 1)))/2)
}
