package ops

import (
	"fmt"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// fuseOnCPU makes ops take their kernels on the CPU, in the emulator, until the test
// ends.
func fuseOnCPU(t *testing.T) {
	if tensor.DefaultDevice() != tensor.CPU {
		return // there they do
	}
	before := fusedDevice
	fusedDevice = tensor.CPU
	t.Cleanup(func() { fusedDevice = before })
}

var (
	l2NormOf    = f1(func(x *autograd.Var) *autograd.Var { return L2Norm(x, 1e-3) })
	gatedNormOf = f3(func(x, gate, w *autograd.Var) *autograd.Var { return GatedRMSNorm(x, gate, w, 1e-3) })
)

// fusedCases are ops by kernels: the first operand has the dtype of the kernel, and
// so have the others but weights, which are the last.
var fusedCases = []gradCase{
	{op: "L2Norm", f: l2NormOf, in: list(normal(2, 3, 2, 24))},
	{op: "L2Norm", name: "zero vector", f: l2NormOf, in: list(tensor.FromSlice([]float64{0, 0, 0, 1, 2, 3}, 2, 3))},
	{op: "L2Norm", name: "long row", f: l2NormOf, in: list(normal(1, 256))},
	{op: "GatedRMSNorm", f: gatedNormOf, in: list(normal(2, 3, 2, 24), normal(2, 3, 2, 24), positive(24))},
	{op: "GatedRMSNorm", name: "many rows", f: gatedNormOf, in: list(normal(70, 5), normal(70, 5), normal(5))},
	{op: "ShortConvSiLU", f: f2(ShortConvSiLU), in: list(normal(2, 35, 5), normal(5, 4))},
	{op: "ShortConvSiLU", name: "shorter than the filter", f: f2(ShortConvSiLU), in: list(normal(3, 2, 9), normal(9, 8))},
	{op: "ShortConvSiLU", name: "one tap", f: f2(ShortConvSiLU), in: list(normal(1, 3, 2), normal(2, 1))},
}

// isFused reports whether f takes one kernel for its operands: one operation, which
// keeps nothing but operands.
func isFused(f func(...*autograd.Var) []*autograd.Var, in []*tensor.Tensor) bool {
	tape := autograd.NewTape()
	defer tape.Close()
	vars := make([]*autograd.Var, len(in))
	for i, x := range in {
		vars[i] = tape.Var(x)
	}
	f(vars...)
	s := tape.Stats()
	return s.Nodes == 1 && s.SavedBytes == s.LeafBytes
}

// TestFused compares ops by kernels, outputs and all gradients, with the op graph in
// float64.
func TestFused(t *testing.T) {
	fuseOnCPU(t)
	for _, c := range fusedCases {
		for _, d := range []struct {
			dtype, weights tensor.Dtype
			tol            float64
		}{
			{tensor.Float32, tensor.Float32, 2e-6},
			{tensor.BFloat16, tensor.BFloat16, 5e-3}, {tensor.BFloat16, tensor.Float32, 5e-3},
			{tensor.Float16, tensor.Float16, 6e-4},
		} {
			t.Run(fmt.Sprintf("%s/%s/%s", c, d.dtype, d.weights), func(t *testing.T) {
				in := convert(c.in, d.dtype)
				if n := len(in); n > 1 {
					in[n-1] = tensor.AsType(c.in[n-1], d.weights)
				}
				exact := convert(in, tensor.Float64)
				if !isFused(c.f, in) || isFused(c.f, exact) {
					t.Error("no kernel is used, or in float64, too")
				}
				seeds := list(tensor.AsType(seedLike(c.in[0]), d.dtype)) // results have the first operand's shape
				y, dx := grads(t, c.f, in, seeds)
				wantY, wantDX := grads(t, c.f, exact, convert(seeds, tensor.Float64))
				compare(t, "output", y, wantY, d.tol)
				compare(t, "gradient", dx, wantDX, d.tol)
				if y[0].Dtype() != d.dtype {
					t.Errorf("the result is %s", y[0].Dtype())
				}
			})
		}
	}
}

// TestNotFused holds what keeps the op graph, with results to match.
func TestNotFused(t *testing.T) {
	half := func(x *tensor.Tensor) *tensor.Tensor { return tensor.AsType(x, tensor.Float16) }
	for _, c := range []gradCase{
		{name: "long rows", f: l2NormOf, in: list(normal(2, 257))},
		{name: "no rows", f: l2NormOf, in: list(normal(0, 8))},
		{name: "gate of another dtype", f: gatedNormOf, in: list(half(normal(2, 8)), normal(2, 8), positive(8))},
		{name: "no weight", f: f2(func(x, gate *autograd.Var) *autograd.Var { return GatedRMSNorm(x, gate, nil, 1) }), in: list(normal(2, 8), normal(2, 8))},
		{name: "nine taps", f: f2(ShortConvSiLU), in: list(normal(2, 12, 3), normal(3, 9))},
		{name: "no steps", f: f2(ShortConvSiLU), in: list(normal(2, 0, 3), normal(3, 4))},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := make([]*tensor.Tensor, len(c.in))
			for i, x := range c.in {
				if in[i] = x; x.Dtype() == tensor.Float64 {
					in[i] = tensor.AsType(x, tensor.Float32)
				}
			}
			wantY, want := grads(t, c.f, in, nil)
			fuseOnCPU(t)
			if in[0].Size() > 0 && isFused(c.f, in) {
				t.Error("a kernel is used")
			}
			y, got := grads(t, c.f, in, nil)
			compare(t, "output", y, wantY, 0)
			compare(t, "gradient", got, want, 0)
		})
	}
}

