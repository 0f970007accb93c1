package nn_test

import (
	"fmt"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// Residual is a module of the user's own: fields and a Forward.
type Residual struct {
	Norm *nn.RMSNorm  `param:"norm"`
	MLP  []*nn.SwiGLU `param:"mlp"`
}

func (r *Residual) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	for _, m := range r.MLP {
		x = ops.Add(x, m.Forward(tape, r.Norm.Forward(tape, x)))
	}
	return x
}

func Example() {
	r := &Residual{
		Norm: nn.NewRMSNorm(8, 1e-6),
		MLP:  []*nn.SwiGLU{nn.NewSwiGLU(tensor.Key(1), 8, 16)},
	}
	for name, p := range nn.Named(r) {
		fmt.Println(name, p.Value().Shape())
	}
	fmt.Println(nn.Count(r), "elements")

	tape := autograd.NewTape()
	defer tape.Close()
	y := r.Forward(tape, tape.Const(tensor.Ones(tensor.Float32, 2, 3, 8)))
	fmt.Println(y.Shape())
	// Output:
	// norm.weight [8]
	// mlp.0.gate_proj.weight [16 8]
	// mlp.0.up_proj.weight [16 8]
	// mlp.0.down_proj.weight [8 16]
	// 392 elements
	// [2 3 8]
}
