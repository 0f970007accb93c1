package train_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
)

// saved returns the weights in a file that bigram.Save wrote.
func saved(t *testing.T, path string) []float32 {
	t.Helper()
	list, _, err := tensor.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	m := newBigram(0, 8, 4, 0)
	if err := nn.Load(m, list); err != nil {
		t.Fatal(err)
	}
	return weights(t, m)
}

func TestCheckpoint(t *testing.T) {
	for _, test := range []struct {
		name        string
		every, step int // the last step whose weights are in the file when step 7 of 7 has been done
	}{
		{"only at the end", 0, 0},
		{"every step", 1, 6},
		{"every third", 3, 6},
		{"more seldom than there are steps", 8, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weights")
			m := newBigram(1, 8, 4, 0)
			var history [][]float32
			mustFit(t, m, train.Config{
				Steps: 7, LearningRate: 1e-2, Checkpoint: path, CheckpointEvery: test.every,
				OnStep: func(s train.StepResult) {
					history = append(history, weights(t, m))
					if s.Step < 7 {
						return
					}
					if test.step == 0 {
						if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
							t.Errorf("there is a file before the end: %v", err)
						}
					} else if !slices.Equal(saved(t, path), history[test.step-1]) {
						t.Errorf("the file does not hold the weights of step %d", test.step)
					}
				},
			}, always(lesson))
			if !slices.Equal(saved(t, path), weights(t, m)) {
				t.Error("the file does not hold the weights of the end")
			}
			onlyFile(t, filepath.Dir(path), "weights")
		})
	}
}

func onlyFile(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("the folder holds %q, want %q", got, names)
	}
}

func TestCancel(t *testing.T) {
	type run struct {
		cancel func()
		model  *wrapped
	}
	for _, test := range []struct {
		name string
		data func(*run) train.Data
		set  func(*run, *train.Config)
		done int
	}{
		{name: "between steps", done: 3, set: func(r *run, cfg *train.Config) {
			cfg.OnStep = func(s train.StepResult) {
				if s.Step == 3 {
					r.cancel()
				}
			}
		}},
		{name: "within a step", done: 2, set: func(r *run, _ *train.Config) {
			calls := 0
			r.model.forward = func(_ *autograd.Tape, x *autograd.Var) *autograd.Var {
				if calls++; calls == 2 {
					r.cancel()
				}
				return x
			}
		}},
		{name: "the data end because of it", done: 2, data: func(r *run) train.Data {
			return lessons(2, func(func(data.Batch, error) bool) { r.cancel() })
		}},
		{name: "the data fail because of it", done: 1, data: func(r *run) train.Data {
			return lessons(1, func(yield func(data.Batch, error) bool) {
				r.cancel()
				yield(data.Batch{}, context.Canceled)
			})
		}},
		{name: "while data are fetched", done: 1, data: func(r *run) train.Data {
			return lessons(1, func(yield func(data.Batch, error) bool) {
				r.cancel()
				yield(lesson, nil)
			})
		}},
		{name: "in the last step", done: 5, set: func(r *run, cfg *train.Config) {
			cfg.OnStep = func(s train.StepResult) {
				if s.Step == 5 {
					r.cancel()
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			path := filepath.Join(t.TempDir(), "weights")
			r := &run{cancel, &wrapped{bigram: newBigram(1, 8, 4, 0)}}
			cfg := train.Config{Steps: 5, LearningRate: 1e-2, Checkpoint: path}
			batches := train.Data(always(lesson))
			if test.data != nil {
				batches = test.data(r)
			}
			if test.set != nil {
				test.set(r, &cfg)
			}
			results, err := fit(ctx, r.model, cfg, batches)
			if test.done == cfg.Steps {
				if err != nil {
					t.Errorf("all steps were done, but the error is %v", err)
				}
			} else {
				wantError(t, err, "train.Run: stopped after ", " of 5 steps: context canceled")
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v does not wrap context.Canceled", err)
				}
			}
			if len(results) != test.done {
				t.Errorf("%d steps were done, want %d", len(results), test.done)
			}
			if !slices.Equal(saved(t, path), weights(t, r.model.bigram)) {
				t.Error("the file does not hold the weights of the last step")
			}
		})
	}
}

// A run that is cancelled before its first step leaves an old checkpoint alone.
func TestCancelBeforeTheFirstStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights")
	old := newBigram(9, 8, 4, 0)
	if err := old.Save(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := fit(ctx, newBigram(1, 8, 4, 0), train.Config{Steps: 5, LearningRate: 1, Checkpoint: path}, always(lesson))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to wrap context.Canceled", err)
	}
	if !slices.Equal(saved(t, path), weights(t, old)) {
		t.Error("the old weights were replaced")
	}
}

