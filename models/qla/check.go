package qla

import (
	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// checkLayers and checkDecode compare kernels with formulas, once a configuration.
// Tests, which have no wrong kernels, put others in their place.
var (
	checkLayers = metal.CheckLayers
	checkDecode = metal.Config.CheckDecode
)

// checkLayerKernels panics if CheckKernels is set and kernels of the norms or of the
// convolution are wrong, in a model that computes in dtype d. Layers take them on a GPU
// whatever Implementation is; with Metal they are checked in the emulator, too.
func (c Config) checkLayerKernels(d tensor.Dtype) {
	if !c.CheckKernels || tensor.Tracing() || tensor.DefaultDevice() != tensor.GPU && c.Implementation != gateddelta.Metal {
		return
	}
	if err := checkLayers(d, c.KeyHeads, c.ValueHeads, c.KeyDim, c.ValueDim, c.ConvWidth); judged(err) {
		panic(tensor.NewError("qla.GatedDeltaNet", nil, "kernels of layers are wrong on this device, use another: %v", err))
	}
}

// checkDecodeKernel is checkLayerKernels for the kernel of a step.
func (c Config) checkDecodeKernel(k metal.Config) {
	if !c.CheckKernels || tensor.Tracing() {
		return
	}
	if err := checkDecode(k, c.ConvWidth); judged(err) {
		panic(tensor.NewError("qla.Model.Step", nil, "Implementation %q is wrong on this device, ask for %q: %v", gateddelta.Metal, gateddelta.Chunk, err))
	}
}

// judged reports whether err says more than that memory was short, which is no verdict.
func judged(err error) bool {
	var limit *tensor.MemoryError
	return err != nil && !errors.As(err, &limit)
}
