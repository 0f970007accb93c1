package data_test

import (
	"encoding/json"
	"fmt"
	"log"
	"strings"

	"github.com/deltatape/deltatape/train/data"
)

// From a text to training batches, and the baseline that a model trained on
// them has to beat.
func Example() {
	corpus := data.NewCorpus("hello", []byte(strings.Repeat("Hello, world! ", 500)))
	train, held, err := corpus.Split(0.1)
	if err != nil {
		log.Fatal(err)
	}
	sampler, err := data.NewSampler(train.Bytes(), 4, 32, 1)
	if err != nil {
		log.Fatal(err)
	}
	for batch, err := range sampler.All() {
		if err != nil {
			log.Fatal(err)
		}
		_ = batch // A training step goes here.
		if sampler.State().Batches == 100 {
			break
		}
	}

	evaluation, err := data.Windows(held.Bytes(), 4, 32, 0)
	if err != nil {
		log.Fatal(err)
	}
	for order := range data.MaxOrder + 1 {
		baseline, err := data.NewNGram(order)
		if err != nil {
			log.Fatal(err)
		}
		for _, text := range sampler.Seen() {
			baseline.Fit(text)
		}
		bits, err := baseline.BitsPerByte(evaluation)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("order %d: %.2f bits/byte\n", order, bits)
	}
	// Output:
	// order 0: 3.19 bits/byte
	// order 1: 0.69 bits/byte
	// order 2: 0.12 bits/byte
}

func ExampleSampler_Restore() {
	text := []byte("the quick brown fox jumps over the lazy dog")
	sampler, err := data.NewSampler(text, 1, 8, 1)
	if err != nil {
		log.Fatal(err)
	}
	sampler.Next()
	saved, err := json.Marshal(sampler.State())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(saved))

	resumed, err := data.NewSampler(text, 1, 8, 1)
	if err != nil {
		log.Fatal(err)
	}
	var state data.SamplerState
	if err := json.Unmarshal(saved, &state); err != nil {
		log.Fatal(err)
	}
	if err := resumed.Restore(state); err != nil {
		log.Fatal(err)
	}
	fmt.Println(fmt.Sprint(sampler.Next()) == fmt.Sprint(resumed.Next()))
	// Output:
	// {"seed":1,"batches":1,"rows":1,"length":8,"bytes":43,"checksum":1008268502}
	// true
}

func ExampleWindows() {
	batches, err := data.Windows([]byte("abcdefgh"), 2, 3, 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range batches {
		fmt.Printf("[%d, %d] %c -> %c\n", b.Rows, b.Length, b.Tokens, b.Targets)
	}
	// Output:
	// [2, 3] [a b c d e f] -> [b c d e f g]
}
