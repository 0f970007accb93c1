package data

import (
	"hash/crc32"
	"iter"
	"math/bits"

	"github.com/pkg/errors"
)

// A Sampler draws training batches from a text: windows at uniformly random
// places, with replacement, for ever.
//
// It has no hidden random state. Window r of batch n begins at a place that is
// a function of the seed, n and r, so its whole position is the number of
// batches drawn.
type Sampler struct {
	text  []byte
	state SamplerState
}

// A SamplerState is the position of a [Sampler], to be saved, as JSON for
// example, beside a model. All but Seed and Batches serve to recognise a
// sampler over another text or of another shape.
type SamplerState struct {
	Seed     uint64 `json:"seed"`
	Batches  uint64 `json:"batches"` // Batches drawn so far.
	Rows     int    `json:"rows"`
	Length   int    `json:"length"`
	Bytes    int    `json:"bytes"`    // Size of the text.
	Checksum uint32 `json:"checksum"` // CRC-32C of the text.
}

// NewSampler returns a sampler of batches [rows, length] over a text, which
// must not change from now on. It is an error if the text has fewer than
// length+1 bytes, or rows or length is less than 1.
func NewSampler(text []byte, rows, length int, seed uint64) (*Sampler, error) {
	if err := checkShape(text, rows, length); err != nil {
		return nil, errors.Wrap(err, "data.NewSampler")
	}
	return &Sampler{text, SamplerState{
		Seed:     seed,
		Rows:     rows,
		Length:   length,
		Bytes:    len(text),
		Checksum: crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)),
	}}, nil
}

// Next draws a batch. Its slices are its own.
func (s *Sampler) Next() Batch {
	starts := make([]int, s.state.Rows)
	for row := range starts {
		starts[row] = s.start(s.state.Batches, row)
	}
	s.state.Batches++
	return newBatch(s.text, s.state.Length, starts...)
}

// All returns the batches from the present position on, as Next draws them. It
// has no end, and the error is always nil.
func (s *Sampler) All() iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for yield(s.Next(), nil) {
		}
	}
}

// State returns the present position.
func (s *Sampler) State() SamplerState { return s.state }

// Restore continues, with the next batch, from a position that State of this or
// of another sampler returned. The seed of that sampler replaces the one of s.
// It is an error if text or shape differ, and then s is unchanged.
func (s *Sampler) Restore(state SamplerState) error {
	want := s.state
	switch {
	case state.Rows != want.Rows || state.Length != want.Length:
		return errors.Errorf("data.Sampler.Restore: the state is of batches [%d, %d]: this sampler makes [%d, %d]",
			state.Rows, state.Length, want.Rows, want.Length)
	case state.Bytes != want.Bytes || state.Checksum != want.Checksum:
		return errors.Errorf("data.Sampler.Restore: the state is of another text (%d bytes, checksum %08x): this sampler has %d bytes, checksum %08x",
			state.Bytes, state.Checksum, want.Bytes, want.Checksum)
	}
	s.state = state
	return nil
}

// Seen returns the parts of the text that the batches so far, those before a
// Restore included, have shown as token or target: every byte once however
// often it was drawn, in order. Each part is as long as it can be, so between
// two parts there is a gap that the model has never seen. The parts are slices
// of the text and must not be changed.
func (s *Sampler) Seen() [][]byte {
	places := s.places()
	begins := make([]uint64, (places+63)/64) // A bit for each place where a window began.
	for batch, left := uint64(0), places; batch < s.state.Batches && left > 0; batch++ {
		for row := range s.state.Rows {
			at := s.start(batch, row)
			if bit := uint64(1) << (at % 64); begins[at/64]&bit == 0 {
				begins[at/64] |= bit
				left--
			}
		}
	}
	var seen [][]byte
	from, to := 0, 0
	for i, word := range begins {
		for ; word != 0; word &= word - 1 {
			at := i*64 + bits.TrailingZeros64(word)
			if at > to || to == 0 {
				if to > 0 {
					seen = append(seen, s.text[from:to:to])
				}
				from = at
			}
			to = at + s.state.Length + 1
		}
	}
	if to > 0 {
		seen = append(seen, s.text[from:to:to])
	}
	return seen
}

// places returns the number of places where a window can begin.
func (s *Sampler) places() int { return len(s.text) - s.state.Length }

// start returns where a window of a batch begins.
func (s *Sampler) start(batch uint64, row int) int {
	counter := batch*uint64(s.state.Rows) + uint64(row)
	// The high word of random × places is uniform up to places/2⁶⁴.
	at, _ := bits.Mul64(mix(mix(s.state.Seed)+counter*0x9e3779b97f4a7c15), uint64(s.places()))
	return int(at)
}

// mix is the output function of SplitMix64 (Steele, Lea and Flood, Fast
// splittable pseudorandom number generators, OOPSLA 2014).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
