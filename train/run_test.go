package train_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
)

// fit trains m with cfg on batches and returns what every step did.
func fit(ctx context.Context, m train.Model, cfg train.Config, batches train.Data) ([]train.StepResult, error) {
	var results []train.StepResult
	then := cfg.OnStep
	cfg.OnStep = func(s train.StepResult) {
		results = append(results, s)
		if then != nil {
			then(s)
		}
	}
	err := train.Run(ctx, cfg, m, batches)
	return results, err
}

// mustFit is fit for runs that can't fail.
func mustFit(t *testing.T, m train.Model, cfg train.Config, batches train.Data) []train.StepResult {
	t.Helper()
	results, err := fit(context.Background(), m, cfg, batches)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != cfg.Steps {
		t.Fatalf("%d steps, want %d", len(results), cfg.Steps)
	}
	return results
}

func TestRunLearnsByHeart(t *testing.T) {
	m := newBigram(1, 8, 16, 1)
	results := mustFit(t, m, train.Config{Steps: 60, LearningRate: 3e-2}, always(lesson))
	if first := results[0].Loss; math.Abs(first-math.Log(8)) > 1.5 {
		t.Errorf("the first loss is %.3f, want about ln 8", first)
	}
	if last := results[59].Loss; last > 0.05 {
		t.Errorf("the last loss is %.3f, want it near 0", last)
	}
}

// The steps of Run are those of the public parts: gradients on a tape, Clip, and
// AdamW with the schedule's rate.
func TestRunStepByStep(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  train.Config
	}{
		{"defaults", train.Config{Steps: 40, LearningRate: 1e-2}},
		{"no decay", train.Config{Steps: 4, LearningRate: 1e-2, WeightDecay: -1}},
		{"no clipping, no warm-up", train.Config{Steps: 4, LearningRate: 1e-2, ClipNorm: -1, WarmupSteps: -1}},
		{"hard clipping", train.Config{Steps: 4, LearningRate: 1e-2, ClipNorm: 1e-3, Epsilon: 1e-3}},
		{"no momentum", train.Config{Steps: 4, LearningRate: 1e-2, Beta1: -1, Beta2: 0.5}},
		{"own schedule", train.Config{Steps: 4, Schedule: func(step int) float64 { return float64(step) * 1e-3 }}},
		{"schedule's fields", train.Config{Steps: 4, LearningRate: 1e-2, WarmupSteps: 2, FinalFraction: -1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, other := newBigram(1, 16, 8, 1), newBigram(1, 16, 8, 1)
			results := mustFit(t, m, test.cfg, sampler(t, 3))

			cfg := test.cfg
			schedule := cfg.Schedule
			if schedule == nil {
				warmup := map[int]int{0: cfg.Steps / 20, -1: 0, 2: 2}[cfg.WarmupSteps]
				final := map[float64]float64{0: 0.1, -1: 0}[cfg.FinalFraction]
				schedule = train.WarmupCosine(cfg.LearningRate, warmup, cfg.Steps, final)
			}
			adam, err := train.NewAdamW(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer adam.Close()
			step := 0
			for b := range sampler(t, 3).All() {
				if step == cfg.Steps {
					break
				}
				loss, norm := stepOf(t, other, adam, b, schedule(step), cfg.ClipNorm)
				want := train.StepResult{
					Step: step + 1, Loss: loss, GradNorm: norm, LearningRate: schedule(step), Tokens: 32,
					PeakMemory: results[step].PeakMemory,
				}
				if results[step] != want {
					t.Errorf("got  %+v\nwant %+v", results[step], want)
				}
				step++
			}
			if !slices.Equal(weights(t, m), weights(t, other)) {
				t.Error("the weights differ")
			}
		})
	}
}

// stepOf does one step by hand.
func stepOf(t *testing.T, m *bigram, adam *train.AdamW, b data.Batch, rate, clip float64) (loss, norm float64) {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	l := ops.CrossEntropy(m.Forward(tape, tensor.FromSlice(b.Tokens, b.Rows, b.Length)), tensor.FromSlice(b.Targets, b.Rows, b.Length))
	grads, err := tape.Backward(l)
	if err != nil {
		t.Fatal(err)
	}
	var list []*tensor.Tensor
	for _, p := range m.Params() {
		list = append(list, grads.OfParam(p))
	}
	n := train.GlobalNorm(list)
	if clip == 0 {
		clip = 1
	}
	if clip > 0 {
		list = train.Clip(list, n, clip)
	}
	for name, p := range m.Params() {
		adam.Update(name, p, list[0], rate)
		list = list[1:]
	}
	return float64(values[float32](t, l.Value())[0]), float64(values[float32](t, n)[0])
}

