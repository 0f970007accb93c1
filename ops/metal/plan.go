package metal

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// Plan is in what order the kernels work on tokens: by segments, ranges of tokens
// whose temporaries exist together. A sequence has chunks of its own; its state
// goes from segment to segment. Short sequences share a segment.
type Plan struct {
	segments []segment
	tokens   int // of all sequences, which come first
	config   Config
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
// into segments of at most so many tokens, rounded up to chunks; 0 chooses by memory,
// or on CUDA by speed (see segmentTokens).
func NewPlan(c Config, offsets []int, segmentTokens int) Plan {
	p := Plan{config: c, tokens: offsets[len(offsets)-1]}
	if segmentTokens <= 0 {
		segmentTokens = c.segmentTokens(p.tokens, tensor.KernelLanguage())
	}
	segmentTokens = ceilDiv(segmentTokens, c.Chunk) * c.Chunk
	most := max(1, int(leastTemporaries)/(4*c.HV*c.DK*c.DV)) // sequences, each with a state
	for lo := 0; lo+1 < len(offsets); {
		hi := lo + 1
		for hi+1 < len(offsets) && offsets[hi+1]-offsets[lo] <= segmentTokens && hi-lo < most {
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

// Temporaries of the backward pass take at most about half of what q, k, v and o
// do, or leastTemporaries; or all of it if that is at most singleTemporaries. On CUDA
// they may take cudaTemporaries: there the engine holds what is in flight, which is
// nearly all of a pass, and short segments cost time and save nothing.
const (
	leastTemporaries  = 48e6
	singleTemporaries = 90e6
	cudaTemporaries   = 400e6
)

// mostFLOPs is what one launch may cost: 4 ms of a GPU of 10 TFLOP/s at its peak. A
// Mac's display waits for it.
const mostFLOPs = 4e10

// backwardBytes is what the backward pass keeps for each token of a segment: the
// copies of Q and K, the squares, the gates, Vn and dB, and the states in both
// directions.
func (c Config) backwardBytes() float64 {
	return float64(4*c.HV)*(2*float64(c.DK*c.DV)/float64(c.Chunk)+float64(2*c.DV+2*c.Chunk+gateKinds)) + float64(4*2*c.HK*c.DK)
}

// segmentTokens chooses the length of segments for so many tokens.
func (c Config) segmentTokens(tokens int, language tensor.Language) int {
	perToken := c.backwardBytes()
	n := float64(tokens)
	most := max(leastTemporaries, n*float64(c.Dtype.Size()*(c.HK*c.DK+c.HV*c.DV)))
	single := float64(singleTemporaries)
	if language == tensor.CUDA {
		most, single = max(most, cudaTemporaries), cudaTemporaries
	}
	if n*perToken > single {
		n = most / perToken
	}
	for _, k := range []*kernel{prepareKernel, forwardKernel, backKernel, gradsKernel} {
		n = min(n, mostFLOPs/k.work(c, c.Chunk, 1, 1).FLOPs*float64(c.Chunk))
	}
	return max(c.Chunk, int(n))
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

// TemporaryBytes is the most that a segment of the backward pass takes beside
// operands, gradients and what is kept.
func (p Plan) TemporaryBytes() int64 {
	most := 0
	for _, s := range p.segments {
		most = max(most, s.chunks*p.config.Chunk)
	}
	return int64(float64(most) * p.config.backwardBytes())
}

// SegmentChunks is the number of chunks in the longest segment.
func (p Plan) SegmentChunks() int {
	most := 0
	for _, s := range p.segments {
		most = max(most, s.chunks)
	}
	return most
}
