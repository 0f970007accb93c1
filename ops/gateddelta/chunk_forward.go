package gateddelta

import "github.com/deltatape/deltatape/tensor"

// chunkForward computes the outputs [B, T, Hv, V] in V's dtype, the final states
// [N, Hv, K, V], and the wide states at the starts of all segments but those
// with which sequences start: with them the backward pass can work on any
// segment by itself.
func (z geometry) chunkForward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	z, free := z.load()
	defer free()
	run := runs{all: z.state(in.h0, in.v)}
	var S *tensor.Tensor
	var outs, segment []*tensor.Tensor // all, and what the last segment leaves
	for i, span := range z.plan.segments {
		ended := len(run.done)
		if span.fresh {
			S = run.begin(span.first, span.first+span.active[0])
		} else if n := span.active[0]; n < S.Dim(0) {
			S = tensor.Contiguous(run.narrow(S, span.first, n)) // no more than this is kept for the backward pass
		}
		if i > 0 {
			// Finish a segment before the next: the scheduler prefers to do what
			// nothing waits for, such as outputs, last.
			S = tensor.Depends([]*tensor.Tensor{S}, segment)[0]
			segment = nil
		}
		if !span.fresh {
			starts = append(starts, S)
		}
		for _, c := range z.segmentAt(in, i).chunks {
			p, next := c.run(run.narrow(S, span.first, c.n))
			segment = append(segment, c.output(p))
			S = next
		}
		outs = append(outs, segment...)
		if i+1 == len(z.plan.segments) || z.plan.segments[i+1].fresh {
			run.end(span.first, S)
		}
		for _, s := range run.done[ended:] {
			segment = append(segment, s.S)
		}
	}
	return z.outputs(outs, in.v), z.fromState(run.result()), starts
}

// outputs joins the outputs of all steps to tokens [B, T, Hv, V] of the dtype of
// v.
func (z geometry) outputs(outs []*tensor.Tensor, v *tensor.Tensor) *tensor.Tensor {
	for i, o := range outs {
		outs[i] = tensor.Reshape(o, z.B, -1, z.Hk*z.R, z.V)
	}
	o := z.collect(outs, v)
	return tensor.AsType(tensor.SliceAxis(o, 1, 0, z.T), v.Dtype())
}

// output returns O = γ∘(Q S) + P Vn in the order of tokens, [B, C, Hk, r, V].
func (c chunk) output(p pass) *tensor.Tensor {
	z := c.z
	QS := tensor.Reshape(tensor.MatMul(c.Q, p.S), -1, z.Hk, z.C, z.R, z.V)
	old := tensor.Mul(byToken(c.γ), tensor.Transpose(QS, 0, 2, 1, 3, 4))
	return tensor.Add(old, byToken(tensor.MatMul(c.P, p.Vn)))
}
