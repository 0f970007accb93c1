package gateddelta

import (
	"fmt"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Apply applies the gated delta rule (see the package documentation) on the tape
// of the inputs, of which all but Q, K and V may be nil. All gradients are
// computed by a backward pass of its own.
//
// Inputs that don't fit together and options that don't exist panic with
// *tensor.Error. Values are looked at with Options.Validate alone: otherwise a
// NaN, or a gate above 0, makes NaN of the rest of its sequence and head. An operand that can't be
// evaluated is an error of the results' evaluation, and of the backward pass, also
// where Apply evaluates its operands (see Metal).
func Apply(in Inputs, opt Options) Output {
	z := resolve(in, opt)
	if opt.CheckKernels {
		z.checkKernels()
	}
	in, valid := z.prepared(in, opt)
	out := autograd.Apply(&rule{z: z}, in.vars()...)
	result := Output{O: whereValid(valid, out[0])}
	if opt.FinalState {
		result.FinalState = opt.StateLayout.turned(out[1])
	}
	return result
}

// resolve checks the inputs and options, without their values, and makes all
// choices that the options leave.
func resolve(in Inputs, opt Options) geometry {
	if in.Q == nil || in.K == nil || in.V == nil {
		panic(mistake(nil, "Q, K and V must be given"))
	}
	z := geometryOf(operandsOf(in.tensors()), opt)
	z.checkFrontend(in, opt)
	return z
}

// prepared turns the inputs into those of the rule; valid is that of validTokens.
func (z geometry) prepared(in Inputs, opt Options) (_ Inputs, valid *tensor.Tensor) {
	valid = z.validTokens(in)
	if opt.Validate {
		validate(in, valid)
	}
	return z.frontend(in, valid, opt), valid
}

// rule is the gated delta rule as an autograd.Function of q, k, v, g, β and h0.
// Forward may change it: what works at once can fail, and then the graph takes over.
type rule struct {
	z      geometry
	failed error // of an operand's evaluation ahead of the forward pass
}

// String names the operation in errors.
func (r *rule) String() string { return "gateddelta." + string(r.z.implementation) }

// Forward saves the operands and, for the chunk form, the states at the starts
// of the segments after the first.
func (r *rule) Forward(ctx *autograd.Context, ts ...*tensor.Tensor) []*tensor.Tensor {
	ctx.AllowNilGrads()
	ctx.Save(ts...)
	if r.z.ahead() {
		err := tensor.EvalAhead(present(ts...)...)
		if r.failed = broken(err); r.failed != nil || err != nil && tensor.DefaultDevice() == tensor.CPU {
			r.z = r.z.onGraph()
		}
	}
	recorded := false
	for i := range ts {
		recorded = recorded || ctx.Needs(i)
	}
	out := r.outputs(recorded, ts)
	n := 1
	if r.z.final {
		n = 2
	}
	ctx.Save(out[n:]...)
	return out[:n]
}

// outputs computes O, the final states if they are asked for, and what the backward
// pass starts segments from.
func (r *rule) outputs(recorded bool, ts []*tensor.Tensor) []*tensor.Tensor {
	z := r.z
	switch {
	case recorded:
	case z.kernels != nil:
		kernels := z.kernels.ForwardOnly()
		z.kernels = &kernels
	case z.cpu != nil:
		z.cpu = z.cpuForwardOnly()
	}
	return z.call("forward", func(ts []*tensor.Tensor) []*tensor.Tensor {
		o, ht, starts := z.forward(operandsOf(ts).withDefaults())
		return append(present(o, ht), starts...)
	}, ts)
}

// Backward implements autograd.Function.
func (r *rule) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	if r.failed != nil {
		panic(mistake(nil, "an operand could not be evaluated: %v", r.failed))
	}
	starts := r.z.keptStates()
	ts := make([]*tensor.Tensor, operandCount+starts)
	for i := range ts {
		ts[i] = ctx.Saved(i)
	}
	ts = append(ts, grad...)
	needs := make([]bool, operandCount)
	for i := range needs {
		needs[i] = ctx.Needs(i)
	}
	given := r.z.call(fmt.Sprint("backward ", needs), func(ts []*tensor.Tensor) []*tensor.Tensor {
		in, starts, grad := operandsOf(ts).withDefaults(), ts[operandCount:operandCount+starts], ts[operandCount+starts:]
		var dht *tensor.Tensor
		if r.z.final {
			dht = grad[1]
		}
		var out []*tensor.Tensor
		for i, d := range r.z.backward(in, starts, grad[0], dht, func(i int) bool { return needs[i] }).list() {
			if needs[i] {
				out = append(out, d)
			}
		}
		return out
	}, ts)
	out := make([]*tensor.Tensor, operandCount)
	for i := range out {
		if needs[i] {
			out[i], given = given[0], given[1:]
		}
	}
	return out
}

