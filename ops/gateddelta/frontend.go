package gateddelta

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// defaultL2NormEps is what L2NormEps = 0 stands for, the ε of Qwen3-Next and of
// flash-linear-attention.
const defaultL2NormEps = 1e-6

// frontend turns the forms in which inputs may come into the one that the rule
// takes: normalised Q and K, log decays and writing strengths, tokens beside the
// mask that change nothing, and a state [B, Hv, K, V]. It is made of
// differentiable operations, so that gradients arrive at what was given. What it
// returns is for vars; valid is that of validTokens.
func (z geometry) frontend(in Inputs, valid *tensor.Tensor, opt Options) Inputs {
	in = masked(in, valid)
	if opt.QKL2Norm {
		eps := opt.L2NormEps
		if eps == 0 {
			eps = defaultL2NormEps
		}
		in.Q, in.K = z.normalised(in.Q, eps), z.normalised(in.K, eps)
	}
	if in.GateInput != nil {
		g := autograd.Apply(decayGate{z.dtype}, in.GateInput, in.ALog, in.DtBias)[0]
		in.LogDecay = whereValid(valid, g) // for dt_bias opens the gate of a = 0
	}
	if in.BetaLogits != nil {
		in.Beta = ops.Sigmoid(ops.AsType(in.BetaLogits, z.dtype))
		if opt.AllowNegativeEigenvalues {
			in.Beta = ops.MulScalar(in.Beta, 2)
		}
	}
	if in.InitialState != nil {
		in.InitialState = opt.StateLayout.turned(in.InitialState)
	}
	return in
}

// normalised returns unit vectors in the dtype of the arithmetic, lest half
// precision be rounded to twice; the kernels take all of one dtype.
func (z geometry) normalised(x *autograd.Var, eps float64) *autograd.Var {
	if z.kernels == nil {
		x = ops.AsType(x, z.dtype)
	}
	return ops.L2Norm(x, eps)
}

// turned goes from a state in the layout to one [B, Hv, K, V], or back.
func (l StateLayout) turned(state *autograd.Var) *autograd.Var {
	if l == VK {
		return ops.SwapAxes(state, -2, -1)
	}
	return state
}

// checkFrontend checks what only the front end looks at.
func (z geometry) checkFrontend(in Inputs, opt Options) {
	forbid := func(bad bool, format string, args ...any) {
		if bad {
			panic(mistake(nil, format, args...))
		}
	}
	forbid(in.LogDecay != nil && in.GateInput != nil, "both LogDecay and GateInput are given, want one of them")
	forbid(in.GateInput != nil && in.ALog == nil, "GateInput is given without ALog")
	forbid(in.GateInput == nil && in.ALog != nil, "ALog is given without GateInput")
	forbid(in.GateInput == nil && in.DtBias != nil, "DtBias is given without GateInput")
	forbid(in.Beta != nil && in.BetaLogits != nil, "both Beta and BetaLogits are given, want one of them")
	forbid(opt.AllowNegativeEigenvalues && in.BetaLogits == nil, "AllowNegativeEigenvalues is set without BetaLogits, whose sigmoid it doubles")
	forbid(opt.L2NormEps != 0 && !opt.QKL2Norm, "L2NormEps is %v without QKL2Norm", opt.L2NormEps)
	forbid(!(opt.L2NormEps >= 0) || math.IsInf(opt.L2NormEps, 0), "L2NormEps is %v, want a positive number, or 0 for %v", opt.L2NormEps, defaultL2NormEps)

	q, v := in.Q.Value(), in.V.Value()
	Hv := z.Hk * z.R
	for _, x := range []struct {
		name string
		x    *autograd.Var
		axes string
		want []int
	}{
		{"GateInput", in.GateInput, "[B, T, Hv]", []int{z.B, z.T, Hv}},
		{"ALog", in.ALog, "[Hv]", []int{Hv}},
		{"DtBias", in.DtBias, "[Hv]", []int{Hv}},
		{"BetaLogits", in.BetaLogits, "[B, T, Hv]", []int{z.B, z.T, Hv}},
	} {
		if x.x != nil {
			wantShape(x.name, x.x.Value(), x.axes, v, x.want...)
			wantFloat(x.name, x.x.Value(), q)
		}
	}
	wantShape("Mask", in.Mask, "[B, T]", v, z.B, z.T)
}
