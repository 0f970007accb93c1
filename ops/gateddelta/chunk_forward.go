package gateddelta

import "github.com/deltatape/deltatape/tensor"

// chunkForward computes the outputs [B, T, Hv, V] in V's dtype, the final states
// [N, Hv, K, V] if they are asked for, and the wide states at the starts of all
// segments but those with which sequences start: with them the backward pass can
// work on any segment by itself. The constants of z must be loaded.
func (z geometry) chunkForward(in operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	var run runs
	if in.h0 != nil {
		run.all = z.state(in.h0, in.v)
	}
	var S *tensor.Tensor
	var outs, segment []*tensor.Tensor // all, and what the last segment leaves
	for i, span := range z.plan.segments {
		ended := len(run.done)
		if span.fresh {
			S = run.begin(span.first, span.first+span.active[0])
		} else if n := span.active[0]; n < S.Dim(0) {
			S = tensor.Contiguous(run.narrow(S, span.first, n)) // no more than this is kept for the backward pass
		}
		operands := in
		if i > 0 {
			// Finish a segment before the next: the scheduler prefers to do what
			// nothing waits for, such as outputs, last.
			if S != nil {
				S = z.after([]*tensor.Tensor{S}, segment)[0]
			} else {
				tied := z.after([]*tensor.Tensor{in.q, in.k, in.v, in.g, in.β}, segment)
				operands.q, operands.k, operands.v, operands.g, operands.β = tied[0], tied[1], tied[2], tied[3], tied[4]
			}
			segment = nil
		}
		if !span.fresh {
			starts = append(starts, S)
		}
		s := z.segmentAt(operands, i)
		passes, next := s.forward(S, &run)
		for j, c := range s.chunks {
			segment = append(segment, c.output(passes[j]))
		}
		S = next
		outs = append(outs, segment...)
		if i+1 == len(z.plan.segments) || z.plan.segments[i+1].fresh {
			run.end(span.first, S)
		}
		if z.final {
			for _, s := range run.done[ended:] {
				segment = append(segment, s.S)
			}
		}
	}
	if z.final {
		ht = z.fromState(z.resultOf(run, in.v))
	}
	return z.outputs(outs, in.v), ht, starts
}

// resultOf returns the states that runs leave. Sequences without tokens keep
// theirs, which is zero if none was given.
func (z geometry) resultOf(run runs, v *tensor.Tensor) *tensor.Tensor {
	if run.all == nil {
		run.all = z.state(nil, v)
	}
	return run.result()
}

// forward takes the state at the segment's start (nil for zero) through its
// chunks. Sequences that end within it leave theirs in run.
func (s *segment) forward(S *tensor.Tensor, run *runs) (passes []pass, next *tensor.Tensor) {
	if s.whole {
		S, next = s.scanForward(S, run)
		return []pass{s.chunks[0].from(S)}, next
	}
	for _, c := range s.chunks {
		if S != nil {
			S = run.narrow(S, s.first, c.n)
		}
		p := c.from(S)
		passes = append(passes, p)
		S = s.z.meet.with(c.next(p))
	}
	return passes, S
}

// outputs joins the outputs of all chunks to tokens [B, T, Hv, V] of the dtype of
// v.
func (z geometry) outputs(outs []*tensor.Tensor, v *tensor.Tensor) *tensor.Tensor {
	for i, o := range outs {
		outs[i] = z.fromRows(o)
	}
	o := z.collect(outs, v)
	return tensor.AsType(tensor.SliceAxis(o, 1, 0, z.T), v.Dtype())
}

// output returns O = γ∘(Q S) + P Vn in the order of tokens, [B, C, Hk, r, V].
func (c chunk) output(p pass) *tensor.Tensor {
	inside := byToken(tensor.MatMul(c.P, p.Vn))
	if p.S == nil {
		return inside
	}
	z := c.z
	QS := tensor.Reshape(p.QS, -1, z.Hk, z.C, z.R, z.V)
	old := tensor.Mul(byToken(c.γ), tensor.Transpose(QS, 0, 2, 1, 3, 4))
	return tensor.Add(old, inside)
}