// Weights that are not finite never replace a checkpoint, whether the loss tells
// or the run ends with the update that ruins them.
func TestNotFiniteLeavesCheckpoint(t *testing.T) {
	ruin := func(step int) float64 { return []float64{1e-2, 1e-2, 1e-2, math.MaxFloat64, 1e-2}[step] }
	for _, test := range []struct {
		name  string
		every int
		steps int
		want  string
	}{
		{"seen by the loss", 5, 9, "train.Run: step 5: the loss is NaN"},
		{"seen by the next checkpoint", 1, 9, "train.Run: checkpoint: the norm of the weights is "},
		{"seen by the last checkpoint", 5, 4, "train.Run: checkpoint: the norm of the weights is "},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "weights")
			m := newBigram(1, 8, 4, 0)
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
			last := weights(t, m)
			_, err := fit(context.Background(), m, train.Config{
				Steps: test.steps, Schedule: ruin, Checkpoint: path, CheckpointEvery: test.every,
				OnStep: func(s train.StepResult) {
					if test.every == 1 && s.Step <= 3 {
						last = weights(t, m)
					}
				},
			}, always(lesson))
			wantError(t, err, test.want)
			if !errors.Is(err, train.ErrNotFinite) {
				t.Errorf("%v does not wrap ErrNotFinite", err)
			}
			if !slices.Equal(saved(t, path), last) {
				t.Error("the file does not hold the last finite weights that were saved")
			}
		})
	}
}

func TestCheckpointUnwritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"no folder", filepath.Join(dir, "absent", "weights"), []string{"cannot create a file in the folder", "absent", "no such file"}},
		{"a folder", dir, []string{dir + ": it is a folder; expected a regular file"}},
		{"below a file", filepath.Join(file, "weights"), []string{"not a directory"}},
		{"a device", os.DevNull, []string{"it is a device; expected a regular file"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newBigram(1, 8, 4, 0)
			results, err := fit(context.Background(), m, train.Config{Steps: 2, LearningRate: 1, Checkpoint: test.path}, always(lesson))
			wantError(t, err, append(test.want, "train.Run: Checkpoint: ")...)
			if len(results) != 0 {
				t.Errorf("%d steps were done before the error", len(results))
			}
			onlyFile(t, dir, "file")
		})
	}
}

// A folder that goes away during the run is an error of the save, whenever it
// comes.
func TestCheckpointFails(t *testing.T) {
	for _, every := range []int{0, 1} {
		dir := filepath.Join(t.TempDir(), "out")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := fit(context.Background(), newBigram(1, 8, 4, 0), train.Config{
			Steps: 2, LearningRate: 1e-2, Checkpoint: filepath.Join(dir, "weights"), CheckpointEvery: every,
			OnStep: func(train.StepResult) { os.Remove(dir) },
		}, always(lesson))
		wantError(t, err, "train.Run: checkpoint: ", dir)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v does not wrap the cause", err)
		}
	}
}

// mute is a model that can't save itself.
type mute struct{ m *bigram }

func (m mute) Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var {
	return m.m.Forward(tape, ids)
}

func (m mute) Params() iter.Seq2[string, *autograd.Param] { return m.m.Params() }

func TestCheckpointNeedsSaver(t *testing.T) {
	m := mute{newBigram(1, 8, 4, 0)}
	mustFit(t, m, train.Config{Steps: 1, LearningRate: 1e-2}, always(lesson))
	_, err := fit(context.Background(), m, train.Config{Steps: 1, LearningRate: 1e-2, Checkpoint: "x"}, always(lesson))
	wantError(t, err, "train.Run: Checkpoint is set, but train_test.mute has no method Save(path string) error")
}
