package tensor_test

import (
	"fmt"

	"github.com/deltatape/deltatape/tensor"
)

func Example() {
	s := tensor.NewScope()
	defer s.Close() // releases all that was computed from x
	x := s.Use(tensor.FromSlice([]float32{1, 2, 3, 4}, 2, 2))
	w := tensor.Eye(2, 2, 0, tensor.Float32)
	y := tensor.AddScalar(tensor.MatMul(x, w), 0.5) // nothing is computed yet
	fmt.Println(y)
	total, err := tensor.Item[float32](tensor.Sum(y, false))
	fmt.Println(total, err)
	// Output:
	// tensor [2 2] float32
	// [[1.5 2.5]
	//  [3.5 4.5]]
	// 12 <nil>
}

func ExampleTry() {
	a, b := tensor.Ones(tensor.Float32, 2, 3), tensor.Ones(tensor.Float32, 4, 5)
	err := tensor.Try(func() { tensor.MatMul(a, b) })
	fmt.Println(err)
	// Output: tensor.MatMul: inner dimensions differ: [2 3] x [4 5]
}

func ExampleScope_Keep() {
	mean := func(x *tensor.Tensor) *tensor.Tensor {
		s := tensor.NewScope()
		defer s.Close()
		y := tensor.Mean(tensor.Square(s.Use(x)), false)
		s.Keep(y) // its graph lives on, the steps' handles don't
		return y
	}
	y := mean(tensor.FromSlice([]float64{1, 2, 3}))
	v, err := tensor.Item[float64](y)
	fmt.Printf("%.4f %v\n", v, err)
	// Output: 4.6667 <nil>
}

func ExampleCompile() {
	calls := 0
	norm := tensor.Compile(func(in []*tensor.Tensor) []*tensor.Tensor {
		calls++
		return []*tensor.Tensor{tensor.Sqrt(tensor.Sum(tensor.Square(in[0]), false))}
	})
	defer norm.Close()
	for i := range 3 {
		out, err := norm.Call(tensor.Full(float64(i), tensor.Float32, 4))
		if err != nil {
			fmt.Println(err)
			return
		}
		v, err := tensor.Item[float32](out[0])
		fmt.Println(v, err)
	}
	fmt.Println("traced", calls, "time")
	// Output:
	// 0 <nil>
	// 2 <nil>
	// 4 <nil>
	// traced 1 time
}

func ExampleSplit() {
	keys := tensor.Split(tensor.Key(42), 2) // two streams of numbers, both of seed 42
	a, b := tensor.RandInt(keys[0], 0, 10, 5), tensor.RandInt(keys[1], 0, 10, 5)
	fmt.Println(a.Shape(), b.Shape(), a.Dtype())
	// Output: [5] [5] int32
}

func ExampleEinsum() {
	a := tensor.FromSlice([]float32{1, 2, 3, 4}, 2, 2)
	b := tensor.FromSlice([]float32{1, 0, 1, 1}, 2, 2)
	fmt.Println(tensor.Einsum("ij,jk->ik", a, b)) // the product of matrices
	fmt.Println(tensor.Einsum("ii->", a))         // the trace
	// Output:
	// tensor [2 2] float32
	// [[3 2]
	//  [7 4]]
	// tensor [] float32
	// 5
}
