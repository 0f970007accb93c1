package gateddelta

import "github.com/deltatape/deltatape/tensor"

// chunkForward computes the outputs [B, T, Hv, V] in V's dtype, the final state
// [B, Hv, K, V], and the wide states at the starts of all segments but the
// first: with them the backward pass can work on any segment by itself.
func (z geometry) chunkForward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	S := z.state(in.h0, in.v)
	var outs []*tensor.Tensor
	for lo := 0; lo < z.N; lo += z.L {
		if lo > 0 {
			// Finish a segment before the next: the scheduler prefers to do what
			// nothing waits for, such as outputs, last.
			S = tensor.Depends([]*tensor.Tensor{S}, outs[len(outs)-z.L:])[0]
			starts = append(starts, S)
		}
		for _, c := range z.segmentAt(in, lo).chunks {
			p, next := c.run(S)
			outs = append(outs, c.output(p))
			S = next
		}
	}
	o = tensor.Reshape(joined(1, outs), z.B, -1, z.Hk*z.R, z.V)
	o = tensor.AsType(tensor.SliceAxis(o, 1, 0, z.T), in.v.Dtype())
	return o, z.fromState(S), starts
}

// output returns O = γ∘(Q S) + P Vn in the order of tokens, [B, C, Hk, r, V].
func (c chunk) output(p pass) *tensor.Tensor {
	z := c.z
	QS := tensor.Reshape(tensor.MatMul(c.Q, p.S), z.B, z.Hk, z.C, z.R, z.V)
	old := tensor.Mul(byToken(c.γ), tensor.Transpose(QS, 0, 2, 1, 3, 4))
	return tensor.Add(old, byToken(tensor.MatMul(c.P, p.Vn)))
}