// TestFusedTraced differentiates and compiles by the engine, which keeps the op
// graph.
func TestFusedTraced(t *testing.T) {
	fuseOnCPU(t)
	for _, c := range fusedCases {
		t.Run(c.String(), func(t *testing.T) {
			in := convert(c.in, tensor.Float32)
			outs, got := grads(t, c.f, in, nil)
			var tapes []*autograd.Tape
			forward := func(args []*tensor.Tensor) []*tensor.Tensor {
				tape := autograd.NoGrad()
				tapes = append(tapes, tape)
				vars := make([]*autograd.Var, len(args))
				for i, x := range args {
					vars[i] = tape.Const(x)
				}
				return list(c.f(vars...)[0].Value())
			}
			defer func() {
				for _, tape := range tapes {
					tape.Close()
				}
			}()
			_, want, err := tensor.VJP(forward, in, list(seedLike(outs[0])))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "gradient", got, want, 1e-5)
			compiled := tensor.Compile(forward)
			defer compiled.Close()
			y, err := compiled.Call(in...)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "output", outs, y, 1e-5)
		})
	}
}

// TestFusedOnTape holds kernels to what else tapes do: checkpoints, hooks, operands
// without a gradient, and second uses of a value.
func TestFusedOnTape(t *testing.T) {
	fuseOnCPU(t)
	for _, c := range fusedCases {
		t.Run(c.String(), func(t *testing.T) {
			in := convert(c.in, tensor.Float32)
			outs, want := grads(t, c.f, in, nil)
			_, again := grads(t, func(v ...*autograd.Var) []*autograd.Var {
				return autograd.Checkpoint(c.f, v...)
			}, in, nil)
			compare(t, "gradient by a checkpoint", again, want, 0)
			_, twice := grads(t, func(v ...*autograd.Var) []*autograd.Var {
				return []*autograd.Var{Add(c.f(v...)[0], c.f(v...)[0])}
			}, in, list(seedLike(outs[0])))
			for i, x := range want {
				compare(t, "gradient of two uses", twice[i:i+1], list(tensor.MulScalar(x, 2)), 1e-6)
			}

			tape := autograd.NewTape()
			defer tape.Close()
			vars := make([]*autograd.Var, len(in))
			for i, x := range in {
				vars[i] = tape.Const(x)
			}
			last := len(in) - 1
			vars[last] = tape.Var(in[last])
			y, calls := c.f(vars...)[0], 0
			y.Hook(func(g *tensor.Tensor) *tensor.Tensor { calls++; return tensor.MulScalar(g, 3) })
			got, err := tape.Grad([]*autograd.Var{y}, list(seedLike(outs[0])), vars[last])
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "gradient through a hook", got, list(tensor.MulScalar(want[last], 3)), 1e-6)
			if calls != 1 {
				t.Errorf("the hook ran %d times", calls)
			}
		})
	}
}

// TestFusedErrors holds that misuse is told as by the op graph.
func TestFusedErrors(t *testing.T) {
	fuseOnCPU(t)
	tape := autograd.NoGrad()
	defer tape.Close()
	v := func(shape ...int) *autograd.Var { return tape.Const(tensor.Ones(tensor.Float32, shape...)) }
	for want, f := range map[string]func(){
		"ops.L2Norm: want eps >= 0, got -1":                                 func() { L2Norm(v(2, 3), -1) },
		"ops.GatedRMSNorm: want a weight of shape [3]: [2 3] x [2]":         func() { GatedRMSNorm(v(2, 3), v(2, 3), v(2), 1e-6) },
		"ops.GatedRMSNorm: want x and gate of one shape: [2 3] x [3]":       func() { GatedRMSNorm(v(2, 3), v(3), v(3), 1e-6) },
		"ops.ShortConvSiLU: want x [B, T, C] and w [C, W]: [2 5 3] x [4 3]": func() { ShortConvSiLU(v(2, 5, 3), v(4, 3)) },
		"ops.ShortConvSiLU: want x [B, T, C] and w [C, W]: [5 3] x [3 3]":   func() { ShortConvSiLU(v(5, 3), v(3, 3)) },
		"ops.ShortConvSiLU: an operand is nil":                              func() { ShortConvSiLU(v(5, 3), nil) },
	} {
		if err := tensor.Try(f); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