// forward computes the outputs, the final states if they are asked for, and, for
// the chunk form, the states at the starts of segments that begin within
// sequences.
func (z geometry) forward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	switch {
	case z.kernels != nil:
		return z.kernelForward(in)
	case z.cpu != nil:
		return z.cpuForward(in)
	case z.threads > 1:
		return z.forwardInHalves(in)
	}
	z, free := z.load()
	defer free()
	if z.implementation == Recurrent {
		if o, ht = z.recurrentForward(in); !z.final {
			ht = nil
		}
		return o, ht, nil
	}
	return z.chunkForward(in)
}

// backward computes the gradients of the operands that need one, or more.
func (z geometry) backward(in operands, starts []*tensor.Tensor, do, dht *tensor.Tensor, needs func(operand int) bool) gradients {
	switch {
	case z.kernels != nil:
		return z.kernelBackward(in, starts, do, dht)
	case z.cpu != nil:
		return z.cpuBackward(in, starts, do, dht)
	case z.threads > 1:
		return z.backwardInHalves(in, starts, do, dht, needs)
	}
	z, free := z.load()
	defer free()
	if z.implementation == Recurrent {
		return z.recurrentBackward(in, do, dht)
	}
	return z.chunkBackward(in, starts, do, dht, needs)
}

// ahead reports whether passes evaluate their operands before they return: in the
// emulator, and between segments.
func (z geometry) ahead() bool {
	return z.kernels != nil && (z.kernels.Stepwise() || tensor.DefaultDevice() == tensor.CPU && !tensor.Tracing())
}

// broken is err, but nil if it only says that memory is short: then nothing is lost.
func broken(err error) error {
	var limit *tensor.MemoryError
	if errors.As(err, &limit) {
		return nil
	}
	return err
}

// onGraph returns z with the choices of Chunk in place of those of kernels.
func (z geometry) onGraph() geometry {
	var opt Options
	z.implementation, z.kernels, z.segment = Chunk, nil, 0
	z.C, z.why.chunk = chooseChunk(z)
	z.plan, z.why.segment = z.planOf(0)
	z.scan, z.why.scan = opt.chooseScan(z, onGPU(z.dtype))
	z.compile, z.threads = CompileOff, 1
	z.threads, z.why.threads = opt.chooseThreads(z)
	return z
}

// withDefaults stands in for absent gates, no decay and β = 1, and makes NaN of gates
// that would grow the state.
func (in operands) withDefaults() operands {
	fill := func(v float64) *tensor.Tensor {
		return tensor.BroadcastTo(tensor.Like(in.v, v), in.v.Shape()[:3]...)
	}
	if in.g == nil {
		in.g = fill(0)
	} else {
		in.g = tensor.Where(tensor.Greater(in.g, tensor.Like(in.g, 0)), tensor.Like(in.g, math.NaN()), in.g)
	}
	if in.β == nil {
		in.β = fill(1)
	}
	return in
}