func TestRunIsDeterministic(t *testing.T) {
	train1 := func(seed uint64) ([]float64, []float32) {
		m := newBigram(seed, 16, 8, 1)
		return losses(mustFit(t, m, train.Config{Steps: 20, LearningRate: 1e-2}, sampler(t, seed))), weights(t, m)
	}
	curve, w := train1(5)
	again, w2 := train1(5)
	if !slices.Equal(curve, again) || !slices.Equal(w, w2) {
		t.Error("two runs with one seed differ")
	}
	if other, _ := train1(6); slices.Equal(curve, other) {
		t.Error("another seed makes no difference")
	}
}

// Runs on different models don't disturb each other.
func TestRunsAtOnce(t *testing.T) {
	const runs = 4
	cfg := train.Config{Steps: 25, LearningRate: 1e-2}
	var want, got [runs][]float64
	var wantWeights [runs][]float32
	var models [runs]*bigram
	for i := range runs {
		m := newBigram(uint64(i), 16, 8, 1)
		want[i] = losses(mustFit(t, m, cfg, sampler(t, uint64(i))))
		wantWeights[i] = weights(t, m)
		models[i] = newBigram(uint64(i), 16, 8, 1)
	}
	var all sync.WaitGroup
	for i := range runs {
		batches := sampler(t, uint64(i))
		all.Go(func() {
			results, err := fit(context.Background(), models[i], cfg, batches)
			if err != nil {
				t.Error(err)
			}
			got[i] = losses(results)
		})
	}
	all.Wait()
	for i := range runs {
		if !slices.Equal(got[i], want[i]) || !slices.Equal(weights(t, models[i]), wantWeights[i]) {
			t.Errorf("run %d differs from the same run alone", i)
		}
	}
}

func losses(results []train.StepResult) []float64 {
	var list []float64
	for _, s := range results {
		list = append(list, s.Loss)
	}
	return list
}

func TestRunLeavesFrozenParameters(t *testing.T) {
	m := newBigram(1, 8, 16, 2)
	frozen := []*autograd.Param{m.Embedding.Weight, m.Layers[1].Weight, m.Head.Bias}
	var before []*tensor.Tensor
	var beforeValues [][]float32
	for _, p := range frozen {
		p.SetTrainable(false)
		before = append(before, p.Value())
		beforeValues = append(beforeValues, values[float32](t, p.Value()))
	}
	moving := values[float32](t, m.Layers[0].Weight.Value())
	mustFit(t, m, train.Config{Steps: 3, LearningRate: 1e-2}, always(lesson))
	for i, p := range frozen {
		if p.Value() != before[i] || !slices.Equal(values[float32](t, p.Value()), beforeValues[i]) {
			t.Errorf("frozen parameter %d changed", i)
		}
	}
	if slices.Equal(values[float32](t, m.Layers[0].Weight.Value()), moving) {
		t.Error("a trainable parameter did not change")
	}
}

// A parameter that a model yields twice is updated once.
func TestRunSharedParameter(t *testing.T) {
	m, once := newBigram(1, 8, 8, 1), newBigram(1, 8, 8, 1)
	cfg := train.Config{Steps: 3, LearningRate: 1e-2}
	twice := &wrapped{bigram: m, params: func(yield func(string, *autograd.Param) bool) {
		for name, p := range m.Params() {
			if !yield(name, p) || !yield("again."+name, p) {
				return
			}
		}
	}}
	mustFit(t, twice, cfg, always(lesson))
	mustFit(t, once, cfg, always(lesson))
	if !slices.Equal(weights(t, m), weights(t, once)) {
		t.Error("the weights differ from those of a model that yields each parameter once")
	}
}

// wrapped is a bigram with other parameters or another Forward.
type wrapped struct {
	*bigram
	params  iter.Seq2[string, *autograd.Param]
	forward func(tape *autograd.Tape, logits *autograd.Var) *autograd.Var
}

func (w *wrapped) Params() iter.Seq2[string, *autograd.Param] {
	if w.params != nil {
		return w.params
	}
	return w.bigram.Params()
}

