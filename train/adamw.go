package train

import (
	"math"
	"slices"
	"strings"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter, arXiv
// 1711.05101), in PyTorch's form:
//
//	p ← p·(1 − lr·λ);  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
//	p ← p − lr·(m/(1−β₁ᵗ)) / (√v/√(1−β₂ᵗ) + ε)
//
// where t counts the updates of the parameter p. The moments m and v are float32,
// or float64 for such parameters. An AdamW serves one goroutine at a time; its
// fields may be changed between steps.
type AdamW struct {
	Beta1, Beta2, Epsilon, WeightDecay float64

	state  map[*autograd.Param]*moments
	params []*autograd.Param // the keys of state, in the order of their first update
}

// moments are the state of one parameter.
type moments struct {
	m, v    *tensor.Tensor
	updates int
}

// NewAdamW returns an optimiser with the settings of c; it looks at no others
// than AdamW's. Settings that Validate would refuse are an error.
func NewAdamW(c Config) (*AdamW, error) {
	if err := c.wrongAdamW().err(); err != nil {
		return nil, err
	}
	return newAdamW(c.withDefaults()), nil
}

// newAdamW is NewAdamW for settings with their defaults filled.
func newAdamW(c Config) *AdamW {
	return &AdamW{Beta1: c.Beta1, Beta2: c.Beta2, Epsilon: c.Epsilon, WeightDecay: c.WeightDecay}
}

// Decays reports whether weight decay applies to a parameter: to those with two
// axes or more, but not to the gate's A_log and dt_bias.
func Decays(name string, p *autograd.Param) bool {
	return p.Value().NDim() >= 2 && !strings.HasSuffix(name, "A_log") && !strings.HasSuffix(name, "dt_bias")
}

// Update gives p its next value for a gradient of its shape and a learning rate.
// It only builds the graph: State and the parameters are what there is to
// evaluate. The old value and moments are released at once, so that MLX can
// reuse their memory for the new ones, if nothing else refers to them then. It
// does so best if the moments are evaluated before the parameter.
func (o *AdamW) Update(name string, p *autograd.Param, grad *tensor.Tensor, rate float64) {
	checkUpdate(name, p, grad)
	if o.state == nil {
		o.state = map[*autograd.Param]*moments{}
	}
	s := tensor.NewScope()
	defer s.Close()
	value, g := s.Use(p.Value()), s.Use(grad)
	master := tensor.Float32
	if value.Dtype() == tensor.Float64 {
		master = tensor.Float64
	}
	st := o.state[p]
	if st == nil {
		st = &moments{}
		o.state[p] = st
		o.params = append(o.params, p)
	}
	// MLX computes in the memory of what nothing else will read: so g² is taken
	// from the scaled gradient, which can have that of g.
	share := 1 - o.Beta1
	m := tensor.MulScalar(tensor.AsType(g, master), share)
	v := tensor.MulScalar(tensor.Square(m), (1-o.Beta2)/(share*share))
	if st.m != nil {
		m = tensor.Add(tensor.MulScalar(s.Use(st.m), o.Beta1), m)
		v = tensor.Add(tensor.MulScalar(s.Use(st.v), o.Beta2), v)
	}
	st.updates++
	correct1 := 1 - math.Pow(o.Beta1, float64(st.updates))
	correct2 := math.Sqrt(1 - math.Pow(o.Beta2, float64(st.updates)))
	denominator := tensor.AddScalar(tensor.MulScalar(tensor.Sqrt(v), 1/correct2), o.Epsilon)
	move := tensor.MulScalar(tensor.Div(m, denominator), rate/correct1)
	next := tensor.AsType(value, master)
	if o.WeightDecay != 0 && Decays(name, p) {
		next = tensor.MulScalar(next, 1-rate*o.WeightDecay)
	}
	p.SetValue(tensor.AsType(tensor.Sub(next, move), value.Dtype()))
	tensor.Free(st.m, st.v)
	st.m, st.v = m, v
	s.Keep(m, v)
}

// checkUpdate panics on misuse that broadcasting would hide.
func checkUpdate(name string, p *autograd.Param, grad *tensor.Tensor) {
	const op = "train.AdamW.Update"
	if grad == nil {
		panic(tensor.NewError(op, nil, "the gradient of parameter %q is nil", name))
	}
	if !slices.Equal(p.Value().Shape(), grad.Shape()) {
		panic(tensor.NewError(op, []*tensor.Tensor{p.Value(), grad}, "want a gradient of the shape of parameter %q", name))
	}
}

// State returns the moments, for evaluation together with the parameters.
func (o *AdamW) State() []*tensor.Tensor {
	list := make([]*tensor.Tensor, 0, 2*len(o.params))
	for _, p := range o.params {
		list = append(list, o.moments(p)...)
	}
	return list
}

// moments returns the moments of a parameter that was updated before.
func (o *AdamW) moments(p *autograd.Param) []*tensor.Tensor {
	return []*tensor.Tensor{o.state[p].m, o.state[p].v}
}

// Close releases the moments.
func (o *AdamW) Close() {
	tensor.Free(o.State()...)
	o.state, o.params = nil, nil
}
