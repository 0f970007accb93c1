package train_test

import (
	"math"
	"os"
	"testing"

	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
)

// TestKernelsTrainLikeChunk wants the loss of each step by the kernels, which are
// emulated without a GPU, to be that of the op graph.
func TestKernelsTrainLikeChunk(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	steps, rows, length := 40, 2, 48
	cfg := qla.Config{Layers: 1, Hidden: 32, KeyDim: 16, ValueDim: 16, ChunkSize: 32}
	if tensor.DefaultDevice() == tensor.GPU {
		steps, rows, length = 200, 8, 128
		cfg = qla.Config{Layers: 2, Hidden: 128, KeyDim: 32, ValueDim: 32, ChunkSize: 32}
	}
	losses := func(implementation gateddelta.Implementation) []float64 {
		cfg.Implementation = implementation
		m, err := qla.New(cfg, tensor.Key(1))
		if err != nil {
			t.Fatal(err)
		}
		sampler, err := data.NewSampler(text, rows, length, 1)
		if err != nil {
			t.Fatal(err)
		}
		var list []float64
		for _, s := range mustFit(t, m, train.Config{Steps: steps, LearningRate: 4e-3}, sampler) {
			list = append(list, s.Loss)
		}
		return list
	}
	want, got := losses(gateddelta.Chunk), losses(gateddelta.Metal)
	worst := 0.0
	for i := range want {
		worst = max(worst, math.Abs(got[i]-want[i]))
	}
	t.Logf("%d steps from %.4f to %.4f, at most %.1e apart", steps, want[0], want[steps-1], worst)
	if !(worst < 1e-3) || !(want[steps-1] < want[0]-1) {
		t.Errorf("the losses are %v by the op graph and %v by the kernels", want, got)
	}
}
