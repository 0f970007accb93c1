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
	NoFinal bool    // Forward is not asked for the states after the sequences
}

// Forward computes the outputs [B, T, HV, DV] and the states [N, HV, DK, DV] after
// the sequences, nil with NoFinal. Backward needs starts.
//
// A plan of several segments evaluates them, and the operands first, one after the
// other, but for functions that are traced. If that fails, everything is left to the
// evaluation of the results, which then fails, too, or needs more memory.
func (p Plan) Forward(in Operands) (o, ht *tensor.Tensor, starts []*tensor.Tensor) {
	if p.Stepwise() {
		if o, ht, starts, err := p.forward(in, true); err == nil {
			return o, ht, starts
		}
	}
	o, ht, starts, _ = p.forward(in, false)
	return o, ht, starts
}

// forward is Forward in one of both ways. It fails only stepwise.
func (p Plan) forward(in Operands, stepwise bool) (o, ht *tensor.Tensor, starts []*tensor.Tensor, err error) {
	r, err := p.running(in, nil, nil, stepwise)
	defer r.free()
	if err != nil {
		return nil, nil, nil, err
	}
	c := p.config
	var out, finals sink
	var h *tensor.Tensor
	for _, s := range p.segments {
		if s.fresh {
			h = r.states(in.H0, s)
		} else {
			starts = append(starts, h)
		}
		if s.chunks > 0 {
			if err := r.take(c.forwardTakes(s)); err != nil {
				return nil, nil, nil, err
			}
			x := r.tied(s, h)
			y := r.prepare(s, x)
			made := p.run(s, forwardKernel, []*tensor.Tensor{y.queries, y.keys, x.V, y.inverse, y.scores, y.gates, h, x.params, x.plan},
				shaped(s.tokens(), c.HV, c.DV), shaped(s.runs(), c.HV, c.DK, c.DV))
			y.free()
			out.add(made[0])
			h = made[1]
			if r.gives(made...); s.last && in.NoFinal {
				tensor.Free(h)
			}
		}
		if s.last && !in.NoFinal {
			finals.add(h)
		}
	}
	if o, err = r.join(&out, in.V); err == nil {
		ht, err = r.join(&finals, nil)
	}
	if err == nil {
		err = r.settle()
	}
	return o, ht, starts, err
}

// Gradients are those of Operands, H0's nil if there is none.
type Gradients struct {
	Q, K, V, G, Beta, H0 *tensor.Tensor
}

// Backward computes the gradients of all operands from those of the outputs, either
// of which may be nil. Each segment is computed again from the state at its start,
// after the one that follows it. What Forward says of several segments holds here,
// too.
func (p Plan) Backward(in Operands, starts []*tensor.Tensor, do, dht *tensor.Tensor) Gradients {
	if p.Stepwise() {
		if d, err := p.backward(in, starts, do, dht, true); err == nil {
			return d
		}
	}
	d, _ := p.backward(in, starts, do, dht, false)
	return d
}

// backward is Backward in one of both ways. It fails only stepwise.
func (p Plan) backward(in Operands, starts []*tensor.Tensor, do, dht *tensor.Tensor, stepwise bool) (Gradients, error) {
	c := p.config
	after := present(do, dht)
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.V, 0), in.V.Shape()...)
	}
	r, err := p.running(in, tensor.AsType(do, c.Dtype), append(present(do, dht), starts...), stepwise)
	defer r.free()
	if err != nil {
		return Gradients{}, err
	}
	var dq, dk, dv, dg, dbeta, dh0 sink // from the last segment
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
			if err := r.take(c.segmentBytes(s.chunks*c.Chunk, s.runs(), c.backwardBytes())); err != nil {
				return Gradients{}, err
			}
			x := r.tied(s, append(slices.Clip(after), h)...)
			tokens, rows, states := s.tokens(), shaped(s.chunks, c.HV, c.Chunk, c.DV), shaped(s.chunks, c.HV, c.DV, c.DK)
			y := r.prepare(s, x)
			again := p.run(s, replayKernel, []*tensor.Tensor{y.keys, x.V, y.inverse, y.gates, h, x.params, x.plan}, rows, states)
			back := p.run(s, backKernel, []*tensor.Tensor{y.queries, y.keys, x.do, y.inverse, y.scores, y.gates, d, x.params, x.plan},
				shaped(tokens, c.HV, c.DV), rows, states, shaped(s.runs(), c.HV, c.DK, c.DV))
			grads := p.run(s, gradsKernel,
				[]*tensor.Tensor{y.queries, y.keys, x.V, x.do, again[0], back[1], again[1], back[2], y.gates, x.params, x.plan},
				shaped(tokens, c.HK, c.DK), shaped(tokens, c.HK, c.DK), shaped(tokens, c.HV), shaped(tokens, c.HV))
			y.free()
			tensor.Free(again[0], again[1], back[1], back[2])
			if !s.last {
				tensor.Free(d)
			}
			d, after = back[3], append(grads, back[0])
			if r.gives(append(after, d)...); s.fresh && in.H0 == nil {
				tensor.Free(d)
			}
			for i, to := range []*sink{&dq, &dk, &dg, &dbeta} {
				to.add(grads[i])
			}
			dv.add(back[0])
		}
		if s.fresh && in.H0 != nil {
			dh0.add(d)
		}
	}
	var all Gradients
	for _, to := range []struct {
		sink *sink
		like *tensor.Tensor
		made **tensor.Tensor
	}{{&dv, in.V, &all.V}, {&dq, in.Q, &all.Q}, {&dk, in.K, &all.K}, {&dg, in.G, &all.G}, {&dbeta, in.Beta, &all.Beta}, {&dh0, nil, &all.H0}} {
		slices.Reverse(to.sink.parts)
		if *to.made, err = r.join(to.sink, to.like); err != nil {
			return Gradients{}, err
		}
	}
	return all, r.settle()
}

// Sequential computes what Forward does, token by token in one kernel a segment, as
// lazily as any other operation: the way to decode, and of use where there is no
// backward pass.
func (p Plan) Sequential(in Operands) (o, ht *tensor.Tensor) {
	r, _ := p.running(in, nil, nil, false)
	defer r.free()
	c := p.config
	var out, finals sink
	var h *tensor.Tensor
	for _, s := range p.segments {
		if s.fresh {
			h = r.states(in.H0, s)
		}
		if s.chunks > 0 {
			x := r.tied(s, h)
			made := p.run(s, sequentialKernel, []*tensor.Tensor{x.Q, x.K, x.V, x.G, x.Beta, h, x.params, x.plan},
				shaped(s.tokens(), c.HV, c.DV), shaped(s.runs(), c.HV, c.DK, c.DV))
			out.add(made[0])
			h = made[1]
		}
		if s.last && !in.NoFinal {
			finals.add(h)
		}
	}
	o, _ = r.join(&out, in.V)
	ht, _ = r.join(&finals, nil)
	return o, ht
}

func present(ts ...*tensor.Tensor) []*tensor.Tensor {
	return slices.DeleteFunc(ts, func(t *tensor.Tensor) bool { return t == nil })
}
