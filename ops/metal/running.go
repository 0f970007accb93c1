package metal

import (
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// running is a pass under way.
type running struct {
	p      Plan
	c      Config
	in     Operands
	params *tensor.Tensor
	after  []*tensor.Tensor // what the next launch that writes in place waits for
	owned  []*tensor.Tensor
}

func (p Plan) running(in Operands) *running {
	params := make([]float32, 8)
	params[0], params[1] = float32(in.Scale), 1
	if in.NoDelta {
		params[1] = 0
	}
	in.G, in.Beta = tensor.AsType(in.G, tensor.Float32), tensor.AsType(in.Beta, tensor.Float32)
	r := &running{p: p, c: p.config, in: in}
	r.params = r.own(tensor.FromSlice(params))
	r.after = []*tensor.Tensor{r.params}
	return r
}

// own keeps a tensor of no scope until the pass is built.
func (r *running) own(x *tensor.Tensor) *tensor.Tensor {
	r.owned = append(r.owned, x)
	return x
}

func (r *running) free() { tensor.Free(r.owned...) }

// then lets the next launches wait for those whose arrays are given, on a GPU.
func (r *running) then(done ...*tensor.Tensor) {
	if inPlace() {
		r.after = done
	}
}

// scratch returns an array of float32 that the segments share, on a GPU.
func (r *running) scratch(shape ...int) *tensor.Tensor {
	if !inPlace() {
		return nil
	}
	return r.own(tensor.Zeros(tensor.Float32, shape...))
}

// into lists arrays to write in place.
func into(list ...*tensor.Tensor) []*tensor.Tensor {
	if !inPlace() {
		return nil
	}
	return list
}

// states returns the states of a segment's sequences from those of all; nil gives
// zeros.
func (r *running) states(all *tensor.Tensor, s segment) *tensor.Tensor {
	if all == nil {
		zero := tensor.AsType(tensor.Like(r.in.V, 0), tensor.Float32)
		return tensor.BroadcastTo(zero, s.runs(), r.c.HV, r.c.DK, r.c.DV)
	}
	if s.lo == 0 && s.hi == all.Dim(0) {
		return all
	}
	return tensor.SliceAxis(all, 0, s.lo, s.hi)
}

// inputs are what the kernels of one segment read.
type inputs struct {
	Operands
	segment
	do, plan *tensor.Tensor
}

// tied returns the inputs such that nothing of the segment is computed before deps.
func (r *running) tied(s segment, do *tensor.Tensor, deps ...*tensor.Tensor) inputs {
	table := s.table
	if inPlace() { // outputs are whole
		table = slices.Clone(table)
		table[0] = 0
	}
	x := inputs{Operands: r.in, segment: s, do: do, plan: r.own(tensor.FromSlice(table))}
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

// prepared returns where K1 writes in place.
func (r *running) prepared() prepared {
	c, n := r.c, r.p.SegmentChunks()
	return prepared{
		queries: r.scratch(n, c.HK, c.Chunk, c.DK), keys: r.scratch(n, c.HK, c.Chunk, c.DK),
		inverse: r.scratch(n, c.HV, c.Chunk, c.Chunk), scores: r.scratch(n, c.HV, c.Chunk, c.Chunk),
		gates: r.scratch(n, c.HV, gateKinds, c.Chunk),
	}
}

// prepare runs K1.
func (r *running) prepare(x inputs, l launch, y *prepared) {
	c := r.c
	rows, square := shaped(l.chunks, c.HK, c.Chunk, c.DK), shaped(l.chunks, c.HV, c.Chunk, c.Chunk)
	made, done := l.runInto(prepareKernel, []*tensor.Tensor{x.Q, x.K, x.G, x.Beta, r.params, x.plan},
		into(y.queries, y.keys, y.inverse, y.scores, y.gates), r.after,
		rows, rows, square, square, shaped(l.chunks, c.HV, gateKinds, c.Chunk))
	r.then(done)
	*y = prepared{queries: made[0], keys: made[1], inverse: made[2], scores: made[3], gates: made[4]}
}

// sink takes the segments' tokens of one result, [tokens, ...]: in place on a GPU,
// and as parts to be joined from the emulator.
type sink struct {
	r     *running
	whole *tensor.Tensor
	parts []*tensor.Tensor
}

func (r *running) sink(d tensor.Dtype, shape ...int) *sink {
	s := &sink{r: r}
	if inPlace() {
		s.whole = r.own(tensor.Zeros(d, shaped(r.in.V.Dim(0)*r.in.V.Dim(1), shape...)...))
	}
	return s
}

func (s *sink) into() []*tensor.Tensor { return into(s.whole) }

func (s *sink) add(part *tensor.Tensor) { s.parts = append(s.parts, part) }

// result returns an array like x, with zeros for tokens of no sequence.
func (s *sink) result(like *tensor.Tensor) *tensor.Tensor {
	if len(s.parts) == 0 {
		return tensor.ZerosLike(like)
	}
	x := s.parts[0]
	if s.whole != nil {
		// The engine orders what reads an array after what it knows to have made it: let
		// that be a sum with a zero of the last launch, which needs no memory.
		x = tensor.Add(s.whole, tensor.AsType(tensor.SliceAxis(s.r.after[0], 0, 0, 1), s.whole.Dtype()))
	} else if len(s.parts) > 1 {
		x = tensor.Concat(0, s.parts...)
	}
	if rest := like.Dim(0)*like.Dim(1) - x.Dim(0); rest > 0 {
		widths := make([][2]int, x.NDim())
		widths[0][1] = rest
		x = tensor.Pad(x, widths, 0)
	}
	return tensor.AsType(tensor.Reshape(x, like.Shape()...), like.Dtype())
}
