package qla

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// GatedDeltaNet is the linear-attention layer of Qwen3-Next and Qwen3.5 (Yang,
// Kautz and Hatamizadeh, arXiv 2412.06464). For an input x [B, T, hidden]:
//
//	q, k, v = ShortConv(x·Wqkv)          // q, k [B, T, Hk, K], v [B, T, Hv, V]
//	q, k    = q/‖q‖, k/‖k‖
//	β       = σ(x·Wb)                    // [B, T, Hv]
//	g       = −exp(A_log)·softplus(x·Wa + dt_bias)
//	o       = gateddelta.Apply(q, k, v, g, β)
//	y       = (RMSNorm(o)·SiLU(x·Wz))·Wo
//
// Key heads are shared by ValueHeads/KeyHeads value heads each. g and β are
// float32, or float64 in a float64 model.
type GatedDeltaNet struct {
	// One of two layouts; the fields of the other are nil.
	InProjQKV  *nn.Linear `param:"in_proj_qkv"`
	InProjZ    *nn.Linear `param:"in_proj_z"`
	InProjB    *nn.Linear `param:"in_proj_b"`
	InProjA    *nn.Linear `param:"in_proj_a"`
	InProjQKVZ *nn.Linear `param:"in_proj_qkvz"`
	InProjBA   *nn.Linear `param:"in_proj_ba"`

	Conv    *nn.ShortConv    `param:"conv1d"`
	ALog    *autograd.Param  `param:"A_log"`   // [Hv]
	DtBias  *autograd.Param  `param:"dt_bias"` // [Hv]
	Norm    *nn.GatedRMSNorm `param:"norm"`
	OutProj *nn.Linear       `param:"out_proj"`

	cfg Config
}

// NewGatedDeltaNet makes one layer of a model with the configuration c. exp(A_log)
// is uniform in 0.01 to 16, and softplus(dt_bias) log-uniform in 0.001 to 0.1,
// as in Mamba 2 and flash-linear-attention: heads begin with memories of one to
// many thousand tokens. (Hugging Face begins with dt_bias = 1, which leaves most
// heads a memory of less than one token, to be overwritten by pretrained weights.)
func NewGatedDeltaNet(c Config, key *tensor.Tensor) (*GatedDeltaNet, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return newGatedDeltaNet(c.WithDefaults(), key), nil
}

func newGatedDeltaNet(c Config, key *tensor.Tensor) *GatedDeltaNet {
	keys := tensor.Split(key, 8)
	defer tensor.Free(keys...)
	in := func(key *tensor.Tensor, out int) *nn.Linear { return nn.NewLinear(key, c.Hidden, out, false) }
	l := &GatedDeltaNet{
		Conv:    nn.NewShortConv(keys[0], c.convWidth(), c.ConvWidth),
		ALog:    nn.Draw("A_log", keys[1], func(key *tensor.Tensor) *tensor.Tensor { return initialDecay(key, c.ValueHeads) }),
		DtBias:  nn.Draw("dt_bias", keys[2], func(key *tensor.Tensor) *tensor.Tensor { return initialStep(key, c.ValueHeads) }),
		Norm:    nn.NewGatedRMSNorm(c.ValueDim, c.NormEps),
		OutProj: nn.NewLinear(keys[3], c.valueWidth(), c.Hidden, false),
		cfg:     c,
	}
	if c.Layout == LayoutQwen3Next {
		l.InProjQKVZ = in(keys[4], c.convWidth()+c.valueWidth())
		l.InProjBA = in(keys[5], 2*c.ValueHeads)
	} else {
		l.InProjQKV = in(keys[4], c.convWidth())
		l.InProjZ = in(keys[5], c.valueWidth())
		l.InProjB = in(keys[6], c.ValueHeads)
		l.InProjA = in(keys[7], c.ValueHeads)
	}
	if c.Mixer == MixerNone {
		for _, gates := range []*nn.Linear{l.InProjBA, l.InProjB, l.InProjA} {
			if gates != nil {
				gates.Weight.SetTrainable(false)
			}
		}
		l.ALog.SetTrainable(false)
		l.DtBias.SetTrainable(false)
	}
	return l
}

// initialDecay draws A_log for n heads.
func initialDecay(key *tensor.Tensor, n int) *tensor.Tensor {
	return tensor.Log(tensor.Uniform(key, 0.01, 16, n))
}

// initialStep draws dt_bias for n heads: the inverse of softplus at step sizes.
func initialStep(key *tensor.Tensor, n int) *tensor.Tensor {
	dt := tensor.Exp(tensor.Uniform(key, math.Log(0.001), math.Log(0.1), n))
	return tensor.Add(dt, tensor.Log(tensor.Neg(tensor.Expm1(tensor.Neg(dt)))))
}

// Forward maps x [B, T, hidden] to [B, T, hidden].
func (l *GatedDeltaNet) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	y, _ := l.forward(tape, x, nil)
	return y
}

// l2Eps is the ε of the norms of queries and keys.
const l2Eps = 1e-6

