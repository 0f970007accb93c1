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
	c := p.config
	var finals []*tensor.Tensor
	var out sink
	var h *tensor.Tensor
	for _, s := range p.segments {
		if s.fresh {
			h = r.states(in.H0, s)
		} else {
			starts = append(starts, h)
		}
		if s.chunks == 0 {
			finals = append(finals, h)
			continue
		}
		x := r.tied(s, nil, h)
		l := launch{c, s.chunks, s.runs()}
		y := x.prepare(l)
		made := l.run(forwardKernel, []*tensor.Tensor{y.queries, y.keys, x.V, y.inverse, y.scores, y.gates, h, x.params, x.plan},
			shaped(s.tokens(), c.HV, c.DV), shaped(s.runs(), c.HV, c.DK, c.DV))
		out.add(made[0])
		h = made[1]
		if s.last {
			finals = append(finals, h)
		}
	}
	return out.result(in.V), tensor.Concat(0, finals...), starts
}

// Sequential computes what Forward does, token by token in one kernel a segment: the
// way to decode, and of use where there is no backward pass.
func (p Plan) Sequential(in Operands) (o, ht *tensor.Tensor) {
	r := p.running(in)
	defer r.free()
	c := p.config
	var finals []*tensor.Tensor
	var out sink
	var h *tensor.Tensor
	for _, s := range p.segments {
		if s.fresh {
			h = r.states(in.H0, s)
		}
		if s.chunks > 0 {
			x := r.tied(s, nil, h)
			made := launch{c, s.chunks, s.runs()}.run(sequentialKernel,
				[]*tensor.Tensor{x.Q, x.K, x.V, x.G, x.Beta, h, x.params, x.plan},
				shaped(s.tokens(), c.HV, c.DV), shaped(s.runs(), c.HV, c.DK, c.DV))
			out.add(made[0])
			h = made[1]
		}
		if s.last {
			finals = append(finals, h)
		}
	}
	return out.result(in.V), tensor.Concat(0, finals...)
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
	c := p.config
	after := slices.DeleteFunc([]*tensor.Tensor{do, dht}, func(t *tensor.Tensor) bool { return t == nil })
	if do == nil {
		do = tensor.BroadcastTo(tensor.Like(in.V, 0), in.V.Shape()...)
	}
	do = tensor.AsType(do, c.Dtype)
	var dq, dk, dv, dg, dbeta sink
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
			x := r.tied(s, do, append(slices.Clip(after), h)...)
			l := launch{c, s.chunks, s.runs()}
			tokens, rows, states := s.tokens(), shaped(s.chunks, c.HV, c.Chunk, c.DV), shaped(s.chunks, c.HV, c.DV, c.DK)
			y := x.prepare(l)
			again := l.run(replayKernel, []*tensor.Tensor{y.keys, x.V, y.inverse, y.gates, h, x.params, x.plan}, rows, states)
			back := l.run(backKernel, []*tensor.Tensor{y.queries, y.keys, x.do, y.inverse, y.scores, y.gates, d, x.params, x.plan},
				shaped(tokens, c.HV, c.DV), rows, states, shaped(s.runs(), c.HV, c.DK, c.DV))
			grads := l.run(gradsKernel,
				[]*tensor.Tensor{y.queries, y.keys, x.V, x.do, again[0], back[1], again[1], back[2], y.gates, x.params, x.plan},
				shaped(tokens, c.HK, c.DK), shaped(tokens, c.HK, c.DK), shaped(tokens, c.HV), shaped(tokens, c.HV))
			for i, to := range []*sink{&dq, &dk, &dg, &dbeta} {
				to.add(grads[i])
			}
			dv.add(back[0])
			d = back[3]
			after = append(grads, d)
		}
		if s.fresh {
			first = append(first, d)
		}
	}
	slices.Reverse(first)
	for _, to := range []*sink{&dq, &dk, &dv, &dg, &dbeta} {
		slices.Reverse(to.parts)
	}
	return Gradients{
		Q: dq.result(in.Q), K: dk.result(in.K), V: dv.result(in.V),
		G: dg.result(in.G), Beta: dbeta.result(in.Beta), H0: tensor.Concat(0, first...),
	}
}

