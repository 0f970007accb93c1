package train_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
)

func evaluate(t *testing.T, m train.Model, batches ...data.Batch) float64 {
	t.Helper()
	nats, err := train.Evaluate(context.Background(), m, batches)
	if err != nil {
		t.Fatal(err)
	}
	return nats
}

// reference is the mean cross-entropy of a bigram without layers, in float64.
func reference(t *testing.T, m *bigram, batches ...data.Batch) float64 {
	t.Helper()
	embedding := values[float32](t, m.Embedding.Weight.Value())
	head, bias := values[float32](t, m.Head.Weight.Value()), values[float32](t, m.Head.Bias.Value())
	vocab := len(bias)
	width := len(head) / vocab
	total, n := 0.0, 0
	logits := make([]float64, vocab)
	for _, b := range batches {
		for i, token := range b.Tokens {
			if b.Targets[i] == ops.IgnoreLabel {
				continue
			}
			for class := range logits {
				logits[class] = float64(bias[class])
				for j := range width {
					logits[class] += float64(embedding[int(token)*width+j]) * float64(head[class*width+j])
				}
			}
			total += floats.LogSumExp(logits) - logits[b.Targets[i]]
			n++
		}
	}
	return total / float64(n)
}

func TestEvaluate(t *testing.T) {
	m := newBigram(1, 16, 8, 0)
	s := sampler(t, 1)
	full, other := s.Next(), s.Next()
	const ignore = ops.IgnoreLabel
	short := data.Batch{Tokens: []int32{3, 1, 2}, Targets: []int32{15, 0, 7}, Rows: 1, Length: 3}
	holes := data.Batch{Tokens: []int32{3, 1, 2, 9}, Targets: []int32{ignore, 4, ignore, ignore}, Rows: 2, Length: 2}
	empty := data.Batch{Tokens: []int32{3, 1}, Targets: []int32{ignore, ignore}, Rows: 2, Length: 1}
	for _, test := range []struct {
		name    string
		batches []data.Batch
	}{
		{"one batch", []data.Batch{full}},
		{"batches of several sizes", []data.Batch{full, short, other}},
		{"ignored targets", []data.Batch{holes, full, empty, short}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, want := evaluate(t, m, test.batches...), reference(t, m, test.batches...)
			if math.Abs(got-want) > 1e-6*want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	t.Run("the loss of a step", func(t *testing.T) {
		want := evaluate(t, m, full)
		results := mustFit(t, m, train.Config{Steps: 1, LearningRate: 1e-3}, always(full))
		if got := results[0].Loss; math.Abs(got-want) > 1e-6*want {
			t.Errorf("Run's first loss is %v, Evaluate's %v", got, want)
		}
	})
}

// Nothing is recorded during an evaluation.
func TestEvaluateDoesNotRecord(t *testing.T) {
	m := &wrapped{bigram: newBigram(1, 8, 4, 0), forward: func(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
		if tape.Recording() || x.RequiresGrad() {
			t.Error("the tape records")
		}
		return x
	}}
	evaluate(t, m, lesson)
}

func TestEvaluateErrors(t *testing.T) {
	withoutCollector(t)
	ctx := context.Background()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	ignored := data.Batch{Tokens: []int32{1}, Targets: []int32{ops.IgnoreLabel}, Rows: 1, Length: 1}
	far := data.Batch{Tokens: []int32{8}, Targets: []int32{0}, Rows: 1, Length: 1}
	for _, test := range []struct {
		name    string
		ctx     context.Context
		batches []data.Batch
		want    []string
	}{
		{"no batches", ctx, nil, []string{"train.Evaluate: want one target or more, got none in 0 batches"}},
		{"no targets that count", ctx, []data.Batch{ignored, ignored}, []string{"got none in 2 batches"}},
		{"an empty batch", ctx, []data.Batch{lesson, {}}, []string{"train.Evaluate: batch 1: ", "want a batch of one token or more"}},
		{"a token out of range", ctx, []data.Batch{far}, []string{"train.Evaluate: batch 0: "}},
		{"a context that has ended", ended, []data.Batch{lesson}, []string{"train.Evaluate: context canceled"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newBigram(1, 8, 4, 0)
			live := tensor.Live()
			_, err := train.Evaluate(test.ctx, m, test.batches)
			wantError(t, err, test.want...)
			if test.ctx == ended && !errors.Is(err, context.Canceled) {
				t.Error("the error does not wrap context.Canceled")
			}
			if got := tensor.Live(); got != live {
				t.Errorf("%d tensors are open, %d were before", got, live)
			}
		})
	}
}

func TestBitsPerByte(t *testing.T) {
	if got := train.BitsPerByte(math.Log(256)); math.Abs(got-8) > 1e-12 {
		t.Errorf("ln 256 nats are %v bits, want 8", got)
	}
}
