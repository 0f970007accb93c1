package train

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/data"
)

// Model is a language model that Run can train.
type Model interface {
	// Forward returns logits [B, T, vocabulary] for token ids [B, T].
	Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var
	// Params yields the parameters with their names, in a fixed order. One that
	// comes again, such as a tied one, counts once, under its first name.
	Params() iter.Seq2[string, *autograd.Param]
}

// Data is a stream of batches, such as *data.Sampler.
type Data interface {
	All() iter.Seq2[data.Batch, error]
}

// ErrNotFinite is wrapped by the error of a run whose loss or gradient is NaN
// or infinite.
var ErrNotFinite = errors.New("not a finite number")

// Run trains a model. It returns nil after cfg.Steps steps; the context's
// error, wrapped, if it ended before; and an error for bad settings, data that
// fail or end early, and numbers that are not finite, of which nothing gets into
// the parameters. Runs of different models may go on at the same time.
func Run(ctx context.Context, cfg Config, model Model, batches Data) error {
	return errors.WithMessage(run(ctx, cfg, model, batches), "train.Run")
}

func run(ctx context.Context, cfg Config, model Model, batches Data) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	r, err := newRunner(cfg, model)
	if err != nil {
		return err
	}
	defer r.adam.Close()
	weights, err := newCheckpoint(cfg.Checkpoint, model, r.params)
	if err != nil {
		return err
	}
	done := 0
	// stop saves what there is: without a step an earlier checkpoint is worth more.
	stop := func(cause error) error {
		if done > 0 {
			if err := weights.save(); err != nil {
				return errors.WithMessage(err, cause.Error())
			}
		}
		return cause
	}
	for batch, err := range batches.All() {
		if ctx.Err() != nil { // since the last step, or before the first
			break
		}
		if err != nil {
			return stop(errors.Wrapf(err, "data for step %d", done+1))
		}
		result, err := r.step(done, batch)
		if err != nil {
			return errors.WithMessagef(err, "step %d", done+1)
		}
		done++
		if cfg.OnStep != nil {
			cfg.OnStep(result)
		}
		if done == cfg.Steps {
			return weights.save()
		}
		if ctx.Err() != nil {
			break
		}
		if cfg.CheckpointEvery > 0 && done%cfg.CheckpointEvery == 0 {
			if err := weights.save(); err != nil {
				return err
			}
		}
	}
	if ctx.Err() == nil {
		return stop(errors.Errorf("the data ended after %d of %d steps", done, cfg.Steps))
	}
	return stop(errors.Wrapf(ctx.Err(), "stopped after %d of %d steps", done, cfg.Steps))
}

// runner is the state of a run.
type runner struct {
	cfg    Config
	model  Model
	adam   *AdamW
	names  []string
	params []*autograd.Param
	size   int // of all parameters, in elements
}

func newRunner(cfg Config, model Model) (*runner, error) {
	r := &runner{cfg: cfg, model: model, adam: newAdamW(cfg)}
	for name, p := range model.Params() {
		if p.Trainable() && !slices.Contains(r.params, p) {
			r.names, r.params = append(r.names, name), append(r.params, p)
			r.size += p.Value().Size()
		}
	}
	if len(r.params) == 0 {
		return nil, errors.New("the model has no trainable parameters")
	}
	return r, nil
}

// step does one step, counted from 0. Nothing is updated unless the loss and the
// gradient are finite.
func (r *runner) step(step int, batch data.Batch) (StepResult, error) {
	tensor.ResetPeakMemory()
	rate := r.cfg.Schedule(step)
	if !finite(rate) || rate < 0 {
		return StepResult{}, errors.Errorf("the schedule gives the learning rate %v, want a finite number, 0 or more", rate)
	}
	g, err := r.backward(batch)
	if err != nil {
		return StepResult{}, err
	}
	defer g.free()
	if err := r.evaluate(g); err != nil {
		return StepResult{}, err
	}
	result := StepResult{Step: step + 1, LearningRate: rate, Tokens: len(batch.Tokens)}
	if result.Loss, err = number(g.loss); err != nil {
		return result, err
	}
	if result.GradNorm, err = number(g.norm); err != nil {
		return result, err
	}
	if !finite(result.Loss) || !finite(result.GradNorm) {
		return result, errors.Wrapf(ErrNotFinite, "the loss is %v, the norm of its gradient %v", result.Loss, result.GradNorm)
	}
	err = r.update(g, rate)
	result.PeakMemory = tensor.Memory().Peak
	return result, err
}

// gradients are what a backward pass leaves when its tape is closed. The lists
// are in the order of the runner's params.
type gradients struct {
	loss, norm *tensor.Tensor
	grads      []*tensor.Tensor
	squares    []*tensor.Tensor // numbers, their sums
}

