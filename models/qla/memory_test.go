package qla

import (
	"runtime"
	"testing"

	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
)

// TestLayerMemory checks the formula of the package documentation: what another
// layer adds to the peak memory of loss and gradients.
func TestLayerMemory(t *testing.T) {
	const rows, length, few, many = 4, 128, 2, 8
	for _, mixer := range []Mixer{MixerDelta, MixerNone} {
		t.Run(string(mixer), func(t *testing.T) {
			small, large := newModel(t, Config{Layers: few, Mixer: mixer}, 1), newModel(t, Config{Layers: many, Mixer: mixer}, 1)
			ids := tokens(256, rows, length)
			c := small.Config()
			perToken := 4*c.Hidden + 4*c.Intermediate + 3*(2*c.KeyHeads*c.KeyDim+c.ValueHeads*c.ValueDim) + 2*c.KeyHeads*c.KeyDim + 5*c.ValueHeads*c.ValueDim
			if tensor.DefaultDevice() == tensor.GPU { // by kernels
				perToken -= 2*c.KeyHeads*c.KeyDim + 3*c.ValueHeads*c.ValueDim
			}
			gradients := (nn.Count(large) - nn.Count(small)) / (many - few)
			want := float64(4 * (rows*length*perToken + gradients))
			runtime.GC() // models of other tests go with the first pass, not while it counts
			peak(t, small, ids)
			got := float64(peak(t, large, ids)-peak(t, small, ids)) / (many - few)
			t.Logf("a layer takes %.0f bytes, documented are %.0f", got, want)
			// Less is what the control does not keep, and what is freed or not yet
			// made at the moment of the peak.
			if got > 1.05*want || got < 0.75*want {
				t.Errorf("a layer takes %.0f bytes, documented are %.0f", got, want)
			}
		})
	}
}

// peak returns the memory that loss and gradients take beside the model, the most of
// a few passes: by chance the engine gets through one with less.
func peak(t *testing.T, m *Model, ids *tensor.Tensor) int64 {
	t.Helper()
	var most int64
	for range 4 {
		tensor.ResetPeakMemory()
		before := tensor.Memory().Active
		trainingStep(t, m, ids)
		most = max(most, tensor.Memory().Peak-before)
	}
	return most
}
