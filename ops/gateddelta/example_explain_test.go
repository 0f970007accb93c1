package gateddelta_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// What Apply would do with a layer of Qwen3-Next on 2048 tokens, without doing
// it.
func ExampleExplain() {
	tape := autograd.NoGrad()
	defer tape.Close()
	x := func(shape ...int) *autograd.Var { return tape.Const(tensor.Zeros(tensor.BFloat16, shape...)) }
	in := gateddelta.Inputs{
		Q: x(1, 2048, 16, 128), K: x(1, 2048, 16, 128), V: x(1, 2048, 32, 128),
		GateInput: x(1, 2048, 32), ALog: x(32), DtBias: x(32), BetaLogits: x(1, 2048, 32),
	}
	plan := gateddelta.Explain(in, gateddelta.Options{Implementation: gateddelta.Chunk, QKL2Norm: true, Threads: 1})
	fmt.Println(plan.Implementation, plan.ChunkSize, plan.Segment)
	fmt.Print(plan)
	// Output:
	// chunk 64 4
	// chunk, chunks of 64, 8 segments of up to 4 steps, sequential scan, threads 1
	// memory: 14.0 MiB kept, up to 205.0 MiB in the backward pass
	// forward: 9.84 GFLOP, at least 48.5 MiB moved
	// backward: 26.8 GFLOP, at least 81.0 MiB moved
	// - implementation chunk: the options ask for it
	// - chunks of 64: about K and at most 64 balances the work within chunks and that on states, and longer than the sequence would be padding
	// - segments of 4: enough to fill the processor's cache, and for the states kept to take at most half of what V takes
	// - sequential scan: it takes the fewest operations, and no more than 4 steps wait for each other
	// - compile off: the CPU gains nothing by it
	// - threads 1: the options ask for it
}

// A sequence is decoded token by token, with a tape for each. The state is all
// that goes from one to the next.
func ExampleStep() {
	one := tensor.Ones(tensor.Float32, 1, 1, 1, 1)
	half := tensor.Full(0.5, tensor.Float32, 1, 1, 1)
	var state *tensor.Tensor
	for range 3 {
		tape := autograd.NoGrad()
		in := gateddelta.Inputs{Q: tape.Const(one), K: tape.Const(one), V: tape.Const(one), Beta: tape.Const(half)}
		if state != nil {
			in.InitialState = tape.Const(state)
		}
		out := gateddelta.Step(in, gateddelta.Options{})
		fmt.Println(tensor.Data[float32](out.O.Value()))

		tensor.Free(state)
		state = out.FinalState.Value()
		tape.Keep(state)
		tape.Close()
	}
	fmt.Println(tensor.Data[float32](state))
	// Output:
	// [0.5] <nil>
	// [0.75] <nil>
	// [0.875] <nil>
	// [0.875] <nil>
}
