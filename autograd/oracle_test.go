package autograd_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// program is a random expression: each line computes a value from earlier ones.
type program []line

type line struct{ op, a, b int }

func randomProgram(seed uint64, inputs int) program {
	random := rand.New(rand.NewPCG(seed, 0))
	p := make(program, 12)
	for i := range p {
		p[i] = line{random.IntN(4), random.IntN(inputs + i), random.IntN(inputs + i)}
	}
	return p
}

func (p program) onTensors(in []*tensor.Tensor) []*tensor.Tensor {
	for _, l := range p {
		a, b := in[l.a], in[l.b]
		var y *tensor.Tensor
		switch l.op {
		case 0:
			y = tensor.Add(a, b)
		case 1:
			y = tensor.MulScalar(tensor.Mul(a, b), 0.5)
		case 2:
			y = tensor.MulScalar(tensor.MatMul(a, b), 0.3)
		case 3:
			y = tensor.Mul(a, tensor.Reciprocal(tensor.AddScalar(tensor.Exp(tensor.Neg(a)), 1)))
		}
		in = append(in, y)
	}
	return in[len(in)-2:]
}

func (p program) onVars(in ...*autograd.Var) []*autograd.Var {
	half, third := in[0].Tape().Const(tensor.Scalar(0.5)), in[0].Tape().Const(tensor.Scalar(0.3))
	for i, l := range p {
		a, b := in[l.a], in[l.b]
		var y *autograd.Var
		switch l.op {
		case 0:
			y = add(a, b)
		case 1:
			y = mul(mul(a, b), half)
		case 2:
			y = mul(matmul(a, b), third)
		case 3:
			y = silu(a)
		}
		if i%4 == 3 {
			y = autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var { return []*autograd.Var{mul(add(in[0], in[0]), half)} }, y)[0]
		}
		in = append(in, y)
	}
	return in[len(in)-2:]
}

// Gradients of random graphs are those of the engine's own differentiation.
func TestRandomGraphsAgainstVJP(t *testing.T) {
	const inputs = 3
	draw := func(seed uint64) *tensor.Tensor {
		return tensor.AsType(tensor.Normal(tensor.Key(seed), 3, 3), tensor.Float64)
	}
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := randomProgram(seed, inputs)
			primals := []*tensor.Tensor{draw(3 * seed), draw(3*seed + 1), draw(3*seed + 2)}
			seeds := []*tensor.Tensor{draw(1000 + seed), draw(2000 + seed)}
			outs, want, err := tensor.VJP(p.onTensors, primals, seeds)
			if err != nil {
				t.Fatal(err)
			}
			tape := newTape(t)
			vars := make([]*autograd.Var, inputs)
			for i, x := range primals {
				vars[i] = tape.Var(x)
			}
			results := p.onVars(vars...)
			grads, err := tape.BackwardFrom(results, seeds)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range results {
				near(t, fmt.Sprintf("output %d", i), read(t, v.Value()), read(t, outs[i]))
			}
			for i, v := range vars {
				got := make([]float64, 9)
				if g := grads.Of(v); g != nil {
					got = read(t, g)
				}
				near(t, fmt.Sprintf("gradient %d", i), got, read(t, want[i]))
			}
		})
	}
}

// near compares by the relative L2 error.
func near(t *testing.T, name string, got, want []float64) {
	t.Helper()
	norm, off := 0.0, 0.0
	for i := range want {
		norm += want[i] * want[i]
		off += (got[i] - want[i]) * (got[i] - want[i])
	}
	if !(math.Sqrt(off) <= 1e-12*math.Sqrt(norm)) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

func TestGradientsOfTestFunctions(t *testing.T) {
	w := autograd.NewParam("w", randn(9, 3, 3))
	for _, c := range []struct {
		name   string
		f      func(...*autograd.Var) []*autograd.Var
		inputs []*tensor.Tensor
	}{
		{"broadcasting product", func(v ...*autograd.Var) []*autograd.Var { return []*autograd.Var{mul(v[0], v[1])} },
			[]*tensor.Tensor{randn(1, 2, 3, 1), randn(2, 3, 4)}},
		{"random program", randomProgram(7, 3).onVars, []*tensor.Tensor{randn(3, 3, 3), randn(4, 3, 3), randn(5, 3, 3)}},
		{"checkpoint with a parameter", func(v ...*autograd.Var) []*autograd.Var {
			return autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				h := silu(matmul(in[0], in[0].Tape().Param(w)))
				return []*autograd.Var{h, mul(h, v[1])}
			}, v[0])
		}, []*tensor.Tensor{randn(6, 3, 3), randn(7, 3, 3)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			gradcheck.Run(t, c.f, c.inputs, gradcheck.Options{Params: []*autograd.Param{w}})
		})
	}
}