func (w *wrapped) Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var {
	logits := w.bigram.Forward(tape, ids)
	if w.forward != nil {
		return w.forward(tape, logits)
	}
	return logits
}

func TestRunRefusesModels(t *testing.T) {
	frozen := newBigram(1, 8, 4, 0)
	for _, p := range frozen.Params() {
		p.SetTrainable(false)
	}
	idle := newBigram(2, 8, 4, 2)
	none := &wrapped{bigram: newBigram(1, 8, 4, 0), params: func(func(string, *autograd.Param) bool) {}}
	unused := &wrapped{bigram: newBigram(1, 8, 4, 0), params: idle.Params()}
	flat := &wrapped{bigram: newBigram(1, 8, 4, 0), forward: func(_ *autograd.Tape, x *autograd.Var) *autograd.Var { return ops.Sum(x, false, 0) }}
	detached := &wrapped{bigram: newBigram(1, 8, 4, 0), forward: func(tape *autograd.Tape, x *autograd.Var) *autograd.Var { return tape.Const(x.Value()) }}
	for _, test := range []struct {
		name  string
		model train.Model
		want  []string
	}{
		{"no parameters", none, []string{"train.Run: the model has no trainable parameters"}},
		{"all frozen", frozen, []string{"train.Run: the model has no trainable parameters"}},
		{"parameters without gradient", unused, []string{"train.Run: step 1: the loss does not depend on the parameters embedding.weight, layers.0.weight, layers.1.weight, head.weight, head.bias"}},
		{"logits of another shape", flat, []string{"train.Run: step 1: ", "[4 8] x [2 4]"}},
		{"logits without gradient", detached, []string{"train.Run: step 1: ", "depends on no Var and no trainable Param"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			results, err := fit(context.Background(), test.model, train.Config{Steps: 3, LearningRate: 1}, always(lesson))
			wantError(t, err, test.want...)
			if len(results) != 0 {
				t.Errorf("%d steps were done", len(results))
			}
		})
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("want %q in the error: %v", part, err)
		}
	}
}

func TestRunDataErrors(t *testing.T) {
	withoutCollector(t)
	broken := errors.New("the disk is gone")
	change := func(f func(*data.Batch)) train.Data {
		b := lesson
		f(&b)
		return always(b)
	}
	for _, test := range []struct {
		name string
		data train.Data
		done int
		want []string
	}{
		{"fail", lessons(2, func(yield func(data.Batch, error) bool) { yield(data.Batch{}, broken) }), 2, []string{"train.Run: data for step 3: the disk is gone"}},
		{"end early", lessons(1, nil), 1, []string{"train.Run: the data ended after 1 of 4 steps"}},
		{"never begin", lessons(0, nil), 0, []string{"train.Run: the data ended after 0 of 4 steps"}},
		{"an empty batch", always(data.Batch{}), 0, []string{"train.Run: step 1: ", "want a batch of one token or more, got 0 rows of 0"}},
		{"negative sizes", change(func(b *data.Batch) { b.Rows, b.Length = -2, -4 }), 0, []string{"got -2 rows of -4"}},
		{"too few tokens", change(func(b *data.Batch) { b.Tokens = b.Tokens[1:] }), 0, []string{"7 elements don't fill the shape [2 4]"}},
		{"too few targets", change(func(b *data.Batch) { b.Targets = b.Targets[2:] }), 0, []string{"6 elements don't fill the shape [2 4]"}},
		{"a token out of range", change(func(b *data.Batch) { b.Tokens = []int32{0, 1, 2, 3, 4, 5, 6, 8} }), 0, []string{"train.Run: step 1: ", "8"}},
		{"a target out of range", change(func(b *data.Batch) { b.Targets = []int32{0, 1, 2, 3, 4, 5, 6, 99} }), 0, []string{"label 99 at position 7 is out of range [0, 8)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newBigram(1, 8, 4, 0)
			before := weights(t, m)
			live := tensor.Live()
			path := filepath.Join(t.TempDir(), "weights")
			results, err := fit(context.Background(), m, train.Config{Steps: 4, LearningRate: 1e-3, Checkpoint: path}, test.data)
			wantError(t, err, test.want...)
			if test.name == "fail" && !errors.Is(err, broken) {
				t.Error("the error does not wrap the data's")
			}
			if len(results) != test.done {
				t.Errorf("%d steps were done, want %d", len(results), test.done)
			}
			if test.done == 0 && !slices.Equal(weights(t, m), before) {
				t.Error("the weights changed")
			}
			if got := tensor.Live(); got != live {
				t.Errorf("%d tensors are open, %d were before", got, live)
			}
			if test.done > 0 {
				if !slices.Equal(saved(t, path), weights(t, m)) {
					t.Error("the checkpoint does not hold the weights of the last step")
				}
			} else if _, err := os.Stat(path); err == nil {
				t.Error("there is a checkpoint of no step")
			}
		})
	}
}

