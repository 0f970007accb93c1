package data

import (
	"math"

	"github.com/pkg/errors"
)

// A Batch is a matrix of token ids and, for each, the token that follows it.
type Batch struct {
	// Tokens and Targets are [Rows, Length] row by row; Targets[i] follows
	// Tokens[i] in the text.
	Tokens, Targets []int32
	Rows, Length    int
}

// newBatch returns a batch of the windows of text that begin at starts.
func newBatch(text []byte, length int, starts ...int) Batch {
	b := Batch{Rows: len(starts), Length: length}
	tokens := make([]int32, 2*len(starts)*length)
	b.Tokens, b.Targets = tokens[:len(tokens)/2:len(tokens)/2], tokens[len(tokens)/2:]
	for row, start := range starts {
		for i := range length {
			b.Tokens[row*length+i] = int32(text[start+i])
			b.Targets[row*length+i] = int32(text[start+i+1])
		}
	}
	return b
}

// Windows cuts a text into windows for evaluation: each target is the target of
// one window only, and the windows are in the order of the text. A window takes
// length tokens, and length+1 bytes with its last target, which is the first
// token of the next window; an incomplete one at the end is left out.
//
// If the text has more than limit windows, limit of them are taken at even
// distances, so that they stand for the whole text; 0 takes all. They come in
// batches of rows windows, the last with the remaining ones. It is an error if
// the text is too short for one window or rows, length or limit is out of
// range.
func Windows(text []byte, rows, length, limit int) ([]Batch, error) {
	if err := checkShape(text, rows, length); err != nil {
		return nil, errors.Wrap(err, "data.Windows")
	}
	if limit < 0 {
		return nil, errors.Errorf("data.Windows: limit is %d: want 0 for all windows, or more", limit)
	}
	total := (len(text) - 1) / length
	count := total
	if limit > 0 {
		count = min(limit, total)
	}
	var batches []Batch
	for first := 0; first < count; first += rows {
		starts := make([]int, 0, min(rows, count-first))
		for i := first; i < min(first+rows, count); i++ {
			starts = append(starts, i*total/count*length)
		}
		batches = append(batches, newBatch(text, length, starts...))
	}
	return batches, nil
}

// checkShape checks that text has a window of length tokens and that batches of
// rows such windows are of a sensible size.
func checkShape(text []byte, rows, length int) error {
	switch {
	case rows < 1 || length < 1:
		return errors.Errorf("batches of %d rows of %d tokens: want at least 1 of each", rows, length)
	case rows > math.MaxInt32/length:
		return errors.Errorf("batches of %d rows of %d tokens: want at most %d tokens", rows, length, math.MaxInt32)
	case len(text) < length+1:
		return errors.Errorf("the text has %d bytes: a sequence of %d tokens and the byte after it needs %d",
			len(text), length, length+1)
	}
	return nil
}
