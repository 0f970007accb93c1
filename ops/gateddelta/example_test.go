package gateddelta_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// Two pairs are written into the state, one under each axis as key, and the
// second token's query asks for the first.
func ExampleApply() {
	tape := autograd.NewTape()
	defer tape.Close()

	k := tape.Var(tensor.FromSlice([]float32{1, 0, 0, 1}, 1, 2, 1, 2))
	v := tape.Var(tensor.FromSlice([]float32{10, 20, 30, 40}, 1, 2, 1, 2))
	q := tape.Var(tensor.FromSlice([]float32{0, 0, 1, 0}, 1, 2, 1, 2))
	out := gateddelta.Apply(gateddelta.Inputs{Q: q, K: k, V: v}, gateddelta.Options{Scale: 1, FinalState: true})

	fmt.Println(tensor.Data[float32](out.O.Value()))
	fmt.Println(tensor.Data[float32](out.FinalState.Value()))

	grads, err := tape.Backward(ops.Sum(out.O, false))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tensor.Data[float32](grads.Of(v)))
	// Output:
	// [0 0 10 20] <nil>
	// [10 20 30 40] <nil>
	// [1 1 0 0] <nil>
}

// A sequence may come in pieces: the state goes from one to the next. Here the
// memory fades by half with each token.
func ExampleApply_state() {
	tape := autograd.NoGrad()
	defer tape.Close()
	one := tape.Const(tensor.Ones(tensor.Float32, 1, 1, 1, 1))
	zero := tape.Const(tensor.Zeros(tensor.Float32, 1, 1, 1, 1))
	half := tape.Const(tensor.Full(-0.6931472, tensor.Float32, 1, 1, 1)) // log ½

	var state *autograd.Var
	for _, key := range []*autograd.Var{one, zero, zero} {
		out := gateddelta.Apply(gateddelta.Inputs{Q: one, K: key, V: one, LogDecay: half, InitialState: state},
			gateddelta.Options{FinalState: true})
		state = out.FinalState
		o, _ := tensor.Item[float32](out.O.Value())
		fmt.Printf("%.3f\n", o)
	}
	// Output:
	// 1.000
	// 0.500
	// 0.250
}

// Sequences of different lengths share one row of tokens, here of 2, 0 and 1
// tokens. Each has a state of its own; that of the empty one is what it began
// with.
func ExampleApply_packed() {
	tape := autograd.NoGrad()
	defer tape.Close()
	key := tape.Const(tensor.Ones(tensor.Float32, 1, 3, 1, 1))
	value := tape.Const(tensor.FromSlice([]float32{10, 20, 30}, 1, 3, 1, 1))
	state := tape.Const(tensor.FromSlice([]float32{1, 2, 3}, 3, 1, 1, 1))
	half := tape.Const(tensor.Full(0.5, tensor.Float32, 1, 3, 1))

	out := gateddelta.Apply(gateddelta.Inputs{Q: key, K: key, V: value, Beta: half, InitialState: state},
		gateddelta.Options{CuSeqlens: []int{0, 2, 2, 3}, FinalState: true})
	fmt.Println(tensor.Data[float32](out.O.Value()))
	fmt.Println(tensor.Data[float32](out.FinalState.Value()))
	// Output:
	// [5.5 12.75 16.5] <nil>
	// [12.75 2 16.5] <nil>
}
