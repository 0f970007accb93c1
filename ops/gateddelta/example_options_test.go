package gateddelta_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// Whatever implementation, size of chunks and number of chunks at a time are asked
// for, results are the same but for rounding. Here values add up, for each key is
// of another direction.
func ExampleOptions_implementation() {
	tape := autograd.NoGrad()
	defer tape.Close()
	const T = 40
	keys := make([]float32, T*T) // token t has key e_t
	for t := range T {
		keys[t*T+t] = 1
	}
	in := gateddelta.Inputs{
		Q: tape.Const(tensor.Ones(tensor.Float32, 1, T, 1, T)),
		K: tape.Const(tensor.FromSlice(keys, 1, T, 1, T)),
		V: tape.Const(tensor.Ones(tensor.Float32, 1, T, 1, 1)),
	}
	for _, opt := range []gateddelta.Options{
		{Implementation: gateddelta.Recurrent},
		{Implementation: gateddelta.Chunk, ChunkSize: 16},
		{Implementation: gateddelta.Chunk, ChunkSize: 16, Segment: 1},
		{Implementation: gateddelta.Chunk, ChunkSize: 64},
	} {
		opt.Scale = 1
		plan := gateddelta.Explain(in, opt)
		o, _ := tensor.Data[float32](gateddelta.Apply(in, opt).O.Value())
		fmt.Printf("%s of %d, %d segments: o = %.0f, %.0f … %.0f\n", plan.Implementation, plan.ChunkSize, plan.Segments, o[0], o[1], o[T-1])
	}
	// Output:
	// recurrent of 1, 1 segments: o = 1, 2 … 40
	// chunk of 16, 1 segments: o = 1, 2 … 40
	// chunk of 16, 3 segments: o = 1, 2 … 40
	// chunk of 64, 1 segments: o = 1, 2 … 40
}

// The ε of the norm tells from what length on a vector counts as one of length 1.
func ExampleOptions_l2NormEps() {
	tape := autograd.NoGrad()
	defer tape.Close()
	x := tape.Const(tensor.FromSlice([]float32{3, 4}, 1, 1, 1, 2))
	one := tape.Const(tensor.Ones(tensor.Float32, 1, 1, 1, 1))
	for _, eps := range []float64{0, 75} { // 0 means 1e-6
		out := gateddelta.Apply(gateddelta.Inputs{Q: x, K: x, V: one}, gateddelta.Options{Scale: 1, QKL2Norm: true, L2NormEps: eps})
		o, _ := tensor.Item[float32](out.O.Value()) // (3² + 4²)/(3² + 4² + ε)
		fmt.Printf("%.2f\n", o)
	}
	// Output:
	// 1.00
	// 0.25
}
