package autograd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

type sqrtOp struct{}

func (sqrtOp) String() string { return "Sqrt" }

func (sqrtOp) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	y := tensor.Sqrt(in[0])
	ctx.Save(y)
	return []*tensor.Tensor{y}
}

func (sqrtOp) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Div(tensor.MulScalar(grad[0], 0.5), ctx.Saved(0))}
}

func sqrt(x *autograd.Var) *autograd.Var { return autograd.Apply(sqrtOp{}, x)[0] }

func TestDetectAnomaly(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(x *autograd.Var) *autograd.Var
		x    *tensor.Tensor
		want []string // in the error; none: no error
	}{
		{"all is well", silu, vec(1, 2, 3), nil},
		{"gradient only", sqrt, vec(1, 2, 0),
			[]string{"backward of Sqrt (applied at ", "anomaly_test.go:", "the gradient of operand 0, float64 [3], holds +Inf at [2]", "of the forward pass are finite"}},
		{"zero times infinity", func(x *autograd.Var) *autograd.Var { return mul(sqrt(x), x.Detach()) }, vec(0, 2, 1),
			[]string{"backward of Sqrt", "operand 0", "NaN at [0]"}},
		{"forward pass", func(x *autograd.Var) *autograd.Var { return silu(mul(sqrt(x), x)) }, vec(1, -2, 3),
			[]string{"result 0 holds NaN at []", "the forward pass first has NaN at [1] in output 0 of Sqrt (applied at "}},
		{"inside a checkpoint", func(x *autograd.Var) *autograd.Var {
			return autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				return []*autograd.Var{silu(sqrt(in[0]))}
			}, x)[0]
		}, vec(1, 0, 3), []string{"backward of autograd.Checkpoint (applied at ", "backward of Sqrt (applied at ", "holds +Inf at [1]"}},
		{"bfloat16", sqrt, tensor.AsType(vec(1, 0, 3), tensor.BFloat16), []string{"bfloat16 [3], holds +Inf at [1]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			tape.DetectAnomaly()
			_, err := tape.Backward(sum(c.f(tape.Var(c.x))))
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, text := range c.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("got %q, want %q in it", err, text)
				}
			}
		})
	}
}

// What fails when it is evaluated is named, too.
func TestDetectFailedEvaluation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cut.safetensors")
	if err := tensor.Save(path, map[string]*tensor.Tensor{"x": tensor.Ones(tensor.Float64, 1000)}, nil); err != nil {
		t.Fatal(err)
	}
	loaded, _, err := tensor.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000); err != nil { // the data are read at evaluation
		t.Fatal(err)
	}
	tape := newTape(t)
	tape.DetectAnomaly()
	scale := custom{func(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
		return []*tensor.Tensor{tensor.Mul(in[0], in[1])}
	}, nil}
	_, err = tape.Backward(sum(autograd.Apply(scale, tape.Var(tensor.Ones(tensor.Float64, 1000)), tape.Const(loaded["x"]))[0]))
	if err == nil || !strings.Contains(err.Error(), "evaluating output 0 of custom (applied at ") {
		t.Errorf("got %v, want the operation", err)
	}
}

func TestAnomalyNamesTheSiteOfASecondPass(t *testing.T) {
	tape := newTape(t)
	tape.DetectAnomaly()
	y := sum(tape.Var(vec(1, 2)))
	backward(t, y)
	if _, err := tape.Backward(y); err == nil || !strings.Contains(err.Error(), "sumOp (applied at ") {
		t.Errorf("got %v, want the site", err)
	}
}
