package qla_test

import (
	"context"
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

func Example() {
	model, err := qla.New(qla.Config{Layers: 2, Hidden: 64}, tensor.Key(0))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nn.Count(model), "parameters")

	// One loss and its gradients.
	text := []byte("to be, or not to be")
	ids := tensor.FromSlice(text[:len(text)-1], 1, len(text)-1)
	labels := tensor.FromSlice(text[1:], 1, len(text)-1)
	tape := autograd.NewTape()
	defer tape.Close()
	logits := model.Forward(tape, ids)
	grads, err := tape.Backward(ops.CrossEntropy(logits, labels))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(logits.Shape(), grads.OfParam(model.Head.Weight).Shape())

	// A continuation, one token at a time.
	n := 0
	for _, err := range model.Generate(context.Background(), []int32{'t', 'o'}, 5, qla.SampleOptions{Temperature: 0.8, Seed: 1}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		n++
	}
	fmt.Println(n, "tokens")
	// Output:
	// 135048 parameters
	// [1 18 256] [256 64]
	// 5 tokens
}
