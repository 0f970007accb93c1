package metal

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// Operands of the rule, of a configuration's sizes and dtype, with B·T tokens.
type Operands struct {
	Q, K, V *tensor.Tensor // [B, T, HK, DK] and [B, T, HV, DV]
	G, Beta *tensor.Tensor // [B, T, HV], of any float type of at most 32 bits
	H0      *tensor.Tensor // [N, HV, DK, DV] float32 for N sequences; nil: zeros

	Scale   float64 // of the queries
	NoDelta bool    // values are written as they are
}

// Forward computes the outputs [B, T, HV, DV] and the states [N, HV, DK, DV] after
// the sequences. Backward needs starts.
func (p Plan) Forward(in Operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	r := p.running(in)
	defer r.free()
	out := r.sink(r.c.Dtype, r.c.HV, r.c.DV)
	made := r.prepared()
	ht, starts = r.scan(func(x inputs, l launch, h *tensor.Tensor) *tensor.Tensor {
		r.prepare(x, l, &made)
		part, done := l.runInto(forwardKernel,
			[]*tensor.Tensor{made.queries, made.keys, x.V, made.inverse, made.scores, made.gates, h, r.params, x.plan},
			out.into(), r.after, shaped(x.tokens(), r.c.HV, r.c.DV), shaped(x.runs(), r.c.HV, r.c.DK, r.c.DV))
		r.then(done)
		out.add(part[0])
		return part[1]
	})
	return out.result(in.V), ht, starts
}

// Sequential computes what Forward does, token by token in one kernel a segment: the
// way to decode, and of use where there is no backward pass.
func (p Plan) Sequential(in Operands) (o, ht *tensor.Tensor) {
	r := p.running(in)
	defer r.free()
	out := r.sink(r.c.Dtype, r.c.HV, r.c.DV)
	ht, _ = r.scan(func(x inputs, l launch, h *tensor.Tensor) *tensor.Tensor {
		part, done := l.runInto(sequentialKernel, []*tensor.Tensor{x.Q, x.K, x.V, x.G, x.Beta, h, r.params, x.plan},
			out.into(), r.after, shaped(x.tokens(), r.c.HV, r.c.DV), shaped(x.runs(), r.c.HV, r.c.DK, r.c.DV))
		r.then(done)
		out.add(part[0])
		return part[1]
	})
	return out.result(in.V), ht
}

// scan goes through the segments with tokens: step takes the states at a segment's
// start to those at its end. It returns the states after all sequences, and those
// that Backward needs.
func (r *running) scan(step func(x inputs, l launch, h *tensor.Tensor) *tensor.Tensor) (ht *tensor.Tensor, starts []*tensor.Tensor) {
	var finals []*tensor.Tensor
	var h *tensor.Tensor
	for _, s := range r.p.segments {
		if s.fresh {
			h = r.states(r.in.H0, s)
		} else {
			starts = append(starts, h)
		}
		if s.chunks > 0 {
			h = step(r.tied(s, nil, h), launch{r.c, s.chunks, s.runs()}, h)
		}
		if s.last {
			finals = append(finals, h)
		}
	}
	return tensor.Concat(0, finals...), starts
}

// Gradients are those of Operands.
type Gradients struct {
	Q, K, V, G, Beta, H0 *tensor.Tensor
}

// Backward computes the gradients of all operands from those of the outputs, either
// of which may be nil. Each segment is computed again from the state at its start,
// after the one that follows it.
func (p Plan) Backward(in Operands, starts []*tensor.Tensor, do, dht *tensor.Tensor) Gradients {
	r := p.running(in)
	defer r.free()
	c := r.c
	before := slices.DeleteFunc([]*tensor.Tensor{do, dht}, func(t *tensor.Tensor) bool { return t == nil })
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.V, 0), in.V.Shape()...)
	}
	do = tensor.AsType(do, c.Dtype)
	most := p.SegmentChunks()
	made := r.prepared()
	written, dbound := r.scratch(most, c.HV, c.Chunk, c.DV), r.scratch(most, c.HV, c.Chunk, c.DV)
	states, dstates := r.scratch(most, c.HV, c.DV, c.DK), r.scratch(most, c.HV, c.DV, c.DK)
	dq, dk, dv := r.sink(c.Dtype, c.HK, c.DK), r.sink(c.Dtype, c.HK, c.DK), r.sink(c.Dtype, c.HV, c.DV)
	dg, dbeta := r.sink(tensor.Float32, c.HV), r.sink(tensor.Float32, c.HV)
	var first []*tensor.Tensor // gradients of states before sequences, from the last
	var d *tensor.Tensor
	for _, s := range slices.Backward(p.segments) {
		var h *tensor.Tensor
		if s.fresh {
			h = r.states(in.H0, s)
		} else {
			h, starts = starts[len(starts)-1], starts[:len(starts)-1]
		}
		if s.last {
			d = r.states(dht, s)
		}
		if s.chunks > 0 {
			x := r.tied(s, do, append(slices.Clip(before), h)...)
			l := launch{c, s.chunks, s.runs()}
			tokens, rows, chunkStates := s.tokens(), shaped(s.chunks, c.HV, c.Chunk, c.DV), shaped(s.chunks, c.HV, c.DV, c.DK)
			r.prepare(x, l, &made)
			again, replayed := l.runInto(replayKernel,
				[]*tensor.Tensor{made.keys, x.V, made.inverse, made.gates, h, r.params, x.plan},
				into(written, states), r.after, rows, chunkStates)
			back, scanned := l.runInto(backKernel,
				[]*tensor.Tensor{made.queries, made.keys, x.do, made.inverse, made.scores, made.gates, d, r.params, x.plan},
				append(dv.into(), into(dbound, dstates)...), r.after,
				shaped(tokens, c.HV, c.DV), rows, chunkStates, shaped(s.runs(), c.HV, c.DK, c.DV))
			r.then(replayed, scanned)
			grads, done := l.runInto(gradsKernel,
				[]*tensor.Tensor{made.queries, made.keys, x.V, x.do, again[0], back[1], again[1], back[2], made.gates, r.params, x.plan},
				slices.Concat(dq.into(), dk.into(), dg.into(), dbeta.into()), r.after,
				shaped(tokens, c.HK, c.DK), shaped(tokens, c.HK, c.DK), shaped(tokens, c.HV), shaped(tokens, c.HV))
			r.then(done)
			for i, to := range []*sink{dq, dk, dg, dbeta} {
				to.add(grads[i])
			}
			dv.add(back[0])
			d = back[3]
			before = []*tensor.Tensor{d}
			if done == nil {
				before = append(before, grads...)
			}
		}
		if s.fresh {
			first = append(first, d)
		}
	}
	slices.Reverse(first)
	for _, to := range []*sink{dq, dk, dv, dg, dbeta} {
		slices.Reverse(to.parts)
	}
	return Gradients{
		Q: dq.result(in.Q), K: dk.result(in.K), V: dv.result(in.V),
		G: dg.result(in.G), Beta: dbeta.result(in.Beta), H0: tensor.Concat(0, first...),
	}
}
