package data

import (
	"math"

	"github.com/pkg/errors"
)

// MaxOrder is the highest order of an [NGram].
const MaxOrder = 2

// vocabulary is the number of byte values, and smoothing what is added to the
// count of each.
const (
	vocabulary = 256
	smoothing  = 0.1
)

// An NGram is the baseline that predicts a byte from the order bytes before it
// by counting, with add-0.1 smoothing over the 256 byte values:
//
//	p(b | context) = (count(context, b) + 0.1) / (count(context) + 25.6)
//
// Without any counts every byte has 8 bits. Memory is 1 KiB for each context
// met and 0.5 MiB besides: some 10 MiB at order 2 for text, 65 MiB at most.
type NGram struct {
	// contexts[k] has the counts after each context of k bytes, nil if it was
	// never met. The orders below the highest serve where a window begins.
	contexts [][]*following
}

// following counts the bytes that follow one context.
type following struct {
	bytes [vocabulary]uint32
	total uint64
}

// NewNGram returns an n-gram model without counts. It is an error if order is
// not 0, 1 or 2.
func NewNGram(order int) (*NGram, error) {
	if order < 0 || order > MaxOrder {
		return nil, errors.Errorf("data.NewNGram: order is %d: want 0 to %d", order, MaxOrder)
	}
	m := &NGram{contexts: make([][]*following, order+1)}
	size := 1
	for k := range m.contexts {
		m.contexts[k] = make([]*following, size)
		size *= vocabulary
	}
	return m, nil
}

// Order returns the number of bytes of context.
func (m *NGram) Order() int { return len(m.contexts) - 1 }

// Fit adds the counts of a text, which may be one of several: no context
// reaches from one into the next. The first bytes of a text, which have no full
// context, count only for the lower orders.
func (m *NGram) Fit(text []byte) {
	for k, contexts := range m.contexts {
		context := 0
		for i, b := range text {
			if i >= k {
				f := contexts[context]
				if f == nil {
					f = new(following)
					contexts[context] = f
				}
				f.bytes[b]++
				f.total++
			}
			context = (context*vocabulary + int(b)) % len(contexts)
		}
	}
}

// BitsPerByte returns the mean of -log2 p over all targets of the batches. The
// context of a target are the tokens of its row up to it, as for a model that
// is evaluated on the same batches; while the row has fewer of them than the
// order (the first target at order 2) the lower order predicts. It is an error
// if there are no targets, a batch is not of its own shape, or a token is no
// byte.
func (m *NGram) BitsPerByte(batches []Batch) (float64, error) {
	var bits float64
	targets := 0
	for i, b := range batches {
		if b.Rows < 0 || b.Length < 0 || len(b.Tokens) != b.Rows*b.Length || len(b.Targets) != len(b.Tokens) {
			return 0, errors.Errorf("data.NGram.BitsPerByte: batch %d of shape [%d, %d] has %d tokens and %d targets",
				i, b.Rows, b.Length, len(b.Tokens), len(b.Targets))
		}
		for at, target := range b.Targets {
			token := b.Tokens[at]
			if token < 0 || token >= vocabulary || target < 0 || target >= vocabulary {
				return 0, errors.Errorf("data.NGram.BitsPerByte: batch %d has token %d and target %d: want bytes, 0 to %d",
					i, token, target, vocabulary-1)
			}
			k := min(m.Order(), at%b.Length+1)
			context := 0
			for _, t := range b.Tokens[at+1-k : at+1] {
				context = context*vocabulary + int(t)
			}
			bits -= math.Log2(m.probability(k, context, target))
		}
		targets += len(b.Targets)
	}
	if targets == 0 {
		return 0, errors.New("data.NGram.BitsPerByte: no targets to predict")
	}
	return bits / float64(targets), nil
}

// probability returns p(b | context) at order k.
func (m *NGram) probability(k, context int, b int32) float64 {
	var count, total float64
	if f := m.contexts[k][context]; f != nil {
		count, total = float64(f.bytes[b]), float64(f.total)
	}
	return (count + smoothing) / (total + vocabulary*smoothing)
}