func (g *gradients) free() {
	tensor.Free(g.loss, g.norm)
	tensor.Free(g.grads...)
	tensor.Free(g.squares...)
}

// backward builds the graph of the gradients.
func (r *runner) backward(batch data.Batch) (*gradients, error) {
	tape := autograd.NewTape()
	defer tape.Close()
	var l *autograd.Var
	if err := tensor.Try(func() { l = batchLoss(tape, r.model, batch) }); err != nil {
		return nil, err
	}
	grads, err := tape.Backward(l)
	if err != nil {
		return nil, err
	}
	g := &gradients{loss: l.Value()}
	if g.grads, err = r.inOrder(grads); err != nil {
		return nil, err
	}
	g.squares = sumsOfSquares(g.grads)
	g.norm = rootOfSum(g.squares)
	tape.Keep(g.loss, g.norm) // last: what is computed from them belongs to the tape
	tape.Keep(g.grads...)
	tape.Keep(g.squares...)
	return g, nil
}

// large reports whether parameter i is so great a part of all that what is
// computed from it is evaluated by itself, piece by piece, lest several
// temporary values of its size be in memory together.
func (r *runner) large(i int) bool { return 8*r.params[i].Value().Size() > r.size }

// evaluate computes the gradients.
func (r *runner) evaluate(g *gradients) error {
	first := append([]*tensor.Tensor{g.loss}, g.grads...)
	var later []*tensor.Tensor
	for i, s := range g.squares {
		if r.large(i) {
			later = append(later, s)
		} else {
			first = append(first, s)
		}
	}
	if err := tensor.Eval(first...); err != nil {
		return err
	}
	return evalInTurn(append(later, g.norm)...)
}

// update gives the parameters their next values, in the memory of the old ones,
// and frees the gradients.
func (r *runner) update(g *gradients, rate float64) error {
	var rest []*tensor.Tensor
	for i, p := range r.params {
		r.updateOne(i, g, rate)
		state := append(r.adam.moments(p), p.Value())
		if !r.large(i) {
			rest = append(rest, state...)
		} else if err := evalInTurn(state...); err != nil {
			return err
		}
	}
	return tensor.Eval(rest...)
}

// evalInTurn evaluates tensors one after the other.
func evalInTurn(ts ...*tensor.Tensor) error {
	for _, t := range ts {
		if err := tensor.Eval(t); err != nil {
			return err
		}
	}
	return nil
}

// updateOne updates parameter i and frees its gradient.
func (r *runner) updateOne(i int, g *gradients, rate float64) {
	s := tensor.NewScope()
	defer s.Close()
	grad := s.Use(g.grads[i])
	if !slices.Contains(g.grads[i+1:], g.grads[i]) { // parameters may share one
		tensor.Free(g.grads[i])
	}
	if r.cfg.ClipNorm > 0 {
		grad = Clip([]*tensor.Tensor{grad}, s.Use(g.norm), r.cfg.ClipNorm)[0]
	}
	r.adam.Update(r.names[i], r.params[i], grad, rate)
}

// inOrder lists the gradients of the trained parameters.
func (r *runner) inOrder(grads *autograd.Gradients) ([]*tensor.Tensor, error) {
	list := make([]*tensor.Tensor, len(r.params))
	var unused []string
	for i, p := range r.params {
		if list[i] = grads.OfParam(p); list[i] == nil {
			unused = append(unused, r.names[i])
		}
	}
	if unused != nil {
		return nil, errors.Errorf("the loss does not depend on the parameters %s; make them not trainable", strings.Join(unused, ", "))
	}
	return list, nil
}

// batchLoss is the mean cross-entropy of a batch in nats per token. It panics
// with *tensor.Error for a batch that is none.
func batchLoss(tape *autograd.Tape, model Model, b data.Batch) *autograd.Var {
	if b.Rows < 1 || b.Length < 1 {
		panic(tensor.NewError("train", nil, "want a batch of one token or more, got %d rows of %d", b.Rows, b.Length))
	}
	return ops.CrossEntropy(model.Forward(tape, input(tape, b.Tokens, b)), input(tape, b.Targets, b))
}

// input returns token ids as a tensor of the tape.
func input(tape *autograd.Tape, ids []int32, b data.Batch) *tensor.Tensor {
	t := tensor.FromSlice(ids, b.Rows, b.Length)
	defer tensor.Free(t)
	return tape.Const(t).Value()
}

// number reads a tensor of one element.
func number(t *tensor.Tensor) (float64, error) {
	if t.Dtype() == tensor.Float64 {
		return tensor.Item[float64](t)
	}
	v, err := tensor.Item[float32](t)
	return float64(v), err
}
