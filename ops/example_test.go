package ops_test

import (
	"fmt"
	"log"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

func Example() {
	tape := autograd.NewTape()
	defer tape.Close()

	x := tape.Const(tensor.FromSlice([]float32{1, 2, 3, 4}, 2, 2))
	w := tape.Var(tensor.FromSlice([]float32{0.5, -1, 1, 0.5}, 2, 2))
	loss := ops.Mean(ops.Square(ops.MatMul(x, w)), false)

	grads, err := tape.Backward(loss)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loss.Value())
	fmt.Println(grads.Of(w))
	// Output:
	// tensor [] float32
	// 9.375
	// tensor [2 2] float32
	// [[9.5 -1.5]
	//  [13.5 -2]]
}

func ExampleCrossEntropy() {
	tape := autograd.NewTape()
	defer tape.Close()

	logits := tape.Var(tensor.Zeros(tensor.Float32, 3, 4))
	labels := tensor.FromSlice([]int32{2, ops.IgnoreLabel, 0})
	loss := ops.CrossEntropy(logits, labels)

	grads, err := tape.Backward(loss)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loss.Value())
	fmt.Println(grads.Of(logits))
	// Output:
	// tensor [] float32
	// 1.3863
	// tensor [3 4] float32
	// [[0.125 0.125 -0.375 0.125]
	//  [0 0 0 0]
	//  [-0.375 0.125 0.125 0.125]]
}

func ExampleShortConv() {
	tape := autograd.NoGrad()
	defer tape.Close()

	x := tape.Const(tensor.FromSlice([]float32{1, 2, 3, 4}, 1, 4, 1)) // one channel, four steps
	w := tape.Const(tensor.FromSlice([]float32{10, 1}, 1, 2))         // the previous step times 10, and this one
	fmt.Println(ops.Flatten(ops.ShortConv(x, w)).Value())
	// Output:
	// tensor [4] float32
	// [1 12 23 34]
}
