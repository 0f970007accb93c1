package cpukernel_test

import (
	"fmt"

	"github.com/deltatape/deltatape/internal/cpukernel"
)

// One key is written twice: the second time only the error that is left.
func ExampleRule() {
	r := cpukernel.Rule{HK: 1, R: 1, DK: 1, DV: 1, Offsets: []int{0, 2}, Chunk: 16, Segment: 1, Scale: 1, Threads: 1}
	in := cpukernel.Operands{
		Q: []float32{1, 1}, K: []float32{1, 1}, V: []float32{8, 8},
		G: []float32{0, 0}, Beta: []float32{0.5, 0.5},
	}
	out := cpukernel.Results{O: make([]float32, 2)}
	r.Forward(in, out)
	fmt.Println(out.O)
	// Output: [4 6]
}
