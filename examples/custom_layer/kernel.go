package main

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// fusedSquaredReLU is squaredReLU in one kernel each way where there is a GPU.
type fusedSquaredReLU struct {
	forward, backward *tensor.Kernel // nil without a GPU
}

// newFusedSquaredReLU writes the kernels in the language of this machine's GPU.
func newFusedSquaredReLU() fusedSquaredReLU {
	place := map[tensor.Language]string{
		tensor.Metal: "thread_position_in_grid.x",
		tensor.CUDA:  "blockIdx.x * blockDim.x + threadIdx.x",
	}[tensor.KernelLanguage()]
	if place == "" {
		return fusedSquaredReLU{}
	}
	start := "const int i = " + place + ";\nif (i >= size[0]) return;\n"
	return fusedSquaredReLU{
		forward: tensor.NewKernel(tensor.KernelSource{
			Name: "squared_relu", Inputs: []string{"x", "size"}, Outputs: []string{"y"},
			Body: start + "y[i] = x[i] < 0 ? 0 : x[i] * x[i];\n",
		}),
		backward: tensor.NewKernel(tensor.KernelSource{
			Name: "squared_relu_back", Inputs: []string{"x", "dy", "size"}, Outputs: []string{"dx"},
			Body: start + "dx[i] = x[i] < 0 ? 0 : 2 * x[i] * dy[i];\n",
		}),
	}
}

// serves reports whether the kernels take x; the op graph takes what is left.
func (f fusedSquaredReLU) serves(x *tensor.Tensor) bool {
	return f.forward != nil && tensor.DefaultDevice() == tensor.GPU && x.Dtype() == tensor.Float32 && x.Size() > 0
}

func (f fusedSquaredReLU) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	x := in[0]
	ctx.Save(x)
	if f.serves(x) {
		return launch(f.forward, x)
	}
	return []*tensor.Tensor{tensor.Square(tensor.Maximum(x, tensor.Like(x, 0)))}
}

func (f fusedSquaredReLU) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	x, dy := ctx.Saved(0), grad[0]
	if f.serves(x) {
		return launch(f.backward, x, dy)
	}
	positive := tensor.Maximum(x, tensor.Like(x, 0))
	return []*tensor.Tensor{tensor.Mul(dy, tensor.MulScalar(positive, 2))}
}

// launch starts a thread for each element of the operands, which have one shape.
func launch(k *tensor.Kernel, in ...*tensor.Tensor) []*tensor.Tensor {
	n := in[0].Size()
	size := tensor.FromSlice([]int32{int32(n)})
	grid, threadgroup := [3]int{n, 1, 1}, [3]int{256, 1, 1}
	return k.Launch(grid, threadgroup, append(in, size), []tensor.KernelOutput{{Dtype: tensor.Float32, Shape: in[0].Shape()}})
}
