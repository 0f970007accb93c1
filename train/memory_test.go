package train_test

import (
	"context"
	"testing"

	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
)

// A step updates parameters and moments in place: beside them and the gradients
// it needs the temporary values of a few parameters, but no second copy of all.
func TestUpdateInPlace(t *testing.T) {
	const width, layers = 256, 24
	m := newBigram(1, width, width, layers)
	size := int64(nn.Count(m)) * 4
	before := tensor.Memory().Active
	var peaks []int64
	err := train.Run(context.Background(), train.Config{
		Steps: 6, LearningRate: 1e-3,
		OnStep: func(s train.StepResult) { peaks = append(peaks, s.PeakMemory) },
	}, m, always(lesson))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("parameters %d, active before %d", size, before)
	for i, p := range peaks {
		t.Logf("step %d: %.2f", i+1, float64(p-before)/float64(size))
	}
}
