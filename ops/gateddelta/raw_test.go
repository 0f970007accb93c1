package gateddelta

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// rawProblem is a problem whose operands come as a layer has them.
type rawProblem struct {
	problem
	a, aLog, dtBias []float64   // of the gate, in place of g if a is not nil; dtBias may be nil
	logits          []float64   // in place of β if not nil
	doubled         bool        // β is twice the sigmoid
	layout          StateLayout // of states outside; those of the problem are KV
}

// sampleGate draws one with a gate. The last head is as strong as Qwen's
// strongest.
func sampleGate(seed uint64, c sampling, bias bool) rawProblem {
	p := rawProblem{problem: sample(seed, c)}
	r := rand.New(rand.NewPCG(seed, 1))
	p.a = drawn(len(p.g), func(int) float64 { return r.NormFloat64() })
	p.aLog = drawn(p.Hv, func(int) float64 { return math.Log(0.01 + 15.99*r.Float64()) })
	p.aLog[p.Hv-1] = math.Log(16)
	if bias {
		p.dtBias = drawn(p.Hv, func(int) float64 { return r.NormFloat64() - 1 })
	}
	return p
}

// round rounds what the front end takes in the dtype of q, too.
func (p *rawProblem) round(t testing.TB, d tensor.Dtype) {
	t.Helper()
	p.problem.round(t, d)
	for _, x := range []*[]float64{&p.a, &p.aLog, &p.dtBias, &p.logits} {
		if *x != nil {
			*x = rounded(t, *x, d)
		}
	}
}

// step returns the gate's a + dt_bias.
func (p rawProblem) step(i int) float64 {
	if p.dtBias == nil {
		return p.a[i]
	}
	return p.a[i] + p.dtBias[i%p.Hv]
}

// factor is that of the sigmoid.
func (p rawProblem) factor() float64 {
	if p.doubled {
		return 2
	}
	return 1
}

// plain computes the operands of the rule in float64.
func (p rawProblem) plain() problem {
	rule := p.problem
	if p.a != nil {
		rule.g = make([]float64, len(p.a))
		for i := range p.a {
			rule.g[i] = -math.Exp(p.aLog[i%p.Hv]) * softplus(p.step(i))
		}
	}
	if p.logits != nil {
		rule.β = make([]float64, len(p.logits))
		for i, b := range p.logits {
			rule.β[i] = p.factor() / (1 + math.Exp(-b))
		}
	}
	return rule
}

// solve adds the gradients of the front end's operands to those of the rule, by
// the formulas, in float64.
func (p rawProblem) solve() result {
	rule := p.plain()
	res := p.turned(rule.solve())
	if p.a != nil {
		maps.Copy(res, p.gateGradients(res["dg"], rule.g))
	}
	if p.logits != nil {
		db := make([]float64, len(p.logits))
		for i, β := range rule.β {
			db[i] = res["dbeta"][i] * β * (1 - β/p.factor())
		}
		res["db"] = db
	}
	return res
}

// gateGradients returns those of the gate's operands from that of g.
func (p rawProblem) gateGradients(dg, g []float64) result {
	da, daLog, ddtBias := make([]float64, len(p.a)), make([]float64, p.Hv), make([]float64, p.Hv)
	for i, d := range dg {
		h := i % p.Hv
		da[i] = -d * math.Exp(p.aLog[h]) / (1 + math.Exp(-p.step(i)))
		daLog[h] += d * g[i]
		ddtBias[h] += da[i]
	}
	return result{"da": da, "daLog": daLog, "ddtBias": ddtBias}
}

// turned puts the states among results into the layout.
func (p rawProblem) turned(res result) result {
	if p.layout != VK {
		return res
	}
	turn := func(x []float64) []float64 {
		y := make([]float64, 0, len(x))
		for m := range slices.Chunk(x, p.K*p.V) {
			for j := range p.V {
				for i := range p.K {
					y = append(y, m[i*p.V+j])
				}
			}
		}
		return y
	}
	res["ht"], res["dh0"] = turn(res["ht"]), turn(res["dh0"])
	return res
}

// outside is a state in the layout.
func (p rawProblem) outside(x *tensor.Tensor) *tensor.Tensor {
	if p.layout != VK {
		return x
	}
	return tensor.Contiguous(tensor.SwapAxes(x, -2, -1))
}

