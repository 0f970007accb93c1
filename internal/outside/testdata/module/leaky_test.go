package leaky

import (
	"errors"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
)

func TestIntegrate(t *testing.T) {
	f := func(v ...*autograd.Var) []*autograd.Var { return []*autograd.Var{Integrate(v[0], v[1])} }
	for _, steps := range []int{1, 2, 5} {
		x, a := tensor.Normal(tensor.Key(1), 2, steps, 3), tensor.Normal(tensor.Key(2), 3)
		gradcheck.Run(t, f, []*tensor.Tensor{x, a}, gradcheck.Options{})
	}
	long := tensor.Normal(tensor.Key(3), 2, 70, 3)
	gradcheck.Run(t, f, []*tensor.Tensor{long, tensor.Normal(tensor.Key(2), 3)}, gradcheck.Options{Fast: true})
}

// wrong forgets that a reaches later tokens.
type wrong struct{ integrate }

func (wrong) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	a, y, dy := ctx.Saved(0), ctx.Saved(1), grad[0]
	n := y.Dim(1)
	da := tensor.Mul(tensor.SliceAxis(dy, 1, 1, n), tensor.SliceAxis(y, 1, 0, n-1))
	return []*tensor.Tensor{integrate{}.Backward(ctx, dy)[0], tensor.SumTo(da, a.Shape())}
}

func TestWrongGradientIsFound(t *testing.T) {
	f := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(wrong{}, v...) }
	x, a := tensor.Normal(tensor.Key(1), 2, 4, 3), tensor.Normal(tensor.Key(2), 3)
	err := gradcheck.Check(f, []*tensor.Tensor{x, a}, gradcheck.Options{})
	var m *gradcheck.Mismatch
	if !errors.As(err, &m) || m.Input != 1 {
		t.Errorf("got %v, want a *Mismatch of input 1", err)
	}
}

func TestMisuse(t *testing.T) {
	tape := autograd.NewTape()
	defer tape.Close()
	err := tensor.Try(func() {
		Integrate(tape.Var(tensor.Ones(tensor.Float32, 2, 3, 4)), tape.Var(tensor.Ones(tensor.Float32, 3)))
	})
	if err == nil || !strings.Contains(err.Error(), "leaky.Integrate: want x [B, T, D] and a [D]: [2 3 4] x [3]") {
		t.Errorf("got %v", err)
	}
}

func TestLayer(t *testing.T) {
	layer := NewLayer(tensor.Key(1), 3)
	f := func(v ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{layer.Forward(v[0].Tape(), v[0])}
	}
	var report gradcheck.Report
	gradcheck.Run(t, f, []*tensor.Tensor{tensor.Normal(tensor.Key(2), 2, 4, 3)}, gradcheck.Options{AllParams: true, Report: &report})
	if len(report.Checked) != 5 {
		t.Errorf("checked %q, want the input and four parameters", report.Checked)
	}
	names := ""
	for name := range nn.Named(layer) {
		names += name + " "
	}
	if names != "in.weight decay out.weight out.bias " {
		t.Errorf("the parameters are %q", names)
	}
}

// The layer learns running sums.
func TestTraining(t *testing.T) {
	layer := NewLayer(tensor.Key(3), 8)
	x := tensor.Normal(tensor.Key(4), 16, 12, 8)
	target := tensor.MulScalar(tensor.CumSum(x, 1, false, false), 0.3)
	adam, err := train.NewAdamW(train.Config{WeightDecay: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer adam.Close()
	var first, last float32
	for step := range 120 {
		tape := autograd.NewTape()
		loss := ops.Mean(ops.Square(ops.Sub(layer.Forward(tape, tape.Const(x)), tape.Const(target))), false)
		grads, err := tape.Backward(loss)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range nn.Named(layer) {
			adam.Update(name, p, grads.OfParam(p), 2e-2)
		}
		last, err = tensor.Item[float32](loss.Value())
		if err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			first = last
		}
		tape.Close()
	}
	if !(last < first/3) {
		t.Errorf("the error went from %v to %v, want a third of it", first, last)
	}
}
