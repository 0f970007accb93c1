package train_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
)

// A small model learns a text by heart.
func Example() {
	ctx := context.Background()
	text := []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 20))
	sampler, err := data.NewSampler(text, 8, 32, 1)
	if err != nil {
		log.Fatal(err)
	}
	model, err := qla.New(qla.Config{Layers: 1, Hidden: 32, KeyDim: 16, ValueDim: 16, ChunkSize: 16}, tensor.Key(1))
	if err != nil {
		log.Fatal(err)
	}
	err = train.Run(ctx, train.Config{
		Steps: 100, LearningRate: 2e-2,
		OnStep: func(s train.StepResult) {
			if s.Step == 100 {
				fmt.Printf("step %d: %.0f bits/byte\n", s.Step, train.BitsPerByte(s.Loss))
			}
		},
	}, model, sampler)
	if err != nil {
		log.Fatal(err)
	}
	windows, err := data.Windows(text, 8, 32, 8)
	if err != nil {
		log.Fatal(err)
	}
	nats, err := train.Evaluate(ctx, model, windows)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("evaluated: %.0f bits/byte\n", train.BitsPerByte(nats))
	// Output:
	// step 100: 0 bits/byte
	// evaluated: 0 bits/byte
}

// A schedule is a function of the step; any function will do.
func ExampleWarmupCosine() {
	schedule := train.WarmupCosine(1e-3, 2, 6, 0.1)
	for step := range 6 {
		fmt.Printf("%.2e\n", schedule(step))
	}
	// Output:
	// 5.00e-04
	// 1.00e-03
	// 1.00e-03
	// 7.75e-04
	// 3.25e-04
	// 1.00e-04
}
