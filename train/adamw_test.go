package train_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
)

// torchAdamW is one step of torch.optim.AdamW on one parameter, in the order of
// operations of PyTorch's _single_tensor_adamw.
type torchAdamW struct {
	rate, beta1, beta2, epsilon, decay float64

	step       int
	avg, avgSq []float64
}

func (o *torchAdamW) update(p, grad []float64) {
	if o.avg == nil {
		o.avg, o.avgSq = make([]float64, len(p)), make([]float64, len(p))
	}
	o.step++
	correction1 := 1 - math.Pow(o.beta1, float64(o.step))
	correction2 := 1 - math.Pow(o.beta2, float64(o.step))
	stepSize := o.rate / correction1
	for i, g := range grad {
		p[i] *= 1 - o.rate*o.decay
		o.avg[i] += (g - o.avg[i]) * (1 - o.beta1)
		o.avgSq[i] = o.avgSq[i]*o.beta2 + (1-o.beta2)*g*g
		denominator := math.Sqrt(o.avgSq[i])/math.Sqrt(correction2) + o.epsilon
		p[i] -= stepSize * o.avg[i] / denominator
	}
}

// Every parameter follows PyTorch's formula over many steps, with decay where it
// applies.
func TestAdamWAgainstPyTorch(t *testing.T) {
	for _, test := range []struct {
		name   string
		shape  []int
		decays bool
	}{
		{"proj.weight", []int{3, 4}, true},
		{"conv1d.weight", []int{6, 1, 2}, true},
		{"norm.weight", []int{12}, false},
		{"scalar", nil, false},
		{"layers.0.A_log", []int{12}, false},
		{"layers.0.A_log", []int{3, 4}, false},
		{"layers.0.dt_bias", []int{2, 6}, false},
		{"A_log.weight", []int{2, 6}, true},
	} {
		for dtype, tolerance := range map[tensor.Dtype]float64{tensor.Float64: 1e-13, tensor.Float32: 2e-6} {
			t.Run(fmt.Sprintf("%s %v %s", test.name, test.shape, dtype), func(t *testing.T) {
				cfg := train.Config{Beta1: 0.8, Beta2: 0.97, Epsilon: 1e-3, WeightDecay: 0.3}
				adam, err := train.NewAdamW(cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer adam.Close()
				reference := torchAdamW{beta1: cfg.Beta1, beta2: cfg.Beta2, epsilon: cfg.Epsilon}
				if test.decays {
					reference.decay = cfg.WeightDecay
				}
				random := rand.New(rand.NewPCG(1, 2))
				n := 1
				for _, d := range test.shape {
					n *= d
				}
				want := normals(random, n)
				p := autograd.NewParam(test.name, filled(want, dtype, test.shape))
				if train.Decays(test.name, p) != test.decays {
					t.Errorf("Decays is %v", !test.decays)
				}
				for step := range 20 {
					grad := normals(random, n)
					if step == 7 {
						clear(grad) // moments alone move the parameter
					}
					reference.rate = 0.1 / float64(1+step)
					reference.update(want, grad)
					adam.Update(test.name, p, filled(grad, dtype, test.shape), reference.rate)
					if p.Value().Dtype() != dtype {
						t.Fatalf("the parameter became %s", p.Value().Dtype())
					}
					got := values[float64](t, tensor.AsType(p.Value(), tensor.Float64))
					near(t, fmt.Sprintf("step %d", step+1), got, want, tolerance)
				}
			})
		}
	}
}

// With corrected bias the first step moves each element by the learning rate
// against the sign of its gradient, whatever the gradient's size.
func TestAdamWFirstStep(t *testing.T) {
	adam, err := train.NewAdamW(train.Config{WeightDecay: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer adam.Close()
	p := autograd.NewParam("p", tensor.FromSlice([]float64{1, 1, 1, 1}))
	adam.Update("p", p, tensor.FromSlice([]float64{5e3, -2e-3, 1, 0}), 0.01)
	near(t, "parameter", values[float64](t, p.Value()), []float64{0.99, 1.01, 0.99, 1}, 1e-7)
}

// A parameter whose first update comes late is corrected for its own count of
// updates, as in PyTorch.
func TestAdamWLateParameter(t *testing.T) {
	adam, err := train.NewAdamW(train.Config{WeightDecay: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer adam.Close()
	early := autograd.NewParam("early", tensor.FromSlice([]float64{1}))
	late := autograd.NewParam("late", tensor.FromSlice([]float64{1}))
	grad := tensor.FromSlice([]float64{3})
	for range 10 {
		adam.Update("early", early, grad, 0.01)
	}
	adam.Update("late", late, grad, 0.01)
	near(t, "late", values[float64](t, late.Value()), []float64{0.99}, 1e-7)
}

// Half-precision parameters keep their dtype, and moments are float32.
func TestAdamWHalfPrecision(t *testing.T) {
	var adam train.AdamW // without momentum, decay and epsilon
	defer adam.Close()
	p := autograd.NewParam("p", tensor.AsType(tensor.FromSlice([]float32{1, 2}), tensor.BFloat16))
	adam.Update("p", p, tensor.AsType(tensor.FromSlice([]float32{4, -4}), tensor.BFloat16), 0.5)
	if p.Value().Dtype() != tensor.BFloat16 {
		t.Errorf("the parameter became %s", p.Value().Dtype())
	}
	near(t, "parameter", values[float64](t, tensor.AsType(p.Value(), tensor.Float64)), []float64{0.5, 2.5}, 0)
	for _, s := range adam.State() {
		if s.Dtype() != tensor.Float32 {
			t.Errorf("a moment is %s, want float32", s.Dtype())
		}
	}
}

func TestAdamWMisuse(t *testing.T) {
	for _, test := range []struct {
		name string
		grad *tensor.Tensor
		want string
	}{
		{"no gradient", nil, `train.AdamW.Update: the gradient of parameter "some.weight" is nil`},
		{"another shape", tensor.Ones(tensor.Float32, 1, 3), `train.AdamW.Update: want a gradient of the shape of parameter "some.weight": [2 3] x [1 3]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var adam train.AdamW
			p := autograd.NewParam("weight", tensor.Ones(tensor.Float32, 2, 3))
			err := tensor.Try(func() { adam.Update("some.weight", p, test.grad, 1) })
			var e *tensor.Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if len(adam.State()) != 0 {
				t.Error("there are moments")
			}
		})
	}
}

func TestAdamWClose(t *testing.T) {
	withoutCollector(t)
	p := autograd.NewParam("p", tensor.Ones(tensor.Float32, 2))
	grad := tensor.Ones(tensor.Float32, 2)
	before := tensor.Live()
	var adam train.AdamW
	adam.Update("p", p, grad, 1)
	if n := len(adam.State()); n != 2 {
		t.Errorf("%d moments, want 2", n)
	}
	adam.Close()
	adam.Close()
	if got := tensor.Live(); got != before {
		t.Errorf("%d tensors are open, %d were before", got, before)
	}
}

func normals(random *rand.Rand, n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = random.NormFloat64()
	}
	return list
}

func filled(data []float64, dtype tensor.Dtype, shape []int) *tensor.Tensor {
	return tensor.AsType(tensor.Reshape(tensor.FromSlice(data), shape...), dtype)
}
