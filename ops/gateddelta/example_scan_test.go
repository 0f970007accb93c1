package gateddelta_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// Every scan computes the same state. Explain says what each takes for it.
func ExampleScan() {
	tape := autograd.NoGrad()
	defer tape.Close()
	normal := func(seed uint64, shape ...int) *autograd.Var {
		return tape.Const(tensor.Normal(tensor.Key(seed), shape...))
	}
	in := gateddelta.Inputs{Q: normal(1, 1, 1024, 1, 64), K: normal(2, 1, 1024, 1, 64), V: normal(3, 1, 1024, 2, 64)}
	var first *tensor.Tensor
	for _, scan := range []gateddelta.Scan{gateddelta.ScanSequential, gateddelta.ScanTransition, gateddelta.ScanTwoLevel} {
		opt := gateddelta.Options{QKL2Norm: true, FinalState: true, ChunkSize: 64, Segment: 16, Scan: scan}
		plan := gateddelta.Explain(in, opt)
		state := gateddelta.Apply(in, opt).FinalState.Value()
		if first == nil {
			first = state
		}
		difference, err := tensor.Item[float32](tensor.Max(tensor.Abs(tensor.Sub(state, first)), false))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%-10s  runs of %d, %3.0f MFLOP, the same: %t\n", plan.Scan, plan.ScanLength, plan.ForwardFLOPs/1e6, difference < 1e-5)
	}
	// Output:
	// sequential  runs of 0, 106 MFLOP, the same: true
	// transition  runs of 0, 157 MFLOP, the same: true
	// two-level   runs of 4, 194 MFLOP, the same: true
}

// A compiled pass belongs to one set of shapes and options. On the CPU it gives
// the bits of a graph that is built anew.
func ExampleCompile() {
	tape := autograd.NoGrad()
	defer tape.Close()
	defer gateddelta.FreeCompiled()
	x := tape.Const(tensor.Ones(tensor.Float32, 1, 20, 1, 2))
	for _, compile := range []gateddelta.Compile{gateddelta.CompileOff, gateddelta.CompileOn, gateddelta.CompileOn} {
		out := gateddelta.Apply(gateddelta.Inputs{Q: x, K: x, V: x}, gateddelta.Options{QKL2Norm: true, NoDelta: true, Scale: 1, Compile: compile})
		o, err := tensor.Data[float32](tensor.SliceAxis(out.O.Value(), 1, 19, 20))
		fmt.Printf("%.3f %v\n", o, err)
	}
	// Output:
	// [20.000 20.000] <nil>
	// [20.000 20.000] <nil>
	// [20.000 20.000] <nil>
}
