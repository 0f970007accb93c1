package qla

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Cache is what a model remembers of the sequences [B, T] it has read: for each
// layer the last ConvWidth−1 inputs of its convolution [B, W−1, 2·Hk·K + Hv·V]
// and the state of its delta rule [B, Hv, K, V]. Its size does not depend on T.
// Where steps are taken by a kernel (see Model.Step), it also has float32 copies of
// the layers' small weights that are of half precision. A Cache serves one goroutine
// at a time.
type Cache struct {
	cfg    Config
	layers []memory // empty until the first tokens fix B
	length int
	closed bool
}

// memory is the part of one layer; state is nil without the delta rule.
type memory struct {
	tail, state *tensor.Tensor
	weights     *decodeWeights // of the last step by the kernel, or nil
}

// past is memory on the tape of a pass.
type past struct {
	tail, state *autograd.Var
	weights     *decodeWeights
}

// NewCache returns the cache of sequences that have not begun.
func (m *Model) NewCache() *Cache { return &Cache{cfg: m.cfg} }

// Step is Forward for sequences that go on: it reads tokens [B, T], T ≥ 1, after
// those that the cache has seen, returns their logits [B, T, vocab] and moves the
// cache on. The tape must not record: no gradient passes the cache.
//
// A step of one token is one kernel for what a layer does between its projections if
// the configuration's Implementation is gateddelta.Metal, or gateddelta.Auto on a GPU
// and the kernel serves its sizes. Metal with a model in float64 panics with
// *tensor.Error.
func (m *Model) Step(tape *autograd.Tape, ids *tensor.Tensor, cache *Cache) *autograd.Var {
	if cache == nil || cache.closed || cache.cfg != m.cfg {
		panic(tensor.NewError("qla.Model.Step", []*tensor.Tensor{ids}, "want an open cache made by NewCache of a model with this configuration"))
	}
	if tape.Recording() {
		panic(tensor.NewError("qla.Model.Step", []*tensor.Tensor{ids}, "want a tape made by autograd.NoGrad"))
	}
	return m.logits(tape, m.features(tape, ids, cache))
}

// Len returns the number of tokens read in each sequence.
func (c *Cache) Len() int { return c.length }

// Close releases the cache's tensors. Closing twice does nothing.
func (c *Cache) Close() {
	tensor.Free(c.tensors()...)
	for _, l := range c.layers {
		l.weights.free()
	}
	c.layers, c.closed = nil, true
}

// tensors lists what the cache remembers.
func (c *Cache) tensors() []*tensor.Tensor {
	var list []*tensor.Tensor
	for _, l := range c.layers {
		list = append(list, l.tail)
		if l.state != nil {
			list = append(list, l.state)
		}
	}
	return list
}

// passage is one pass of a model over new tokens with a cache. The cache changes
// only when the pass is complete. A nil passage is a pass without a cache.
type passage struct {
	cache *Cache
	tape  *autograd.Tape
	x     *tensor.Tensor // embedded tokens: gives B, dtype and scope
	next  []memory
}

func (c *Cache) begin(tape *autograd.Tape, x *tensor.Tensor) *passage {
	if c == nil {
		return nil
	}
	if len(c.layers) > 0 && c.layers[0].tail.Dim(0) != x.Dim(0) {
		panic(tensor.NewError("qla.Model.Step", nil, "the cache is of %d sequences, the tokens of %d", c.layers[0].tail.Dim(0), x.Dim(0)))
	}
	return &passage{cache: c, tape: tape, x: x}
}

// layer returns what layer i remembers, zeros at the start.
func (p *passage) layer(i int) *past {
	if p == nil {
		return nil
	}
	if len(p.cache.layers) > 0 {
		l := p.cache.layers[i]
		before := &past{tail: p.tape.Const(l.tail), weights: l.weights}
		if l.state != nil {
			before.state = p.tape.Const(l.state)
		}
		return before
	}
	c, b := p.cache.cfg, p.x.Dim(0)
	zero := tensor.Like(p.x, 0)
	before := &past{tail: p.tape.Const(tensor.BroadcastTo(zero, b, c.ConvWidth-1, c.convWidth()))}
	if c.Mixer == MixerDelta {
		if zero.Dtype() != tensor.Float64 {
			zero = tensor.AsType(zero, tensor.Float32)
		}
		before.state = p.tape.Const(tensor.BroadcastTo(zero, b, c.ValueHeads, c.KeyDim, c.ValueDim))
	}
	return before
}

// remember takes what the next layer remembers from now on.
func (p *passage) remember(after *past) {
	if p == nil {
		return
	}
	// A copy: the slice alone would hold on to all inputs.
	m := memory{tail: tensor.Contiguous(after.tail.Value()), weights: after.weights}
	if after.state != nil {
		m.state = after.state.Value()
	}
	p.next = append(p.next, m)
}

// end moves the cache on by n tokens.
func (p *passage) end(n int) {
	if p == nil {
		return
	}
	tensor.Free(p.cache.tensors()...)
	for i, l := range p.cache.layers {
		if l.weights != p.next[i].weights {
			l.weights.free()
		}
	}
	p.cache.layers = p.next
	p.cache.length += n
	p.tape.Keep(p.cache.tensors()...)
}
