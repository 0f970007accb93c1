package metal

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/deltatape/deltatape/internal/emulator"
	"github.com/deltatape/deltatape/tensor"
)

// launch is a batch of threadgroups to run: chunks and runs are what the grid
// depends on.
type launch struct {
	config       Config
	chunks, runs int
}

// run runs a kernel on the default device: lazily on a GPU, at once in the emulator
// on the CPU. The outputs have the given shapes.
func (l launch) run(k *kernel, in []*tensor.Tensor, shapes ...[]int) []*tensor.Tensor {
	for i, x := range in {
		in[i] = atLeast(8, x)
	}
	if tensor.DefaultDevice() == tensor.CPU {
		return l.emulate(k, in, shapes)
	}
	outputs := make([]tensor.KernelOutput, len(shapes))
	for i, shape := range shapes {
		outputs[i] = tensor.KernelOutput{Dtype: l.config.dtype(k.out[i].kind), Shape: shape}
	}
	threads := 32 * k.simdgroups(l.config)
	grid := [3]int{k.width(l.config, l.chunks, l.runs) * threads, k.height(l.config, l.chunks, l.runs), 1}
	return k.compiled(l.config).Launch(grid, [3]int{threads, 1, 1}, in, outputs)
}

// atLeast returns x, or if it has fewer than n elements a longer array that begins
// with them: Metal puts short inputs into another address space.
func atLeast(n int, x *tensor.Tensor) *tensor.Tensor {
	if x.Size() >= n {
		return x
	}
	return tensor.Pad(tensor.Reshape(x, -1), [][2]int{{0, n - x.Size()}}, 0)
}

// programs are the kernels that were built for the GPU, by unique name.
var programs sync.Map

// compiled returns the program for a configuration.
func (k *kernel) compiled(c Config) *tensor.Kernel {
	name := c.unique(k.name)
	if p, ok := programs.Load(name); ok {
		return p.(*tensor.Kernel)
	}
	p, _ := programs.LoadOrStore(name, tensor.NewKernel(k.source(c, tensor.KernelLanguage())))
	return p.(*tensor.Kernel)
}

// seed is that of the emulator's next launch: each runs in another order.
var seed atomic.Uint64

// emulate evaluates the inputs and runs the kernel in the emulator.
func (l launch) emulate(k *kernel, in []*tensor.Tensor, shapes [][]int) []*tensor.Tensor {
	if err := tensor.Eval(in...); err != nil {
		panic(tensor.NewError("metal."+k.name, in, "an input can't be evaluated: %v", err))
	}
	var arguments []emulator.Argument
	for i, x := range in {
		arguments = append(arguments, l.config.argument(k.in[i].kind, x))
	}
	results := make([]func() *tensor.Tensor, len(shapes))
	for i, shape := range shapes {
		var a emulator.Argument
		a, results[i] = l.config.result(k.out[i].kind, shape)
		arguments = append(arguments, a)
	}
	c := l.config
	err := emulator.Run(emulator.Launch{
		Kernel: c.emulated(k.name), DK: c.DK, DV: c.DV, HK: c.HK, HV: c.HV,
		Width: k.width(c, l.chunks, l.runs), Height: k.height(c, l.chunks, l.runs),
		Simdgroups: k.simdgroups(c), Shared: k.sharedFloats(c), Seed: seed.Add(1),
	}, arguments)
	runtime.KeepAlive(arguments)
	if err != nil {
		panic(tensor.NewError("metal."+k.name, in, "the emulator: %v", err))
	}
	outs := make([]*tensor.Tensor, len(results))
	for i, result := range results {
		made := result()
		outs[i] = tensor.Depends([]*tensor.Tensor{made}, in[:1])[0] // into the inputs' scope
		tensor.Free(made)
	}
	return outs
}

// argument copies an evaluated tensor for the emulator.
func (c Config) argument(k kind, x *tensor.Tensor) emulator.Argument {
	if k == integer {
		return emulator.Input(emulator.Int32, data[int32](x))
	}
	wide := data[float32](x)
	if c.dtype(k) == tensor.Float32 {
		return emulator.Input(emulator.Float32, wide)
	}
	return emulator.Input(elementTypes[c.Dtype].emulated, encode(c.Dtype, wide))
}

// result returns an argument for the emulator to write, and what makes a tensor of
// it afterwards.
func (c Config) result(k kind, shape []int) (emulator.Argument, func() *tensor.Tensor) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	if c.dtype(k) == tensor.Float32 {
		data := make([]float32, n)
		return emulator.Output(emulator.Float32, data), func() *tensor.Tensor { return tensor.FromSlice(data, shape...) }
	}
	bits := make([]uint16, n)
	return emulator.Output(elementTypes[c.Dtype].emulated, bits), func() *tensor.Tensor {
		wide := tensor.FromSlice(decode(c.Dtype, bits), shape...)
		defer tensor.Free(wide)
		return tensor.AsType(wide, c.Dtype)
	}
}

func data[E float32 | int32](x *tensor.Tensor) []E {
	list, err := tensor.Data[E](x)
	if err != nil {
		panic(tensor.NewError("metal", []*tensor.Tensor{x}, "an input can't be read: %v", err))
	}
	return list
}

// shaped returns a shape with a first axis of n.
func shaped(n int, rest ...int) []int { return slices.Concat([]int{n}, rest) }
