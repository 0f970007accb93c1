// Custom_layer defines an operation with its own backward and a layer around
// it, checks the gradients, and trains the layer.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
)

// squaredReLU is y = max(x, 0)².
type squaredReLU struct{}

func (squaredReLU) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	positive := tensor.Maximum(in[0], tensor.Like(in[0], 0))
	ctx.Save(positive)
	return []*tensor.Tensor{tensor.Square(positive)}
}

// Backward returns dx = dy · 2 max(x, 0).
func (squaredReLU) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{tensor.Mul(grad[0], tensor.MulScalar(ctx.Saved(0), 2))}
}

// channelMix is the feed-forward layer down(max(up(x), 0)²).
type channelMix struct {
	Up   *nn.Linear `param:"up"`
	Down *nn.Linear `param:"down"`
}

func (l *channelMix) Forward(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	return l.Down.Forward(tape, autograd.Apply(squaredReLU{}, l.Up.Forward(tape, x))[0])
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const about = `Custom_layer checks the gradient of an operation of its own and trains a layer with it.

Usage: custom_layer [flags]
`

// run is the program; it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	flags := program.NewFlags("custom_layer", about, errOut)
	steps := flags.Uint("steps", 300, "training steps")
	if code, ok := flags.Parse(args, nil); !ok {
		return code
	}
	return flags.Exit(true, show(*steps, out))
}

func show(steps uint, out io.Writer) error {
	op := func(v ...*autograd.Var) []*autograd.Var { return autograd.Apply(squaredReLU{}, v...) }
	if err := gradcheck.Check(op, []*tensor.Tensor{tensor.Normal(tensor.Key(1), 4, 8)}, gradcheck.Options{}); err != nil {
		return err
	}
	fmt.Fprintln(out, "the gradient of squaredReLU is right")
	keys := tensor.Split(tensor.Key(2), 3)
	layer := &channelMix{nn.NewLinear(keys[0], 8, 32, true), nn.NewLinear(keys[1], 32, 8, true)}
	inputs := tensor.Normal(keys[2], 64, 8)
	adam, err := train.NewAdamW(train.Config{WeightDecay: -1})
	if err != nil {
		return err
	}
	defer adam.Close()
	for step := uint(1); step <= steps; step++ {
		loss, err := learn(layer, adam, inputs, tensor.Abs(inputs))
		if err != nil {
			return err
		}
		if step == 1 || step == steps {
			fmt.Fprintf(out, "step %d: mean squared error %.4f\n", step, loss)
		}
	}
	return nil
}

// learn does one step of training and returns the loss before it.
func learn(layer *channelMix, adam *train.AdamW, inputs, target *tensor.Tensor) (float32, error) {
	tape := autograd.NewTape()
	defer tape.Close()
	loss := ops.Mean(ops.Square(ops.Sub(layer.Forward(tape, tape.Const(inputs)), tape.Const(target))), false)
	grads, err := tape.Backward(loss)
	if err != nil {
		return 0, err
	}
	for name, p := range nn.Named(layer) {
		adam.Update(name, p, grads.OfParam(p), 1e-2)
	}
	return tensor.Item[float32](loss.Value())
}
