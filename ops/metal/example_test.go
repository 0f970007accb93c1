package metal_test

import (
	"fmt"

	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// What the kernels cost for 2048 tokens of a layer.
func Example() {
	c := metal.Config{Dtype: tensor.Float32, Chunk: 32, DK: 128, DV: 128, HK: 8, HV: 32}
	plan := metal.NewPlan(c, []int{0, 2048}, 256)
	forward, backward := plan.ForwardWork(), plan.BackwardWork()
	fmt.Printf("%d segments, %d + %d launches, %.0f + %.0f GFLOP\n",
		plan.Segments(), forward.Launches, backward.Launches, forward.FLOPs/1e9, backward.FLOPs/1e9)
	fmt.Printf("%d MB for a segment, %d MB kept\n", plan.TemporaryBytes()/1e6, plan.KeptBytes()/1e6)

	c.DK = 60
	fmt.Println(c.Refusal())
	// Output:
	// 8 segments, 16 + 32 launches, 7 + 20 GFLOP
	// 52 MB for a segment, 14 MB kept
	// the kernels take K and V that are multiples of 8 up to 256, not 60 and 128
}
