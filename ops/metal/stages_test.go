package metal

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// BenchmarkStages times one launch of each kernel on evaluated inputs of noise, and
// reports TFLOP/s and GB/s by the cost model.
func BenchmarkStages(b *testing.B) {
	c, T := Config{tensor.Float32, 32, 128, 128, 8, 32}, 2048
	if tensor.DefaultDevice() == tensor.CPU {
		c, T = Config{tensor.Float32, 32, 32, 32, 1, 2}, 64
	}
	s := NewPlan(c, []int{0, T}, T).segments[0]
	for _, k := range registry[:8] { // those of the rule
		b.Run(fmt.Sprintf("%s/T%d", k.name, T), func(b *testing.B) {
			w := k.work(c, T, s.chunks, s.runs())
			in := c.noise(k, s, T)
			once := func() {
				out := launch{c, s.chunks, s.runs()}.run(k, slices.Clone(in), c.shapes(k, s, T)...)
				if err := tensor.Eval(out...); err != nil {
					b.Fatal(err)
				}
				tensor.Free(out...)
			}
			once() // to compile it
			for b.Loop() {
				once()
			}
			perOp := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(w.FLOPs/perOp/1e12, "TFLOP/s")
			b.ReportMetric(w.Bytes/perOp/1e9, "GB/s")
		})
	}
}

// shape returns the shape of an argument.
func (c Config) shape(a argument, s segment, T int) []int {
	switch a.name {
	case "q", "k", "dq", "dk":
		return []int{T, c.HK, c.DK}
	case "queries", "keys":
		return []int{s.chunks, c.HK, c.Chunk, c.DK}
	case "written", "dbound":
		return []int{s.chunks, c.HV, c.Chunk, c.DV}
	case "v", "o", "dv", "dout":
		return []int{T, c.HV, c.DV}
	case "g", "beta", "dg", "dbeta":
		return []int{T, c.HV}
	case "h0", "ht", "dht", "dh0":
		return []int{s.runs(), c.HV, c.DK, c.DV}
	case "inverse", "scores":
		return []int{s.chunks, c.HV, c.Chunk, c.Chunk}
	case "a", "x":
		return []int{s.chunks, c.Chunk, c.HV, c.Chunk}
	case "gates":
		return []int{s.chunks, c.HV, gateKinds, c.Chunk}
	case "states", "dstates":
		return []int{s.chunks, c.HV, c.DV, c.DK}
	case "params":
		return []int{8}
	}
	return []int{len(s.table)}
}

func (c Config) shapes(k *kernel, s segment, T int) (list [][]int) {
	for _, a := range k.out {
		list = append(list, c.shape(a, s, T))
	}
	return list
}

// noise returns inputs of a kernel, evaluated.
func (c Config) noise(k *kernel, s segment, T int) (list []*tensor.Tensor) {
	for i, a := range k.in {
		x := tensor.MulScalar(tensor.Normal(tensor.Key(uint64(i)), c.shape(a, s, T)...), 1/math.Sqrt(float64(c.DK)))
		switch a.name {
		case "g":
			x = tensor.Neg(tensor.Abs(x))
		case "plan":
			x = tensor.FromSlice(s.table)
		}
		list = append(list, tensor.AsType(x, c.dtype(a.kind)))
	}
	if err := tensor.Eval(list...); err != nil {
		panic(err)
	}
	return list
}
