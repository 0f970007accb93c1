package main

import (
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// The passes, and the implementation that is not of the rule.
const (
	forward  = "fwd"
	training = "fwdbwd"
	sdpa     = "sdpa"
)

// A workload is what one case repeats, with its inputs in memory.
type workload interface {
	// build makes the graph of one run and returns its results, which the caller
	// frees.
	build(backward bool) ([]*tensor.Tensor, error)
	// operands returns the inputs.
	operands() []*tensor.Tensor
}

// source draws inputs in a scope, which ends before they are evaluated.
type source struct {
	scope *tensor.Scope
	key   *tensor.Tensor
}

func newSource(seed uint64) *source {
	scope := tensor.NewScope()
	return &source{scope, scope.Use(tensor.Key(seed))}
}

// normal draws normally distributed float32 numbers.
func (s *source) normal(dims ...int) *tensor.Tensor {
	keys := tensor.Split(s.key, 2)
	s.key = keys[0]
	return tensor.Normal(keys[1], dims...)
}

// unit draws vectors of length 1.
func (s *source) unit(dims ...int) *tensor.Tensor {
	x := s.normal(dims...)
	return tensor.Mul(x, tensor.Rsqrt(tensor.AddScalar(tensor.Sum(tensor.Square(x), true, -1), 1e-6)))
}

// as turns what was drawn into inputs of dtype d.
func (s *source) as(d tensor.Dtype, xs ...**tensor.Tensor) {
	for _, x := range xs {
		*x = tensor.Contiguous(tensor.AsType(*x, d))
	}
}

// finish evaluates the inputs, which outlive the scope.
func (s *source) finish(inputs []*tensor.Tensor) error {
	s.scope.Keep(inputs...)
	s.scope.Close()
	return tensor.Eval(inputs...)
}

// rule is the gated delta rule on random inputs with mild gates: g =
// −softplus(N)/16, which is log(sigmoid)/16, and β = sigmoid(N).
type rule struct {
	q, k, v, g, beta, h0, do, dh *tensor.Tensor
}

// stateDtype is that of gates and states where q, k and v are of d.
func stateDtype(d tensor.Dtype) tensor.Dtype {
	if d == tensor.Float64 {
		return d
	}
	return tensor.Float32
}

// newRule draws the inputs for a shape.
func newRule(s shape, d tensor.Dtype) (*rule, error) {
	src := newSource(1)
	r := &rule{
		q:    src.unit(s.B(), s.T(), s.Hk(), s.K()),
		k:    src.unit(s.B(), s.T(), s.Hk(), s.K()),
		v:    src.normal(s.B(), s.T(), s.Hv(), s.V()),
		g:    tensor.MulScalar(tensor.Softplus(src.normal(s.B(), s.T(), s.Hv())), -1./16),
		beta: tensor.Sigmoid(src.normal(s.B(), s.T(), s.Hv())),
		h0:   src.normal(s.B(), s.Hv(), s.K(), s.V()),
		do:   src.normal(s.B(), s.T(), s.Hv(), s.V()),
		dh:   src.normal(s.B(), s.Hv(), s.K(), s.V()),
	}
	src.as(d, &r.q, &r.k, &r.v, &r.do)
	src.as(stateDtype(d), &r.g, &r.beta, &r.h0, &r.dh)
	return r, src.finish(r.operands())
}

// hollowRule has inputs of the right kind that take no memory, to plan with.
func hollowRule(s shape, d tensor.Dtype) *rule {
	zeros := func(d tensor.Dtype, dims ...int) *tensor.Tensor { return tensor.Zeros(d, dims...) }
	state := stateDtype(d)
	return &rule{
		q: zeros(d, s.B(), s.T(), s.Hk(), s.K()), k: zeros(d, s.B(), s.T(), s.Hk(), s.K()), v: zeros(d, s.B(), s.T(), s.Hv(), s.V()),
		g: zeros(state, s.B(), s.T(), s.Hv()), beta: zeros(state, s.B(), s.T(), s.Hv()), h0: zeros(state, s.B(), s.Hv(), s.K(), s.V()),
		do: zeros(d, s.B(), s.T(), s.Hv(), s.V()), dh: zeros(state, s.B(), s.Hv(), s.K(), s.V()),
	}
}

// on returns the inputs as variables of a tape.
func (r *rule) on(tape *autograd.Tape) gateddelta.Inputs {
	return gateddelta.Inputs{
		Q: tape.Var(r.q), K: tape.Var(r.k), V: tape.Var(r.v), LogDecay: tape.Var(r.g), Beta: tape.Var(r.beta), InitialState: tape.Var(r.h0),
	}
}

func (r *rule) operands() []*tensor.Tensor {
	return []*tensor.Tensor{r.q, r.k, r.v, r.g, r.beta, r.h0, r.do, r.dh}
}

// ruleRun is a run of the rule with options.
type ruleRun struct {
	*rule
	options gateddelta.Options
}

func (r ruleRun) build(backward bool) ([]*tensor.Tensor, error) {
	tape := autograd.NoGrad()
	if backward {
		tape = autograd.NewTape()
	}
	defer tape.Close()
	in := r.on(tape)
	out := gateddelta.Apply(in, r.options)
	results := []*tensor.Tensor{out.O.Value(), out.FinalState.Value()}
	if backward {
		grads, err := tape.Grad([]*autograd.Var{out.O, out.FinalState}, []*tensor.Tensor{r.do, r.dh},
			in.Q, in.K, in.V, in.LogDecay, in.Beta, in.InitialState)
		if err != nil {
			return nil, err
		}
		results = append(results, grads...)
	}
	tape.Keep(results...)
	return results, nil
}

// attention is the engine's causal attention with its own backward pass.
type attention struct {
	q, k, v, do *tensor.Tensor
}

// newAttention draws inputs in the engine's layout [B, H, T, D].
func newAttention(s shape, d tensor.Dtype) (*attention, error) {
	src := newSource(2)
	a := &attention{
		q:  src.normal(s.B(), s.Hv(), s.T(), s.K()),
		k:  src.normal(s.B(), s.Hk(), s.T(), s.K()),
		v:  src.normal(s.B(), s.Hk(), s.T(), s.V()),
		do: src.normal(s.B(), s.Hv(), s.T(), s.V()),
	}
	src.as(d, &a.q, &a.k, &a.v, &a.do)
	return a, src.finish(a.operands())
}

func (a *attention) operands() []*tensor.Tensor { return []*tensor.Tensor{a.q, a.k, a.v, a.do} }

func (a *attention) build(backward bool) ([]*tensor.Tensor, error) {
	scale := 1 / math.Sqrt(float64(a.q.Dim(-1)))
	attend := func(in []*tensor.Tensor) []*tensor.Tensor {
		return []*tensor.Tensor{tensor.ScaledDotProductAttention(in[0], in[1], in[2], scale, true, nil)}
	}
	operands := []*tensor.Tensor{a.q, a.k, a.v}
	if !backward {
		return attend(operands), nil
	}
	outs, grads, err := tensor.VJP(attend, operands, []*tensor.Tensor{a.do})
	return append(outs, grads...), errors.Wrap(err, "attention")
}

// attentionCost counts operations and bytes of causal attention, and estimates
// its memory where there is no fused kernel: the scores and what is derived
// from them.
func attentionCost(s shape, size int, backward bool) (flops, bytes, memory float64) {
	B, T, Hk, Hv, K, V := float64(s.B()), float64(s.T()), float64(s.Hk()), float64(s.Hv()), float64(s.K()), float64(s.V())
	pairs := B * Hv * T * (T + 1) / 2
	in, out := B*T*(Hv*K+Hk*(K+V)), B*T*Hv*V
	flops, bytes, memory = pairs*2*(K+V), in+out, 2*B*Hv*T*T
	if backward { // the scores again; dV, dP, dQ and dK
		flops += pairs * 2 * (3*K + 2*V)
		bytes, memory = 3*in+2*out, 2*memory
	}
	return flops, bytes * float64(size), memory * float64(size)
}
