package autograd_test

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// nodes is how many nodes a benchmark builds between two releases.
const nodes = 1000

// BenchmarkNode compares the cost of one node: a product on tensors, the same
// on a tape that doesn't record, on one that does, and with its backward pass.
// Releasing what was made is included.
func BenchmarkNode(b *testing.B) {
	x := tensor.Normal(tensor.Key(1), 4, 4)
	b.Run("tensor", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += nodes {
			s := tensor.NewScope()
			h := s.Use(x)
			for range min(nodes, b.N-i) {
				tensor.Mul(h, h)
			}
			s.Close()
		}
	})
	tape := func(newTape func() *autograd.Tape) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i += nodes {
				t := newTape()
				v := t.Var(x)
				for range min(nodes, b.N-i) {
					mul(v, v)
				}
				t.Close()
			}
		}
	}
	b.Run("not recorded", tape(autograd.NoGrad))
	b.Run("recorded", tape(autograd.NewTape))
	b.Run("with backward", func(b *testing.B) {
		b.ReportAllocs()
		y := tensor.Scalar(float32(1))
		for i := 0; i < b.N; i += nodes {
			t := autograd.NewTape()
			v := t.Var(y)
			h := v
			for range min(nodes, b.N-i) {
				h = mul(h, v)
			}
			if _, err := t.Backward(h); err != nil {
				b.Fatal(err)
			}
			t.Close()
		}
	})
}
