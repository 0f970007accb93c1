package metal

import (
	"math"
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// Plan is in what order the kernels work on tokens: by segments, ranges of tokens
// whose temporaries exist together. A sequence has chunks of its own; its state
// goes from segment to segment. Short sequences share a segment.
type Plan struct {
	config   Config
	offsets  []int   // sequence n has the tokens offsets[n] to offsets[n+1]-1
	asked    int     // tokens of a segment, 0 if they were chosen
	capped   bool    // segments are shorter than asked
	perToken float64 // bytes that a segment takes for a token
	segments []segment
	on       machine // nil: the default device
}

// machine runs kernels and evaluates what they give. Tests, which have no GPU, put one
// in place of the default device to see what it would hold in memory.
type machine interface {
	run(l launch, k *kernel, in []*tensor.Tensor, shapes [][]int) []*tensor.Tensor
	eval(ts ...*tensor.Tensor) error
}

// segment is a range of tokens.
type segment struct {
	first, end int // tokens
	lo, hi     int // sequences that have tokens there, or none at all
	fresh      bool
	last       bool
	chunks     int
	table      []int32 // as in chunk.h
}

// planChunks is PLAN_CHUNKS.
const planChunks = 8

// NewPlan cuts sequences, of which n has the tokens offsets[n] to offsets[n+1]-1,
// into segments of at most so many tokens, rounded up to chunks; 0 chooses, for
// temporaries to take at most three quarters of what q, k, v and o do, or 76 MB. No
// segment is so long that a launch of Forward or Backward would cost a GPU of 10
// TFLOP/s more than 4 ms.
func NewPlan(c Config, offsets []int, segmentTokens int) Plan {
	p := Plan{config: c, offsets: offsets, asked: max(0, segmentTokens)}
	return p.cut(c.backwardBytes(), prepareKernel, forwardKernel, backKernel, gradsKernel)
}

// ForwardOnly returns the plan for a forward pass that no backward pass follows. It
// has fewer segments unless NewPlan was asked for their length and kept to it.
func (p Plan) ForwardOnly() Plan { return p.cut(p.config.forwardBytes(), prepareKernel, forwardKernel) }

// cut makes the segments of a pass that runs the kernels of a list and keeps so many
// bytes for each token of a segment.
func (p Plan) cut(perToken float64, list ...*kernel) Plan {
	c, offsets := p.config, p.offsets
	padded := func(lo, hi int) (tokens int) {
		for n := lo; n < hi; n++ {
			tokens += ceilDiv(offsets[n+1]-offsets[n], c.Chunk) * c.Chunk
		}
		return tokens
	}
	sequences := len(offsets) - 1
	segmentTokens := c.launchTokens(list)
	if asked := ceilDiv(p.asked, c.Chunk) * c.Chunk; asked > 0 {
		p.capped = asked > segmentTokens && offsets[sequences] > segmentTokens
		segmentTokens = min(segmentTokens, asked)
	} else {
		segmentTokens = min(segmentTokens, c.segmentTokens(offsets[sequences], padded(0, sequences), sequences, perToken))
	}
	most := max(leastTemporaries, c.segmentBytes(segmentTokens, 1, perToken))
	p.perToken, p.segments = perToken, nil
	for lo := 0; lo < sequences; {
		hi := lo + 1
		for hi < sequences {
			if n := padded(lo, hi+1); n > segmentTokens || c.segmentBytes(n, hi+1-lo, perToken) > most {
				break
			}
			hi++
		}
		for first := offsets[lo]; ; first += segmentTokens {
			end := min(first+segmentTokens, offsets[hi])
			s := segment{first: first, end: end, lo: lo, hi: hi, fresh: first == offsets[lo], last: end == offsets[hi]}
			s.layOut(c.Chunk, offsets)
			p.segments = append(p.segments, s)
			if s.last {
				break
			}
		}
		lo = hi
	}
	return p
}

// layOut makes the table.
func (s *segment) layOut(chunk int, offsets []int) {
	var chunks, runs []int32
	for n := s.lo; n < s.hi; n++ {
		start, end := max(offsets[n], s.first), min(offsets[n+1], s.end)
		before := s.chunks
		for t := start; t < end; t += chunk {
			chunks = append(chunks, int32(t), int32(min(chunk, end-t)), 0, 0)
			s.chunks++
		}
		runs = append(runs, int32(before), int32(s.chunks-before), 0, 0)
	}
	header := make([]int32, planChunks)
	header[0], header[1] = int32(s.first), int32(planChunks+len(chunks))
	s.table = slices.Concat(header, chunks, runs)
}

// runs is the number of sequences in a segment.
func (s segment) runs() int { return s.hi - s.lo }

// tokens is the number of tokens in a segment.
func (s segment) tokens() int { return s.end - s.first }

// Temporaries of a segment take at most three quarters of what q, k, v and o do, or
// leastTemporaries; those of all tokens take at most singleTemporaries if there is
// one segment only, whose passes are as lazy as any other operation.
const (
	leastTemporaries  = 76e6
	singleTemporaries = 100e6
)

// mostFLOPs is what one launch may cost: 4 ms of a GPU of 10 TFLOP/s at its peak. A
// Mac's display waits for it.
const mostFLOPs = 4e10

// forwardBytes is what the forward pass keeps for each token of a segment: the copies
// of Q and K, the squares and the gates.
func (c Config) forwardBytes() float64 {
	return float64(4*2*c.HK*c.DK) + float64(4*c.HV)*float64(2*c.Chunk+gateKinds)
}

// backwardBytes is what the backward pass keeps for each token of a segment: what the
// forward pass does, Vn and dB, and the states in both directions.
func (c Config) backwardBytes() float64 {
	return c.forwardBytes() + float64(4*c.HV)*(2*float64(c.DK*c.DV)/float64(c.Chunk)+float64(2*c.DV))
}

// stateBytes is the size of a sequence's state.
func (c Config) stateBytes() float64 { return float64(4 * c.HV * c.DK * c.DV) }

// segmentBytes is what a segment takes: beside what its tokens do, for each sequence
// its state at the start, which is copied where it is zeros, and the state's gradient
// on both sides.
func (c Config) segmentBytes(tokens, runs int, perToken float64) float64 {
	return float64(tokens)*perToken + float64(3*runs)*c.stateBytes()
}

// forwardTakes is what a segment takes in the forward pass: of states those before and
// after its sequences; the others are kept.
func (c Config) forwardTakes(s segment) float64 {
	states := 0
	for _, end := range []bool{s.fresh, s.last} {
		if end {
			states += s.runs()
		}
	}
	return float64(s.chunks*c.Chunk)*c.forwardBytes() + float64(states)*c.stateBytes()
}

// launchTokens is the length of the longest segments for which no kernel of a list
// costs more than mostFLOPs, at least a chunk.
func (c Config) launchTokens(list []*kernel) int {
	most := math.MaxInt32 / c.Chunk
	for _, k := range list {
		most = min(most, int(mostFLOPs/k.work(c, c.Chunk, 1, 1).FLOPs))
	}
	return max(1, most) * c.Chunk
}

// segmentTokens chooses the length of segments for so many tokens in so many
// sequences, by memory.
func (c Config) segmentTokens(tokens, padded, sequences int, perToken float64) int {
	n := float64(padded)
	if c.segmentBytes(padded, sequences, perToken) > singleTemporaries {
		most := max(leastTemporaries, 1.5*float64(tokens*c.Dtype.Size()*(c.HK*c.DK+c.HV*c.DV)))
		n = (most - c.segmentBytes(0, 1, perToken)) / perToken
	}
	return max(c.Chunk, int(n)/c.Chunk*c.Chunk)
}

// Starts is the number of states that the forward pass leaves for the backward
// pass: one for each segment after a sequence's first.
func (p Plan) Starts() int {
	n := 0
	for _, s := range p.segments {
		if !s.fresh {
			n++
		}
	}
	return n
}

// Config is what the plan was made for.
func (p Plan) Config() Config { return p.config }

// Capped reports whether segments are shorter than NewPlan was asked for, so that no
// launch holds a GPU for too long.
func (p Plan) Capped() bool { return p.capped }

// Segments is the number of segments.
func (p Plan) Segments() int { return len(p.segments) }

// ForwardWork and BackwardWork are the costs of the passes' kernels.
func (p Plan) ForwardWork() Work { return p.total(prepareKernel, forwardKernel) }

// BackwardWork includes what is computed again.
func (p Plan) BackwardWork() Work {
	return p.total(prepareKernel, replayKernel, backKernel, gradsKernel)
}

func (p Plan) total(list ...*kernel) (sum Work) {
	for _, s := range p.segments {
		for _, k := range list {
			sum = sum.Add(k.work(p.config, s.tokens(), s.chunks, s.runs()))
		}
	}
	return sum
}

// KeptBytes is the size of the states for the backward pass.
func (p Plan) KeptBytes() int64 {
	return int64(p.Starts()) * int64(4*p.config.HV*p.config.DK*p.config.DV)
}

// TemporaryBytes is the most that either pass takes at a time beside operands, results,
// gradients and what is kept: what a segment does, or a second copy of the largest
// result while segments are joined. docs/kernels.md has it as a formula. Inside a
// function that is traced (tensor.Compile), all segments may exist together.
func (p Plan) TemporaryBytes() int64 {
	most := 0.
	for _, s := range p.segments {
		most = max(most, p.config.segmentBytes(s.chunks*p.config.Chunk, s.runs(), p.perToken))
	}
	if len(p.segments) > 1 {
		c, sequences := p.config, len(p.offsets)-1
		row := float64(c.Dtype.Size() * max(c.HK*c.DK, c.HV*c.DV))
		most = max(most, float64(p.offsets[sequences])*row)
		if sequences > 1 {
			most = max(most, float64(sequences)*c.stateBytes())
		}
	}
	return int64(most)
}

// Stepwise reports whether passes evaluate their operands and the results of segments
// before they go on: where there are several segments, and not inside a function that
// is traced. The engine frees the temporaries of what it has in flight when all of it
// is done, so lazy segments would all exist together.
func (p Plan) Stepwise() bool { return len(p.segments) > 1 && !tensor.Tracing() }

// eval evaluates what a segment gives.
func (p Plan) eval(ts []*tensor.Tensor) error {
	if p.on != nil {
		return p.on.eval(ts...)
	}
	return tensor.EvalAhead(ts...)
}

// run runs a kernel on a segment.
func (p Plan) run(s segment, k *kernel, in []*tensor.Tensor, shapes ...[]int) []*tensor.Tensor {
	l := launch{p.config, s.chunks, s.runs()}
	if p.on != nil {
		return p.on.run(l, k, in, shapes)
	}
	return l.run(k, in, shapes...)
}

// SegmentChunks is the number of chunks in the longest segment.
func (p Plan) SegmentChunks() int {
	most := 0
	for _, s := range p.segments {
		most = max(most, s.chunks)
	}
	return most
}
