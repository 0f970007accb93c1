package qla

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// BenchmarkTrainingStep runs loss and gradients of the default model.
func BenchmarkTrainingStep(b *testing.B) {
	for _, mixer := range []Mixer{MixerDelta, MixerNone} {
		b.Run(string(mixer), func(b *testing.B) {
			const rows, length = 8, 128
			m := newModel(b, Config{Mixer: mixer}, 1)
			ids := tokens(256, rows, length)
			step := func() { trainingStep(b, m, ids) }
			step()
			tensor.ResetPeakMemory()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(rows*length)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			b.ReportMetric(float64(tensor.Memory().Peak)/(1<<20), "peak-MiB")
		})
	}
}

// trainingStep computes the loss and all gradients of a batch that predicts
// itself.
func trainingStep(t testing.TB, m *Model, ids *tensor.Tensor) {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	loss := ops.CrossEntropy(m.Forward(tape, ids), ids)
	grads, err := tape.Backward(loss)
	if err != nil {
		t.Fatal(err)
	}
	results := []*tensor.Tensor{loss.Value()}
	for _, p := range m.Params() {
		if g := grads.OfParam(p); g != nil {
			results = append(results, g)
		}
	}
	tape.Keep(results...)
	tape.Close()
	if err := tensor.Eval(results...); err != nil {
		t.Fatal(err)
	}
	tensor.Free(results...)
}

// BenchmarkGenerate measures a token of the default model after a short prompt.
func BenchmarkGenerate(b *testing.B) {
	m := newModel(b, Config{}, 1)
	for b.Loop() {
		for _, err := range m.Generate(b.Context(), []int32{1, 2, 3}, 20, SampleOptions{Temperature: 1}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(20*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