// forward is Forward for a sequence that goes on: with what the layer remembers it
// also returns what it remembers after x.
func (l *GatedDeltaNet) forward(tape *autograd.Tape, x *autograd.Var, before *past) (y *autograd.Var, after *past) {
	if x.NDim() != 3 {
		panic(tensor.NewError("qla.GatedDeltaNet", []*tensor.Tensor{x.Value()}, "want x [B, T, %d]", l.cfg.Hidden))
	}
	c := l.cfg
	qkv, z := l.projectValues(tape, x)
	c.checkLayerKernels(qkv.Dtype())
	step := before != nil && x.Dim(1) == 1 // decoding, which doesn't record
	if step {
		if k, ok := c.decodeKernel(qkv.Dtype()); ok {
			c.checkDecodeKernel(k)
			y, after = l.decode(k, tape, x, qkv, z, before)
			return l.OutProj.Forward(tape, y), after
		}
	}
	var state *autograd.Var
	if before == nil {
		qkv = l.Conv.Forward(tape, qkv)
	} else {
		after = &past{weights: before.weights}
		qkv, after.tail = l.Conv.Continue(tape, qkv, before.tail)
		state = before.state
	}
	parts := ops.SplitAt(qkv, -1, c.keyWidth(), 2*c.keyWidth())
	v := heads(parts[2], c.ValueHeads, c.ValueDim)
	o := v
	if c.Mixer == MixerDelta {
		a, b := l.gateInputs(tape, x)
		rule, implementation := gateddelta.Apply, c.Implementation
		if step {
			rule, implementation = gateddelta.Step, gateddelta.Auto
		}
		out := rule(gateddelta.Inputs{
			Q:            heads(parts[0], c.KeyHeads, c.KeyDim),
			K:            heads(parts[1], c.KeyHeads, c.KeyDim),
			V:            v,
			GateInput:    a,
			ALog:         tape.Param(l.ALog),
			DtBias:       tape.Param(l.DtBias),
			BetaLogits:   b,
			InitialState: state,
		}, c.ruleOptions(implementation, state != nil))
		if o = out.O; after != nil {
			after.state = out.FinalState
		}
	}
	o = l.Norm.Forward(tape, o, heads(z, c.ValueHeads, c.ValueDim))
	y = l.OutProj.Forward(tape, ops.Reshape(o, x.Dim(0), x.Dim(1), c.valueWidth()))
	return y, after
}

// ruleOptions are those of the rule in a layer.
func (c Config) ruleOptions(implementation gateddelta.Implementation, final bool) gateddelta.Options {
	return gateddelta.Options{
		ChunkSize:      c.ChunkSize,
		Implementation: implementation,
		CheckKernels:   c.CheckKernels,
		FinalState:     final,
		QKL2Norm:       true,
		L2NormEps:      l2Eps,
	}
}

// projectValues returns q, k, v side by side [B, T, 2·Hk·K + Hv·V], and the
// output's gate z [B, T, Hv·V].
func (l *GatedDeltaNet) projectValues(tape *autograd.Tape, x *autograd.Var) (qkv, z *autograd.Var) {
	if l.InProjQKVZ == nil {
		return l.InProjQKV.Forward(tape, x), l.InProjZ.Forward(tape, x)
	}
	c := l.cfg
	values := c.valueWidth() / c.KeyHeads
	parts := l.ungroup(l.InProjQKVZ.Forward(tape, x), c.KeyDim, c.KeyDim, values, values)
	return ops.Concat(-1, parts[:3]...), parts[3]
}

// gateInputs returns a = x·Wa and b = x·Wb, both [B, T, Hv].
func (l *GatedDeltaNet) gateInputs(tape *autograd.Tape, x *autograd.Var) (a, b *autograd.Var) {
	if l.InProjBA == nil {
		return l.InProjA.Forward(tape, x), l.InProjB.Forward(tape, x)
	}
	group := l.cfg.ValueHeads / l.cfg.KeyHeads
	parts := l.ungroup(l.InProjBA.Forward(tape, x), group, group)
	return parts[1], parts[0]
}

// ungroup cuts y [B, T, Hk·Σwidths], in which each key head has its parts side by
// side, into one [B, T, Hk·width] for each part.
func (l *GatedDeltaNet) ungroup(y *autograd.Var, widths ...int) []*autograd.Var {
	cuts, total := make([]int, 0, len(widths)), 0
	for _, w := range widths {
		total += w
		cuts = append(cuts, total)
	}
	b, t, n := y.Dim(0), y.Dim(1), l.cfg.KeyHeads
	parts := ops.SplitAt(ops.Reshape(y, b, t, n, total), -1, cuts[:len(cuts)-1]...)
	for i, p := range parts {
		parts[i] = ops.Reshape(p, b, t, n*widths[i])
	}
	return parts
}

// heads turns [B, T, n·dim] into [B, T, n, dim].
func heads(x *autograd.Var, n, dim int) *autograd.Var {
	return ops.Reshape(x, x.Dim(0), x.Dim(1), n, dim)
}
