package qla

import (
	"context"
	"iter"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// prefill is how many tokens of a prompt are read at a time, which bounds the
// memory that a long prompt needs.
const prefill = 1024

// Generate yields n tokens that continue a prompt of one token or more. The
// same model, prompt and options give the same tokens. After an error, which is
// the context's when it ends, nothing more is yielded.
func (m *Model) Generate(ctx context.Context, prompt []int32, n int, opt SampleOptions) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		sampler, err := NewSampler(opt)
		if err == nil {
			err = m.checkPrompt(prompt, n)
		}
		if err != nil {
			yield(0, errors.WithMessage(err, "qla.Model.Generate"))
			return
		}
		cache := m.NewCache()
		defer cache.Close()
		ids := prompt
		for range n {
			id, err := m.next(ctx, ids, cache, sampler)
			if err != nil {
				yield(0, errors.WithMessage(err, "qla.Model.Generate"))
				return
			}
			if !yield(id, nil) {
				return
			}
			ids = []int32{id}
		}
	}
}

func (m *Model) checkPrompt(prompt []int32, n int) error {
	if len(prompt) == 0 {
		return errors.New("the prompt is empty, want one token or more")
	}
	if n < 0 {
		return errors.Errorf("want 0 tokens or more, got %d", n)
	}
	for i, id := range prompt {
		if id < 0 || int(id) >= m.cfg.Vocab {
			return errors.Errorf("token %d of the prompt is %d, want 0 to %d", i, id, m.cfg.Vocab-1)
		}
	}
	return nil
}

// next reads tokens and chooses the one after them.
func (m *Model) next(ctx context.Context, ids []int32, cache *Cache, sampler *Sampler) (int32, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, errors.WithStack(err)
		}
		piece := ids[:min(len(ids), prefill)]
		ids = ids[len(piece):]
		logits, err := m.read(piece, cache)
		if err != nil {
			return 0, err
		}
		if len(ids) == 0 {
			id, err := sampler.Next(logits)
			return int32(id), err
		}
	}
}

// read moves the cache over tokens and returns the logits after the last.
func (m *Model) read(ids []int32, cache *Cache) ([]float32, error) {
	tape := autograd.NoGrad()
	defer tape.Close()
	var logits *tensor.Tensor
	err := tensor.Try(func() {
		tokens := tensor.FromSlice(ids, 1, len(ids))
		defer tensor.Free(tokens)
		x := m.features(tape, tape.Const(tokens).Value(), cache)
		last := ops.SliceAxis(x, 1, len(ids)-1, len(ids))
		logits = tensor.AsType(m.logits(tape, last).Value(), tensor.Float32)
		tape.Keep(logits)
	})
	defer tensor.Free(logits)
	if err != nil {
		return nil, err
	}
	tape.Close() // intermediate values are freed as they are used
	if err := tensor.Eval(append(cache.tensors(), logits)...); err != nil {
		return nil, err
	}
	return tensor.Data[float32](logits)
}
