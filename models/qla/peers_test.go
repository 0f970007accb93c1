package qla

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// TestPeerConvolution compares the one convolution over queries, keys and values
// with three of their own, for the layer of flash-linear-attention's test: 6 heads
// of 64, and values twice as wide.
func TestPeerConvolution(t *testing.T) {
	const keys, values = 6 * 64, 6 * 128
	cuts := []int{0, keys, 2 * keys, 2*keys + values}
	whole := nn.NewShortConv(tensor.Key(1), cuts[3], 4)
	for _, size := range [][2]int{{1, 128}, {2, 100}, {2, 256}} {
		t.Run(fmt.Sprintf("B%d-T%d", size[0], size[1]), func(t *testing.T) {
			x, dy := tensor.Normal(tensor.Key(2), size[0], size[1], cuts[3]), tensor.Normal(tensor.Key(3), size[0], size[1], cuts[3])
			part := func(x *tensor.Tensor, axis, i int) *tensor.Tensor {
				return tensor.SliceAxis(x, axis, cuts[i], cuts[i+1])
			}
			// run returns y, dx and the gradient of the weights.
			run := func(c *nn.ShortConv, x, dy *tensor.Tensor) [3]*tensor.Tensor {
				tape := autograd.NewTape()
				defer tape.Close()
				leaf := tape.Var(x)
				y := c.Forward(tape, leaf)
				grads, err := tape.BackwardFrom([]*autograd.Var{y}, []*tensor.Tensor{dy})
				if err != nil {
					t.Fatal(err)
				}
				res := [3]*tensor.Tensor{y.Value(), grads.Of(leaf), grads.OfParam(c.Weight)}
				tape.Keep(res[:]...)
				return res
			}
			want := run(whole, x, dy)
			for i := range 3 {
				c := &nn.ShortConv{Weight: autograd.NewParam("weight", part(whole.Weight.Value(), 0, i))}
				got := run(c, part(x, 2, i), part(dy, 2, i))
				for j, name := range []string{"y", "dx"} {
					if !slices.Equal(layertest.Floats(t, got[j]), layertest.Floats(t, part(want[j], 2, i))) {
						t.Errorf("%s of part %d differs", name, i)
					}
				}
				layertest.Close(t, "dw", got[2], part(want[2], 0, i), 1e-6)
			}
		})
	}
}

// TestPeerGeneration compares decoding with the cache, after a prompt, with the
// whole sequence at once, for the model of flash-linear-attention's test: 2 layers
// with 8 heads of 64.
func TestPeerGeneration(t *testing.T) {
	m := newModel(t, Config{Layers: 2, Hidden: 512, Vocab: 64, KeyHeads: 8, ValueHeads: 8, KeyDim: 64, ValueDim: 64}, 1)
	ids := tokens(64, 2, 80)
	for _, d := range []struct {
		dtype tensor.Dtype
		limit float64
	}{{tensor.Float32, 1e-5}, {tensor.Float16, 2e-3}} {
		t.Run(d.dtype.String(), func(t *testing.T) {
			nn.Cast(m, d.dtype)
			layertest.Close(t, "logits", stepwise(t, m, ids, 70, 1), logits(t, m, ids), d.limit)
		})
	}
}

// TestPeerTraining compares loss and gradients with the two forms of the rule, for
// the model of flash-linear-attention's test: 4 layers with 4 heads of 64.
func TestPeerTraining(t *testing.T) {
	ids := tokens(64, 2, 70)
	run := func(form gateddelta.Implementation) map[string]*tensor.Tensor {
		m := newModel(t, Config{Layers: 4, Hidden: 256, Vocab: 64, KeyHeads: 4, ValueHeads: 4, KeyDim: 64, ValueDim: 64, Implementation: form}, 1)
		tape := autograd.NewTape()
		defer tape.Close()
		loss := ops.CrossEntropy(m.Forward(tape, ids), ids)
		grads, err := tape.Backward(loss)
		if err != nil {
			t.Fatal(err)
		}
		results := map[string]*tensor.Tensor{"loss": loss.Value()}
		for name, p := range m.Params() {
			results[name] = grads.OfParam(p)
		}
		tape.Keep(slices.Collect(maps.Values(results))...)
		return results
	}
	want := run(gateddelta.Recurrent)
	for name, got := range run(gateddelta.Chunk) {
		layertest.Close(t, name, got, want[name], 1e-5)
	}
}
