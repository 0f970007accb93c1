package qla

import (
	"math"
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// decodeKernel returns what the kernel of a step is built for, in a model that
// computes in dtype d, and whether it is the one to take the step: where
// Implementation is Metal, and where it is Auto on a GPU.
func (c Config) decodeKernel(d tensor.Dtype) (metal.Config, bool) {
	k := metal.Config{Dtype: d, DK: c.KeyDim, DV: c.ValueDim, HK: c.KeyHeads, HV: c.ValueHeads}
	if c.Mixer != MixerDelta {
		return k, false
	}
	why := k.DecodeRefusal()
	switch c.Implementation {
	case gateddelta.Metal:
		if why != "" {
			panic(tensor.NewError("qla.Model.Step", nil, "Implementation is %q, but %s", c.Implementation, why))
		}
		return k, true
	case gateddelta.Auto:
		return k, why == "" && tensor.DefaultDevice() == tensor.GPU
	}
	return k, false
}

// decode is forward between the projections for one token, by one kernel: it takes
// what projectValues gives and returns what the output projection takes.
func (l *GatedDeltaNet) decode(k metal.Config, tape *autograd.Tape, x, qkv, z *autograd.Var, before *past) (o *autograd.Var, after *past) {
	c := l.cfg
	a, b := l.gateInputs(tape, x)
	flat := func(v *autograd.Var) *tensor.Tensor {
		return tensor.Reshape(tensor.AsType(v.Value(), k.Dtype), x.Dim(0), -1)
	}
	weights := before.weights.refreshed(l)
	y, tail, state := k.Decode(metal.Token{
		QKV: flat(qkv), Z: flat(z), A: flat(a), B: flat(b),
		Past: tensor.AsType(before.tail.Value(), k.Dtype), State: before.state.Value(),
	}, weights.DecodeWeights, metal.DecodeNumbers{Scale: 1 / math.Sqrt(float64(c.KeyDim)), L2Eps: l2Eps, NormEps: c.NormEps})
	o = ops.ExpandDims(tape.Const(y), 1)
	return o, &past{tail: tape.Const(tail), state: tape.Const(state), weights: weights}
}

// decodeWeights are a layer's weights as the kernel of a step takes them. A cache
// keeps them from step to step, lest each convert them again.
type decodeWeights struct {
	*metal.DecodeWeights
	from []*tensor.Tensor // the parameters' values that they were made of
}

// refreshed returns w if it is still right for the layer, and else new ones; w may be
// nil.
func (w *decodeWeights) refreshed(l *GatedDeltaNet) *decodeWeights {
	from := []*tensor.Tensor{l.Conv.Weight.Value(), l.ALog.Value(), l.DtBias.Value(), l.Norm.Weight.Value()}
	if w != nil && slices.Equal(w.from, from) {
		return w
	}
	return &decodeWeights{metal.NewDecodeWeights(from[0], from[1], from[2], from[3]), from}
}

// free releases the weights; w may be nil.
func (w *decodeWeights) free() {
	if w != nil {
		w.Free()
	}
}
