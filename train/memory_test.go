package train_test

import (
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
)

// withoutCollector turns Go's garbage collector off for a test: what is released
// in it is released explicitly.
func withoutCollector(t *testing.T) {
	t.Helper()
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for before := -1; before != tensor.Live(); time.Sleep(5 * time.Millisecond) {
		before = tensor.Live() // a collection that has begun before goes on
	}
}

func TestRunLeavesNothingOpen(t *testing.T) {
	withoutCollector(t)
	const steps = 1000
	m := newBigram(1, 16, 4, 1)
	before := tensor.Live()
	var live []int
	mustFit(t, m, train.Config{
		Steps: steps, LearningRate: 1e-3,
		OnStep: func(train.StepResult) { live = append(live, tensor.Live()) },
	}, sampler(t, 1))
	if live[1] != live[steps-1] {
		t.Errorf("%d tensors are open after step 2, %d after step %d", live[1], live[steps-1], steps)
	}
	if after := tensor.Live(); after != before {
		t.Errorf("%d tensors were open before the run, %d are after it", before, after)
	}
}

// What a step leaves in memory, and the most that it takes, stays from step 2 on.
// The peak varies a little with how far the engine runs ahead of its arithmetic.
func TestRunMemoryIsFlat(t *testing.T) {
	withoutCollector(t)
	m := newBigram(1, 16, 64, 60)
	var rest []int64
	results := mustFit(t, m, train.Config{
		Steps: 30, LearningRate: 1e-3,
		OnStep: func(train.StepResult) { rest = append(rest, tensor.Memory().Active) },
	}, sampler(t, 1))
	peak := int64(0)
	for _, s := range results[1:11] {
		peak = max(peak, s.PeakMemory)
	}
	for i, s := range results {
		if s.PeakMemory > peak+peak/8 {
			t.Errorf("the peak of step %d is %d bytes, the greatest of steps 2 to 11 %d", s.Step, s.PeakMemory, peak)
		}
		if i > 0 && rest[i] > rest[1]+rest[1]/100 {
			t.Errorf("%d bytes are in use after step %d, %d after step 2", rest[i], s.Step, rest[1])
		}
	}
}

// A step holds parameters, two moments and gradients once, and beside them
// temporary values of the few parameters that are being updated: of one where
// few are large. After it there are parameters and moments only.
func TestRunUpdatesInPlace(t *testing.T) {
	withoutCollector(t)
	for _, test := range []struct {
		name                 string
		vocab, width, layers int
		most                 float64 // times the size of the parameters, which are not counted
	}{
		{"62 equal matrices", 128, 128, 60, 3.6},
		{"two matrices", 16, 640, 2, 3.6},
		{"one matrix", 16, 1024, 1, 4.1},
		{"embedding and head", 2048, 512, 0, 3.6},
	} {
		for _, clip := range []float64{1, -1} {
			t.Run(fmt.Sprintf("%s ClipNorm %v", test.name, clip), func(t *testing.T) {
				m := newBigram(1, test.vocab, test.width, test.layers)
				size := float64(4 * nn.Count(m))
				weights(t, m) // evaluates them
				before := tensor.Memory().Active
				mustFit(t, m, train.Config{
					Steps: 5, LearningRate: 1e-3, ClipNorm: clip,
					OnStep: func(s train.StepResult) {
						peak := float64(s.PeakMemory-before) / size
						rest := float64(tensor.Memory().Active-before) / size
						if s.Step > 1 && !(peak > 2 && peak < test.most) {
							t.Errorf("step %d takes %.2f times the size of the parameters, want at most %.1f", s.Step, peak, test.most)
						}
						if !(rest > 1.99 && rest < 2.01) {
							t.Errorf("after step %d %.2f times the size of the parameters stay, want 2", s.Step, rest)
						}
					},
				}, sampler(t, 1))
				if rest := float64(tensor.Memory().Active-before) / size; rest > 0.01 {
					t.Errorf("after the run %.2f times the size of the parameters stay", rest)
				}
			})
		}
	}
}

// Evaluation holds the values of the few layers that are being computed, however
// many there are, of one batch.
func TestEvaluatePeakMemory(t *testing.T) {
	withoutCollector(t)
	const width, tokens = 64, 4 * 8
	peak := func(layers, batches int) int64 {
		m := newBigram(1, 16, width, layers)
		weights(t, m)
		s := sampler(t, 1)
		var list []data.Batch
		for range batches {
			list = append(list, s.Next())
		}
		before, live := tensor.Memory().Active, tensor.Live()
		tensor.ResetPeakMemory()
		evaluate(t, m, list...)
		if got := tensor.Live(); got != live {
			t.Errorf("%d tensors are open, %d were before", got, live)
		}
		return tensor.Memory().Peak - before
	}
	few, many := peak(40, 2), peak(200, 2)
	if of160Layers := int64(160 * tokens * width * 4); many-few > of160Layers/4 {
		t.Errorf("200 layers take %d bytes, 40 take %d", many, few)
	}
	if one, more := peak(40, 1), peak(40, 50); more > one+one/4 {
		t.Errorf("50 batches take %d bytes, one takes %d", more, one)
	}
}
