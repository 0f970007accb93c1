package metal

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// running is a pass under way.
type running struct {
	p Plan
	inputs
	owned []*tensor.Tensor

	// A pass that goes step by step evaluates what it has built before it takes more
	// than there is room for.
	stepwise    bool
	room, taken float64
	open        []*tensor.Tensor // results that are not evaluated yet
}

// inputs are what the kernels of one segment read.
type inputs struct {
	Operands
	do, params, plan *tensor.Tensor
}

// running begins a pass, do being nil in a forward pass. Stepwise it evaluates the
// operands, and what else the pass is to read, and has dense copies of those that are
// views: each launch would make its own.
func (p Plan) running(in Operands, do *tensor.Tensor, others []*tensor.Tensor, stepwise bool) (*running, error) {
	params := make([]float32, 8)
	params[0], params[1] = float32(in.Scale), 1
	if in.NoDelta {
		params[1] = 0
	}
	r := &running{p: p, stepwise: stepwise, room: float64(p.TemporaryBytes())}
	r.params = tensor.FromSlice(params)
	r.owned = append(r.owned, r.params)
	if stepwise {
		if err := p.eval(append(present(in.Q, in.K, in.V, in.G, in.Beta, in.H0, do), others...)); err != nil {
			return r, err
		}
	}
	in.G, in.Beta = tensor.AsType(in.G, tensor.Float32), tensor.AsType(in.Beta, tensor.Float32)
	r.Operands, r.do = in, do
	r.owned = append(r.owned, in.G, in.Beta)
	if !stepwise {
		return r, nil
	}
	for _, x := range []**tensor.Tensor{&r.Q, &r.K, &r.V, &r.G, &r.Beta, &r.do} {
		if *x != nil {
			*x = tensor.Contiguous(*x)
			r.owned = append(r.owned, *x)
		}
	}
	return r, nil
}

func (r *running) free() { tensor.Free(r.owned...) }

// take makes room for what takes so many bytes until it is evaluated.
func (r *running) take(bytes float64) error {
	if r.taken += bytes; r.taken > r.room {
		err := r.settle()
		r.taken = bytes
		return err
	}
	return nil
}

// gives names results, to be evaluated unless they are closed by then.
func (r *running) gives(ts ...*tensor.Tensor) {
	if r.stepwise {
		r.open = append(r.open, ts...)
	}
}

// settle evaluates the results so far.
func (r *running) settle() error {
	open := slices.DeleteFunc(r.open, (*tensor.Tensor).Closed)
	r.open, r.taken = nil, 0
	if len(open) == 0 {
		return nil
	}
	return r.p.eval(open)
}

// states returns the states of a segment's sequences from those of all; nil gives
// zeros.
func (r *running) states(all *tensor.Tensor, s segment) *tensor.Tensor {
	c := r.p.config
	if all == nil {
		zero := tensor.AsType(tensor.Like(r.V, 0), tensor.Float32)
		return tensor.BroadcastTo(zero, s.runs(), c.HV, c.DK, c.DV)
	}
	if s.lo == 0 && s.hi == all.Dim(0) {
		return all
	}
	return tensor.SliceAxis(all, 0, s.lo, s.hi)
}

// tied returns the inputs of a segment, of which nothing is computed before deps.
func (r *running) tied(s segment, deps ...*tensor.Tensor) inputs {
	x := r.inputs
	x.plan = tensor.FromSlice(s.table)
	r.owned = append(r.owned, x.plan)
	if r.stepwise {
		return x // deps are evaluated
	}
	var places []**tensor.Tensor
	var list []*tensor.Tensor
	for _, place := range []**tensor.Tensor{&x.Q, &x.K, &x.V, &x.G, &x.Beta, &x.do} {
		if *place != nil {
			places, list = append(places, place), append(list, *place)
		}
	}
	for i, t := range tensor.Depends(list, deps) {
		*places[i] = t
	}
	return x
}

// prepared is what K1 makes.
type prepared struct{ queries, keys, inverse, scores, gates *tensor.Tensor }

// free releases it, for the engine to free as it goes.
func (y prepared) free() { tensor.Free(y.queries, y.keys, y.inverse, y.scores, y.gates) }

// prepare runs K1.
func (r *running) prepare(s segment, x inputs) prepared {
	c := r.p.config
	rows, square := shaped(s.chunks, c.HK, c.Chunk, c.DK), shaped(s.chunks, c.HV, c.Chunk, c.Chunk)
	made := r.p.run(s, prepareKernel, []*tensor.Tensor{x.Q, x.K, x.G, x.Beta, x.params, x.plan},
		rows, rows, square, square, shaped(s.chunks, c.HV, gateKinds, c.Chunk))
	return prepared{queries: made[0], keys: made[1], inverse: made[2], scores: made[3], gates: made[4]}
}

// sink takes the segments' parts of one result, [tokens, ...] or [sequences, ...], in
// order.
type sink struct{ parts []*tensor.Tensor }

func (to *sink) add(part *tensor.Tensor) { to.parts = append(to.parts, part) }

// join makes one array of the parts, like x, with zeros for tokens of no sequence, and
// releases them: while it is made, the result takes memory twice. Without parts and
// without a tensor to be like there is nothing to make.
func (r *running) join(to *sink, like *tensor.Tensor) (*tensor.Tensor, error) {
	if len(to.parts) == 0 {
		if like == nil {
			return nil, nil
		}
		return tensor.ZerosLike(like), nil
	}
	parts := to.parts
	if like != nil {
		tokens := like.Dim(0) * like.Dim(1)
		for _, part := range parts {
			tokens -= part.Dim(0)
		}
		if tokens > 0 {
			shape := parts[0].Shape()
			shape[0] = tokens
			parts = append(parts, tensor.BroadcastTo(tensor.Like(parts[0], 0), shape...))
		}
	}
	x := parts[0]
	if len(parts) > 1 {
		x = tensor.Concat(0, parts...)
		if err := r.take(float64(x.Bytes())); err != nil {
			return nil, err
		}
		tensor.Free(parts...)
	}
	if like != nil {
		x = tensor.AsType(tensor.Reshape(x, like.Shape()...), like.Dtype())
	}
	r.gives(x)
	return x, nil
}