// run computes outputs and all gradients by the variant.
func (p rawProblem) run(t testing.TB, v variant) result {
	t.Helper()
	tape := autograd.NewTape()
	defer tape.Close()
	in, leaves := p.inputs(tape, v)
	names := []string{"dq", "dk", "dv", "dg", "dbeta", "dh0"}
	extra := func(name string, x []float64, shape ...int) *autograd.Var {
		leaf := tape.Var(p.tensor(x, v.dtype, shape...))
		leaves, names = append(leaves, leaf), append(names, name)
		return leaf
	}
	opt := p.options(v)
	opt.StateLayout = p.layout
	if in.InitialState != nil {
		in.InitialState = tape.Var(p.outside(in.InitialState.Value()))
		leaves[5] = in.InitialState
	} else {
		names = names[:5]
	}
	if p.logits != nil {
		in.Beta, leaves, names = nil, slices.Delete(leaves, 4, 5), slices.Delete(names, 4, 5)
		in.BetaLogits = extra("db", p.logits, p.B, p.T, p.Hv)
		opt.AllowNegativeEigenvalues = p.doubled
	}
	if p.a != nil {
		in.LogDecay, leaves, names = nil, slices.Delete(leaves, 3, 4), slices.Delete(names, 3, 4)
		in.GateInput = extra("da", p.a, p.B, p.T, p.Hv)
		in.ALog = extra("daLog", p.aLog, p.Hv)
		if p.dtBias != nil {
			in.DtBias = extra("ddtBias", p.dtBias, p.Hv)
		}
	}
	out := Apply(in, opt)

	outs, seeds := []*autograd.Var{out.O}, p.seeds(v)
	if p.dht != nil {
		outs, seeds[1] = append(outs, out.FinalState), p.outside(seeds[1])
	}
	grads, err := tape.Grad(outs, seeds[:len(outs)], leaves...)
	if err != nil {
		t.Fatal(err)
	}
	res := result{"o": read(t, out.O.Value())}
	if out.FinalState != nil {
		res["ht"] = read(t, out.FinalState.Value())
	}
	for i, g := range grads {
		if g.Dtype() != leaves[i].Dtype() || !slices.Equal(g.Shape(), leaves[i].Shape()) {
			t.Errorf("%s is %s %v, want %s %v", names[i], g.Dtype(), g.Shape(), leaves[i].Dtype(), leaves[i].Shape())
		}
		res[names[i]] = read(t, g)
	}
	return res
}

// check runs a variant and compares all that it gives with want. The gradient of
// a is compared by heads, too: mild ones are not to hide strong ones. Those of
// A_log and dt_bias are one sum for each head, which may cancel, and are held to
// the magnitudes of its terms.
func (p rawProblem) check(t *testing.T, v variant, want result) {
	t.Helper()
	rule := p.plain()
	tol := func(name string) float64 { return p.tolerance(v.dtype, name) }
	ofHead := func(x []float64, h int) []float64 { return pick(x, func(i int) bool { return i%p.Hv == h }) }
	for name, got := range p.run(t, v) {
		switch name {
		default:
			rule.compare(t, v, name, got, want[name])
		case "db":
			near(t, name, got, want[name], tol("dbeta"))
		case "da":
			near(t, name, got, want[name], tol("dg"))
			for h := range p.Hv {
				near(t, fmt.Sprintf("%s/head%d", name, h), ofHead(got, h), ofHead(want[name], h), tol("dg"))
			}
		case "daLog", "ddtBias":
			near(t, name, got, want[name], tol("dg"))
			for h := range p.Hv {
				var terms float64
				for i, da := range want["da"] {
					switch {
					case i%p.Hv != h:
					case name == "daLog":
						terms += math.Abs(want["dg"][i] * rule.g[i])
					default:
						terms += math.Abs(da)
					}
				}
				if e := math.Abs(got[h] - want[name][h]); !(e <= tol("dg")*terms) {
					t.Errorf("%s/head%d: error %.2e of a sum of %.2e, want at most %.0e of it", name, h, e, terms, tol("dg"))
				}
			}
		}
	}
}
