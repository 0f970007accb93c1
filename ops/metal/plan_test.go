package metal

import (
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// TestLaunches checks what no launch may pass: 5 ms at 10 TFLOP/s, by the cost model.
func TestLaunches(t *testing.T) {
	for _, c := range configs() {
		if c.Refusal() != "" {
			continue
		}
		for _, T := range []int{2048, 32768} {
			for _, s := range NewPlan(c, []int{0, T}, c.segmentTokens(T, tensor.Metal)).segments {
				for _, k := range registry[:6] {
					if w := k.work(c, s.tokens(), s.chunks, s.runs()); w.FLOPs > 5e10 {
						t.Fatalf("%s of %+v takes %.2g FLOP for a segment of %d tokens", k.name, c, w.FLOPs, s.tokens())
					}
				}
			}
		}
	}
}

// TestMemory checks the bounds on what training takes beside operands, results and
// gradients, by the plan, where the engine is not CUDA's.
func TestMemory(t *testing.T) {
	c := Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}
	for T, most := range map[int]int64{512: 100e6, 2048: 100e6, 8192: 400e6} {
		p := NewPlan(c, []int{0, T}, c.segmentTokens(T, tensor.Metal))
		if n := p.TemporaryBytes() + p.KeptBytes(); n > most {
			t.Errorf("T = %d: %d bytes, want at most %d", T, n, most)
		}
		forward, backward := p.ForwardWork(), p.BackwardWork()
		if T == 512 && (forward.Launches > 6 || backward.Launches > 12) {
			t.Errorf("T = 512: %d launches forward and %d backward, want at most 6 and 12", forward.Launches, backward.Launches)
		}
	}
}

// TestPlan checks that segments cover all tokens, once and in order, and their tables.
func TestPlan(t *testing.T) {
	c := Config{Dtype: tensor.Float32, Chunk: 16, DK: 8, DV: 8, HK: 1, HV: 1}
	for _, offsets := range [][]int{{0, 1}, {0, 100}, {0, 0}, {0, 0, 0, 5, 5, 70, 71, 71}, {0, 16, 32, 48, 148, 150}} {
		for _, segment := range []int{1, 16, 40, 1000} {
			p := NewPlan(c, offsets, segment)
			next, sequence := 0, 0
			for _, s := range p.segments {
				if s.first != next || s.runs() < 1 {
					t.Fatalf("%v by %d: a segment begins at %d with %d runs, want %d", offsets, segment, s.first, s.runs(), next)
				}
				next = s.end
				if s.fresh && s.lo != sequence {
					t.Fatalf("%v by %d: sequence %d begins, want %d", offsets, segment, s.lo, sequence)
				}
				if s.last {
					sequence = s.hi
				}
				tokens := 0
				for i := range s.chunks {
					token, length := int(s.table[planChunks+4*i]), int(s.table[planChunks+4*i+1])
					if token != s.first+tokens || length < 1 || length > c.Chunk {
						t.Fatalf("%v by %d: chunk %d has tokens %d + %d", offsets, segment, i, token, length)
					}
					tokens += length
				}
				if tokens != s.tokens() || int(s.table[1]) != planChunks+4*s.chunks || len(s.table) != int(s.table[1])+4*s.runs() {
					t.Fatalf("%v by %d: %d tokens in chunks, want %d; table of %d", offsets, segment, tokens, s.tokens(), len(s.table))
				}
			}
			if next != offsets[len(offsets)-1] || sequence != len(offsets)-1 {
				t.Fatalf("%v by %d: ends at token %d and sequence %d", offsets, segment, next, sequence)
			}
		}
	}
}

// TestManySequences checks that states of short sequences don't fill the memory.
func TestManySequences(t *testing.T) {
	c := Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}
	offsets := make([]int, 1001)
	for i := range offsets {
		offsets[i] = i
	}
	for _, s := range NewPlan(c, offsets, 0).segments {
		if bytes := 4 * s.runs() * c.HV * c.DK * c.DV; bytes > 50e6 {
			t.Fatalf("a segment has %d sequences, whose states take %d bytes", s.runs(), bytes)
		}
	}
}
