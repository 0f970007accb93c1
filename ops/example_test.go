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

func ExampleEinsum() {
	tape := autograd.NewTape()
	defer tape.Close()

	// The bilinear form xᵀ·A·y of each row of a batch.
	x := tape.Var(tensor.FromSlice([]float32{1, 2, 3, 4}, 2, 2))
	a := tape.Var(tensor.FromSlice([]float32{1, 0, 1, 2}, 2, 2))
	y := tape.Const(tensor.FromSlice([]float32{1, 1, 0, 1}, 2, 2))
	form := ops.Einsum("bi,ij,bj->b", x, a, y)

	grads, err := tape.Backward(ops.Sum(form, false))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(form.Value())
	fmt.Println(grads.Of(a))
	// Output:
	// tensor [2] float32
	// [7 8]
	// tensor [2 2] float32
	// [[1 4]
	//  [2 6]]
}

func ExampleScaledDotProductAttention() {
	tape := autograd.NewTape()
	defer tape.Close()

	// One sequence of three tokens: two query heads share a head of keys.
	q := tape.Var(tensor.Zeros(tensor.Float32, 1, 2, 3, 4))
	k := tape.Var(tensor.Zeros(tensor.Float32, 1, 1, 3, 4))
	v := tape.Var(tensor.FromSlice([]float32{1, 2, 3}, 1, 1, 3, 1))
	o := ops.ScaledDotProductAttention(q, k, v, ops.AttentionOptions{Causal: true})

	grads, err := tape.Backward(ops.Sum(o, false))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ops.Flatten(o).Value()) // means of what each query sees
	fmt.Println(tensor.Flatten(grads.Of(v)))
	// Output:
	// tensor [6] float32
	// [1 1.5 2 1 1.5 2]
	// tensor [3] float32
	// [3.6667 1.6667 0.66667]
}

func ExampleRoPE() {
	tape := autograd.NoGrad()
	defer tape.Close()

	// Four features at positions 0 and 1: pairs (0, 2) and (1, 3) turn by 1 and by
	// 0.01 a position.
	x := tape.Const(tensor.FromSlice([]float32{1, 1, 0, 0, 1, 1, 0, 0}, 2, 4))
	fmt.Println(ops.RoPE(x, ops.RoPEOptions{}).Value())
	// Output:
	// tensor [2 4] float32
	// [[1 1 0 0]
	//  [0.5403 0.99995 0.84147 0.0099998]]
}

func ExampleDropout() {
	tape := autograd.NoGrad()
	defer tape.Close()

	x := tape.Const(tensor.Ones(tensor.Float32, 1000))
	key := tensor.Key(7) // in training a new one for each call: tensor.Split
	y := ops.Dropout(x, key, 0.75)
	fmt.Println(tensor.Max(y.Value(), false))
	again := ops.Dropout(x, key, 0.75)
	fmt.Println(tensor.All(tensor.Equal(y.Value(), again.Value()), false))
	// Output:
	// tensor [] float32
	// 4
	// tensor [] bool
	// true
}

func ExampleConv1D() {
	tape := autograd.NoGrad()
	defer tape.Close()

	x := tape.Const(tensor.FromSlice([]float32{1, 2, 3, 4, 5}, 1, 5, 1))
	w := tape.Const(tensor.FromSlice([]float32{1, 0, -1}, 1, 3, 1))
	y := ops.Conv1D(x, w, ops.Conv1DOptions{Stride: 2, Padding: 1})
	fmt.Println(ops.Flatten(y).Value())
	// Output:
	// tensor [3] float32
	// [-2 -2 4]
}

func ExampleCumProd() {
	tape := autograd.NewTape()
	defer tape.Close()

	x := tape.Var(tensor.FromSlice([]float32{2, 0, 3, 4}))
	y := ops.CumProd(x, 0, false, false)
	grads, err := tape.Backward(ops.Sum(y, false))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(grads.Of(x)) // that of the zero is 2 + 2·3 + 2·3·4
	// Output:
	// tensor [4] float32
	// [1 32 0 0]
}

func ExampleTopK() {
	tape := autograd.NewTape()
	defer tape.Close()

	x := tape.Var(tensor.FromSlice([]float32{3, 9, 1, 7}))
	values, indices := ops.TopK(x, 2, 0)
	grads, err := tape.Backward(ops.Sum(values, false))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(values.Value(), indices, grads.Of(x))
	// Output:
	// tensor [2] float32
	// [9 7] tensor [2] uint32
	// [1 3] tensor [4] float32
	// [0 1 0 1]
}
