package train

import (
	"context"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/data"
)

// Evaluate returns the mean cross-entropy of a model over the tokens of all
// batches, in nats per token, without recording anything. As in ops.CrossEntropy
// targets that are ops.IgnoreLabel don't count.
//
// A batch is computed at once and freed before the next one, so the largest batch
// decides how much memory it takes: one of the size that the model was trained
// with takes less than a step of training.
func Evaluate(ctx context.Context, model Model, batches []data.Batch) (float64, error) {
	total, tokens := 0.0, 0
	for i, b := range batches {
		if err := ctx.Err(); err != nil {
			return 0, errors.Wrap(err, "train.Evaluate")
		}
		loss, err := evaluateBatch(model, b)
		if err != nil {
			return 0, errors.WithMessagef(err, "train.Evaluate: batch %d", i)
		}
		n := counted(b.Targets)
		total += loss * float64(n)
		tokens += n
	}
	if tokens == 0 {
		return 0, errors.Errorf("train.Evaluate: want one target or more, got none in %d batches", len(batches))
	}
	return total / float64(tokens), nil
}

// counted returns the number of targets that the loss is the mean of.
func counted(targets []int32) int {
	n := 0
	for _, t := range targets {
		if t != ops.IgnoreLabel {
			n++
		}
	}
	return n
}

func evaluateBatch(model Model, b data.Batch) (float64, error) {
	tape := autograd.NoGrad()
	defer tape.Close()
	var loss *tensor.Tensor
	if err := tensor.Try(func() { loss = batchLoss(tape, model, b).Value() }); err != nil {
		return 0, err
	}
	tape.Keep(loss)
	defer tensor.Free(loss)
	tape.Close() // before the evaluation: intermediate values are freed as they are used
	return number(loss)
}

// BitsPerByte turns nats per byte into bits per byte.
func BitsPerByte(nats float64) float64 { return nats / math.Ln2 }
