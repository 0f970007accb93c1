package gateddelta_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// The operands may come as a layer has them: keys of any length, the gate's
// input and β as logits. Gradients arrive there, too.
func ExampleApply_layer() {
	tape := autograd.NewTape()
	defer tape.Close()
	x := func(shape ...int) *autograd.Var { return tape.Var(tensor.Ones(tensor.Float32, shape...)) }
	aLog := x(1)
	out := gateddelta.Apply(gateddelta.Inputs{
		Q: x(1, 2, 1, 4), K: x(1, 2, 1, 4), V: x(1, 2, 1, 1),
		GateInput: x(1, 2, 1), ALog: aLog, DtBias: x(1),
		BetaLogits: x(1, 2, 1),
	}, gateddelta.Options{Scale: 1, QKL2Norm: true, AllowNegativeEigenvalues: true})
	o, _ := tensor.Data[float32](out.O.Value())
	fmt.Printf("%.4f\n", o)

	grads, err := tape.Backward(ops.Sum(out.O, false))
	if err != nil {
		fmt.Println(err)
		return
	}
	d, _ := tensor.Item[float32](tensor.Squeeze(grads.Of(aLog)))
	fmt.Printf("%.4f\n", d)
	// Output:
	// [1.4621 1.4600]
	// 0.0120
}

// Two sequences of two and three tokens share a batch. The shorter one is padded
// on the left, with anything.
func ExampleApply_mask() {
	tape := autograd.NoGrad()
	defer tape.Close()
	ones := tape.Const(tensor.Ones(tensor.Float32, 2, 3, 1, 1))
	v := tape.Const(tensor.FromSlice([]float32{99, 1, 2, 3, 4, 5}, 2, 3, 1, 1))
	half := tape.Const(tensor.Full(0.5, tensor.Float32, 2, 3, 1))
	out := gateddelta.Apply(gateddelta.Inputs{
		Q: ones, K: ones, V: v, Beta: half,
		Mask: tensor.FromSlice([]bool{false, true, true, true, true, true}, 2, 3),
	}, gateddelta.Options{})
	fmt.Println(tensor.Data[float32](out.O.Value()))
	// Output:
	// [0 0.5 1.25 1.5 2.75 3.875] <nil>
}

// Without the delta term a value that is written again adds up; with it, there
// is nothing to correct any more.
func ExampleApply_noDelta() {
	tape := autograd.NoGrad()
	defer tape.Close()
	ones := tape.Const(tensor.Ones(tensor.Float32, 1, 3, 1, 1))
	in := gateddelta.Inputs{Q: ones, K: ones, V: ones}
	fmt.Println(tensor.Data[float32](gateddelta.Apply(in, gateddelta.Options{}).O.Value()))
	fmt.Println(tensor.Data[float32](gateddelta.Apply(in, gateddelta.Options{NoDelta: true}).O.Value()))
	// Output:
	// [1 1 1] <nil>
	// [1 2 3] <nil>
}

// A state may be kept as [V, K].
func ExampleApply_stateLayout() {
	tape := autograd.NoGrad()
	defer tape.Close()
	k := tape.Const(tensor.FromSlice([]float32{1, 0}, 1, 1, 1, 2))
	v := tape.Const(tensor.FromSlice([]float32{10, 20, 30}, 1, 1, 1, 3))
	for _, layout := range []gateddelta.StateLayout{gateddelta.KV, gateddelta.VK} {
		out := gateddelta.Apply(gateddelta.Inputs{Q: k, K: k, V: v}, gateddelta.Options{FinalState: true, StateLayout: layout})
		state, err := tensor.Data[float32](out.FinalState.Value())
		fmt.Println(out.FinalState.Shape(), state, err)
	}
	// Output:
	// [1 1 2 3] [10 20 30 0 0 0] <nil>
	// [1 1 3 2] [10 0 20 0 30 0] <nil>
}

// Values are looked at on request.
func ExampleOptions_validate() {
	tape := autograd.NoGrad()
	defer tape.Close()
	ones := tape.Const(tensor.Ones(tensor.Float32, 1, 2, 1, 1))
	gate := tape.Const(tensor.FromSlice([]float32{-1, 0.5}, 1, 2, 1))
	err := tensor.Try(func() {
		gateddelta.Apply(gateddelta.Inputs{Q: ones, K: ones, V: ones, LogDecay: gate}, gateddelta.Options{Validate: true})
	})
	fmt.Println(err)
	// Output:
	// gateddelta.Apply: LogDecay is above 0 in 1 of 2 places, the first at [0 1 0]
}
