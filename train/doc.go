// Package train trains language models: the loop, AdamW, learning-rate
// schedules, clipping by global norm, evaluation and checkpoints of weights.
//
// # Overview
//
// Run takes a model, a stream of batches and a Config:
//
//	sampler, err := data.NewSampler(text, 16, 128, seed)
//	...
//	err = train.Run(ctx, train.Config{Steps: 600, LearningRate: 3e-3}, model, sampler)
//
// One step computes the mean cross-entropy over a batch and its gradients on a
// tape, closes the tape and only then evaluates: so nothing but what the step
// needs is in memory. If all is finite, it clips the gradients and updates the
// parameters.
//
// GlobalNorm, Clip and AdamW serve loops of one's own, too; examples/custom_layer
// has one.
//
// # Lifetime
//
// Users free nothing. The loop replaces the values of the model's parameters;
// a tensor that was read from a parameter before is closed then. Parameters and
// moments are updated in place in MLX's memory: a step holds parameters, two
// moments, gradients, what the backward pass needs of the forward pass, and
// temporary values of few parameters at a time: of one, where few parameters are
// nearly all of the model.
//
// # Errors
//
// Bad settings are refused before the first step, all of them in one error, and
// so is a checkpoint that can't be written. A loss, gradient or weight that is
// not finite ends the run with an error that wraps ErrNotFinite, and leaves the
// parameters as the step before has left them and the last saved checkpoint
// alone. Data that fail or end early end it, too; the weights are saved first. A cancelled context ends the run after the step
// that is under way; the weights are saved and the error wraps the context's.
package train
