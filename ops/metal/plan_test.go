package metal

import (
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// TestLaunches checks what no launch of a pass may cost, however long segments are
// asked for: 4 ms at 10 TFLOP/s, by the cost model. The rule token by token may take 5.
func TestLaunches(t *testing.T) {
	for _, c := range configs() {
		if c.Refusal() != "" {
			continue
		}
		for _, T := range []int{2048, 32768} {
			for _, asked := range []int{0, T} {
				p := NewPlan(c, []int{0, T}, asked)
				for _, pass := range []struct {
					segments []segment
					kernels  []*kernel
				}{{p.segments, registry[:6]}, {p.ForwardOnly().segments, registry[:2]}} {
					for _, s := range pass.segments {
						for _, k := range pass.kernels {
							most := 4e10
							if k == sequentialKernel {
								most = 5e10
							}
							if w := k.work(c, s.tokens(), s.chunks, s.runs()); w.FLOPs > most {
								t.Fatalf("%s of %+v takes %.2g FLOP for a segment of %d tokens", k.name, c, w.FLOPs, s.tokens())
							}
						}
					}
				}
			}
		}
	}
}

// TestCapped wants to be told when segments are shorter than asked, and only then.
func TestCapped(t *testing.T) {
	const T = 32768
	c := Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}
	for asked, want := range map[int]bool{0: false, 1024: false, T: true} {
		if p := NewPlan(c, []int{0, T}, asked); p.Capped() != want || asked == 1024 && p.Segments() != T/1024 {
			t.Errorf("segments of %d tokens: %d, capped %v, want %v", asked, p.Segments(), p.Capped(), want)
		}
	}
	if NewPlan(c, []int{0, 1024}, T).Capped() {
		t.Error("all tokens in a segment are capped")
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

// TestManySequences checks that states and padding of short sequences don't fill the
// memory.
func TestManySequences(t *testing.T) {
	c := Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}
	offsets := make([]int, 1001)
	for i := range offsets {
		offsets[i] = i
	}
	for _, s := range NewPlan(c, offsets, 0).segments {
		if bytes := c.segmentBytes(s.chunks*c.Chunk, s.runs(), c.backwardBytes()); bytes > leastTemporaries {
			t.Fatalf("a segment has %d sequences, which take %.0f bytes", s.runs(), bytes)
		}
	}
}
