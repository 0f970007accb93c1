package ops

import (
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// BenchmarkPass runs forward and backward of ops at the sizes of a small
// training step: 4096 positions of width 256.
func BenchmarkPass(b *testing.B) {
	key := func(n uint64, shape ...int) *tensor.Tensor { return tensor.Normal(tensor.Key(n), shape...) }
	x, y, w := key(1, 16, 256, 256), key(2, 16, 256, 256), key(3, 256)
	filters, ids := key(4, 256, 4), tensor.RandInt(tensor.Key(5), 0, 256, 16, 256)
	for _, c := range []struct {
		name string
		f    func(v ...*autograd.Var) []*autograd.Var
		in   []*tensor.Tensor
	}{
		{"Mul", f2(Mul), list(x, y)},
		{"SiLU", f1(SiLU), list(x)},
		{"GELU", f1(GELU), list(x)},
		{"Softmax", f1(func(x *autograd.Var) *autograd.Var { return Softmax(x, -1) }), list(x)},
		{"RMSNorm", f2(func(x, w *autograd.Var) *autograd.Var { return RMSNorm(x, w, 1e-6) }), list(x, w)},
		{"GatedRMSNorm", f3(func(x, g, w *autograd.Var) *autograd.Var { return GatedRMSNorm(x, g, w, 1e-6) }), list(x, y, w)},
		{"L2Norm", f1(func(x *autograd.Var) *autograd.Var { return L2Norm(x, 1e-6) }), list(x)},
		{"ShortConv", f2(ShortConv), list(x, filters)},
		{"LayerNorm", f2(func(x, w *autograd.Var) *autograd.Var { return LayerNorm(x, w, w, 1e-6) }), list(x, w)},
		{"RoPE", f1(func(x *autograd.Var) *autograd.Var { return RoPE(x, RoPEOptions{}) }), list(x)},
		{"Dropout", f1(func(x *autograd.Var) *autograd.Var { return Dropout(x, tensor.Key(9), 0.1) }), list(x)},
		{"CumProd", f1(func(x *autograd.Var) *autograd.Var { return CumProd(x, 1, false, false) }), list(x)},
		{"Conv1D", f2(func(x, w *autograd.Var) *autograd.Var { return Conv1D(x, w, Conv1DOptions{Padding: 1}) }), list(x, key(10, 256, 3, 256))},
		{"Attention", f1(func(x *autograd.Var) *autograd.Var {
			x = MoveAxis(Reshape(x, 16, 256, 4, 64), 2, 1)
			return ScaledDotProductAttention(x, x, x, AttentionOptions{Causal: true})
		}), list(x)},
		{"Einsum", einsumOf("btd,de->bte"), list(x, key(11, 256, 256))},
		{"Embedding", f1(func(w *autograd.Var) *autograd.Var { return Embedding(w, ids) }), list(key(6, 256, 256))},
		{"CrossEntropy", f1(func(x *autograd.Var) *autograd.Var { return CrossEntropy(x, ids) }), list(x)},
		{"MatMul", f2(MatMul), list(x, key(7, 256, 256))},
	} {
		b.Run(c.name, func(b *testing.B) {
			var seed *tensor.Tensor
			for b.Loop() {
				tape := autograd.NewTape()
				vars := make([]*autograd.Var, len(c.in))
				for i, t := range c.in {
					vars[i] = tape.Var(t)
				}
				out := c.f(vars...)
				if seed == nil {
					seed = key(8, out[0].Shape()...)
					if err := tensor.Eval(append(c.in, seed)...); err != nil {
						b.Fatal(err)
					}
				}
				grads, err := tape.Grad(out, []*tensor.Tensor{seed}, vars...)
				if err != nil {
					b.Fatal(err)
				}
				tape.Keep(grads...)
				tape.Close()
				if err := tensor.Eval(grads...); err != nil {
					b.Fatal(err)
				}
				tensor.Free(grads...)
			}
		})
	}
}

// BenchmarkRecord builds nodes without evaluating them.
func BenchmarkRecord(b *testing.B) {
	x, y := tensor.Normal(tensor.Key(1), 4, 4), tensor.Normal(tensor.Key(2), 4, 4)
	const chain = 1000
	b.Run("tensor", func(b *testing.B) {
		for b.Loop() {
			s := tensor.NewScope()
			u, v := s.Use(x), s.Use(y)
			for range chain {
				u = tensor.Mul(u, v)
			}
			s.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*chain), "ns/node")
	})
	b.Run("ops", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tape := autograd.NewTape()
			u, v := tape.Var(x), tape.Var(y)
			for range chain {
				u = Mul(u, v)
			}
			tape.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*chain), "ns/node")
	})
}