// running is a pass under way.
type running struct {
	p      Plan
	in     Operands
	params *tensor.Tensor
	owned  []*tensor.Tensor
}

func (p Plan) running(in Operands) *running {
	params := make([]float32, 8)
	params[0], params[1] = float32(in.Scale), 1
	if in.NoDelta {
		params[1] = 0
	}
	in.G, in.Beta = tensor.AsType(in.G, tensor.Float32), tensor.AsType(in.Beta, tensor.Float32)
	r := &running{p: p, in: in, params: tensor.FromSlice(params)}
	r.owned = append(r.owned, r.params)
	return r
}

func (r *running) free() { tensor.Free(r.owned...) }

// states returns the states of a segment's sequences from those of all; nil gives
// zeros.
func (r *running) states(all *tensor.Tensor, s segment) *tensor.Tensor {
	c := r.p.config
	if all == nil {
		zero := tensor.AsType(tensor.Like(r.in.V, 0), tensor.Float32)
		return tensor.BroadcastTo(zero, s.runs(), c.HV, c.DK, c.DV)
	}
	if s.lo == 0 && s.hi == all.Dim(0) {
		return all
	}
	return tensor.SliceAxis(all, 0, s.lo, s.hi)
}

// inputs are what the kernels of one segment read.
type inputs struct {
	Operands
	do, params, plan *tensor.Tensor
}

// tied returns the inputs such that nothing of the segment is computed before deps.
func (r *running) tied(s segment, do *tensor.Tensor, deps ...*tensor.Tensor) inputs {
	x := inputs{Operands: r.in, do: do, params: r.params, plan: tensor.FromSlice(s.table)}
	r.owned = append(r.owned, x.plan)
	list := []*tensor.Tensor{x.Q, x.K, x.V, x.G, x.Beta}
	if do != nil {
		list = append(list, do)
	}
	list = tensor.Depends(list, deps)
	x.Q, x.K, x.V, x.G, x.Beta = list[0], list[1], list[2], list[3], list[4]
	if do != nil {
		x.do = list[5]
	}
	return x
}

// prepared is what K1 makes.
type prepared struct{ queries, keys, inverse, scores, gates *tensor.Tensor }

// prepare runs K1.
func (x inputs) prepare(l launch) prepared {
	c := l.config
	rows, square := shaped(l.chunks, c.HK, c.Chunk, c.DK), shaped(l.chunks, c.HV, c.Chunk, c.Chunk)
	made := l.run(prepareKernel, []*tensor.Tensor{x.Q, x.K, x.G, x.Beta, x.params, x.plan},
		rows, rows, square, square, shaped(l.chunks, c.HV, gateKinds, c.Chunk))
	return prepared{queries: made[0], keys: made[1], inverse: made[2], scores: made[3], gates: made[4]}
}

// sink takes the segments' tokens of one result, [tokens, ...], in order.
type sink struct{ parts []*tensor.Tensor }

func (to *sink) add(part *tensor.Tensor) { to.parts = append(to.parts, part) }

// result joins the parts to an array like x, with zeros for tokens of no sequence.
func (to *sink) result(like *tensor.Tensor) *tensor.Tensor {
	if len(to.parts) == 0 {
		return tensor.ZerosLike(like)
	}
	x := to.parts[0]
	if len(to.parts) > 1 {
		x = tensor.Concat(0, to.parts...)
	}
	if rest := like.Dim(0)*like.Dim(1) - x.Dim(0); rest > 0 {
		widths := make([][2]int, x.NDim())
		widths[0][1] = rest
		x = tensor.Pad(x, widths, 0)
	}
	return tensor.AsType(tensor.Reshape(x, like.Shape()...), like.Dtype())
}
