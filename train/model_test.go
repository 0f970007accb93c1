package train_test

import (
	"iter"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/data"
)

// bigram is the smallest language model: it looks at one token only.
type bigram struct {
	Embedding *nn.Embedding `param:"embedding"`
	Layers    []*nn.Linear  `param:"layers"`
	Head      *nn.Linear    `param:"head"`
}

// newBigram makes a model with random weights. Its layers are square.
func newBigram(seed uint64, vocab, width, layers int) *bigram {
	keys := tensor.Split(tensor.Key(seed), layers+2)
	m := &bigram{
		Embedding: nn.NewEmbedding(keys[0], vocab, width),
		Head:      nn.NewLinear(keys[1], width, vocab, true),
	}
	for _, k := range keys[2:] {
		m.Layers = append(m.Layers, nn.NewLinear(k, width, width, false))
	}
	return m
}

func (m *bigram) Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var {
	x := m.Embedding.Forward(tape, ids)
	for _, l := range m.Layers {
		x = l.Forward(tape, x)
	}
	return m.Head.Forward(tape, x)
}

func (m *bigram) Params() iter.Seq2[string, *autograd.Param] { return nn.Named(m) }

func (m *bigram) Save(path string) error { return tensor.Save(path, nn.State(m), nil) }

// weights returns the values of all parameters one after the other.
func weights(t *testing.T, m *bigram) []float32 {
	t.Helper()
	var all []float32
	for _, p := range m.Params() {
		all = append(all, values[float32](t, p.Value())...)
	}
	return all
}

func values[T tensor.Element](t *testing.T, x *tensor.Tensor) []T {
	t.Helper()
	list, err := tensor.Data[T](x)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// stream is Data made of a function.
type stream func(yield func(data.Batch, error) bool)

func (s stream) All() iter.Seq2[data.Batch, error] { return iter.Seq2[data.Batch, error](s) }

// always yields one batch for ever.
func always(b data.Batch) stream {
	return func(yield func(data.Batch, error) bool) {
		for yield(b, nil) {
		}
	}
}

// lessons yields lesson n times, and what then yields.
func lessons(n int, then func(yield func(data.Batch, error) bool)) stream {
	return func(yield func(data.Batch, error) bool) {
		for range n {
			if !yield(lesson, nil) {
				return
			}
		}
		if then != nil {
			then(yield)
		}
	}
}

// lesson is a batch [2, 4] that a bigram can learn by heart.
var lesson = data.Batch{
	Tokens:  []int32{0, 1, 2, 3, 4, 5, 6, 7},
	Targets: []int32{1, 2, 3, 4, 5, 6, 7, 0},
	Rows:    2, Length: 4,
}

// sampler draws batches [4, 8] of tokens below 16.
func sampler(t *testing.T, seed uint64) *data.Sampler {
	t.Helper()
	text := make([]byte, 1000)
	for i := range text {
		text[i] = byte(i * i % 16)
	}
	s, err := data.NewSampler(text, 4, 8, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