// Parameters whose gradients are one tensor.
func TestRunSharedGradient(t *testing.T) {
	bias := func() *autograd.Param { return autograd.NewParam("bias", tensor.Zeros(tensor.Float32, 8)) }
	m := &biased{Bigram: newBigram(1, 8, 4, 0), A: bias(), B: bias()}
	mustFit(t, m, train.Config{Steps: 3, LearningRate: 1e-2}, always(lesson))
	a, b := values[float32](t, m.A.Value()), values[float32](t, m.B.Value())
	if !slices.Equal(a, b) || a[0] == 0 {
		t.Errorf("the biases became %v and %v", a, b)
	}
}

// biased is a bigram with the sum of two biases.
type biased struct {
	Bigram *bigram         `param:"bigram"`
	A      *autograd.Param `param:"a"`
	B      *autograd.Param `param:"b"`
}

func (m *biased) Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var {
	return ops.Add(m.Bigram.Forward(tape, ids), ops.Add(tape.Param(m.A), tape.Param(m.B)))
}

func (m *biased) Params() iter.Seq2[string, *autograd.Param] { return nn.Named(m) }

func TestRunNotFinite(t *testing.T) {
	poison := func(f func(x *autograd.Var) *autograd.Var, at int) *wrapped {
		calls := 0
		return &wrapped{bigram: newBigram(1, 8, 4, 0), forward: func(_ *autograd.Tape, x *autograd.Var) *autograd.Var {
			if calls++; calls == at {
				return f(x)
			}
			return x
		}}
	}
	for _, test := range []struct {
		name  string
		model *wrapped
		done  int
		want  string
	}{
		{"a loss of NaN", poison(func(x *autograd.Var) *autograd.Var { return ops.MulScalar(x, math.NaN()) }, 3), 2, "train.Run: step 3: the loss is NaN"},
		{"an infinite loss", poison(func(x *autograd.Var) *autograd.Var { return ops.MulScalar(x, 1e38) }, 1), 0, "train.Run: step 1: the loss is "},
		// The loss of √0 is finite, its gradient is not.
		{"a gradient of NaN", poison(func(x *autograd.Var) *autograd.Var { return ops.Sqrt(ops.MulScalar(x, 0)) }, 2), 1, "train.Run: step 2: the loss is 2.07"},
	} {
		t.Run(test.name, func(t *testing.T) {
			last := weights(t, test.model.bigram)
			results, err := fit(context.Background(), test.model, train.Config{
				Steps: 5, LearningRate: 1e-2,
				OnStep: func(train.StepResult) { last = weights(t, test.model.bigram) },
			}, always(lesson))
			wantError(t, err, test.want, "not a finite number")
			if !slices.Equal(weights(t, test.model.bigram), last) {
				t.Error("the step that failed has changed the parameters")
			}
			if !errors.Is(err, train.ErrNotFinite) {
				t.Error("the error does not wrap ErrNotFinite")
			}
			if len(results) != test.done {
				t.Errorf("OnStep saw %d steps, want %d", len(results), test.done)
			}
		})
	}
}

func TestRunBadSchedule(t *testing.T) {
	for _, rate := range []float64{math.NaN(), math.Inf(1), -1e-3} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			m := newBigram(1, 8, 4, 0)
			before := weights(t, m)
			cfg := train.Config{Steps: 3, Schedule: func(step int) float64 { return float64(step) * rate }}
			if math.IsNaN(0 * rate) {
				cfg.Schedule = train.Constant(rate)
			}
			_, err := fit(context.Background(), m, cfg, always(lesson))
			wantError(t, err, fmt.Sprintf("the schedule gives the learning rate %v", rate))
			if math.IsNaN(0*rate) && !slices.Equal(weights(t, m), before) {
				t.Error("the weights changed")
			}
		})
	}
}
