package tensor

import (
	"strings"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Language is one that kernels for a GPU are written in.
type Language string

// The languages. NoLanguage means that there is no GPU to write for.
const (
	NoLanguage Language = ""
	Metal      Language = "metal"
	CUDA       Language = "cuda"
)

// KernelLanguage returns the language of this machine's GPU.
func KernelLanguage() Language {
	switch {
	case !mlxc.HasGPU():
		return NoLanguage
	case mlxc.HasCUDA():
		return CUDA
	}
	return Metal
}

// KernelSource is the text of a kernel in the GPU's language.
type KernelSource struct {
	Name            string   // one text alone may have it, in all of the process
	Inputs, Outputs []string // names of the arguments, pointers in the body
	Header          string   // goes before the function: other functions, types
	Body            string   // of the function
}

// Kernel is a program for the GPU. Any goroutine may apply it.
type Kernel struct {
	source KernelSource
	handle mlxc.Kernel
}

// NewKernel makes a kernel. Its text is compiled when a result is first evaluated,
// and a fault in it is an error of that evaluation. A '%' in the text panics with
// *Error: the engine's messages quote the text and would take it for a format. So
// does a machine without a GPU.
func NewKernel(source KernelSource) *Kernel {
	const op = "NewKernel"
	if KernelLanguage() == NoLanguage {
		panic(NewError("tensor."+op, nil, "there is no GPU to run kernel %s", source.Name))
	}
	if i := strings.IndexByte(source.Header+source.Body, '%'); i >= 0 {
		panic(NewError("tensor."+op, nil, "kernel %s has a '%%' in its text", source.Name))
	}
	h, err := mlxc.NewKernel(source.Name, source.Inputs, source.Outputs, source.Body, source.Header)
	if err != nil {
		raise(op, err)
	}
	return &Kernel{source: source, handle: h}
}

// KernelOutput describes a result of a kernel.
type KernelOutput struct {
	Dtype Dtype
	Shape []int
}

// Launch applies the kernel to inputs, which arrive dense, and returns its outputs.
// The grid has so many threads in each direction; threads is that of them in a
// threadgroup.
func (k *Kernel) Launch(grid, threads [3]int, inputs []*Tensor, outputs []KernelOutput) []*Tensor {
	if len(inputs) != len(k.source.Inputs) || len(outputs) != len(k.source.Outputs) {
		panic(NewError("tensor.Kernel", inputs, "kernel %s takes %d inputs and has %d outputs, got %d and %d",
			k.source.Name, len(k.source.Inputs), len(k.source.Outputs), len(inputs), len(outputs)))
	}
	made, err := k.handle.Apply(handles("Kernel", inputs), kernelOutputs("Kernel", outputs), grid, threads)
	return madeList("Kernel", made, err, inputs...)
}

func kernelOutputs(op string, outputs []KernelOutput) []mlxc.KernelOutput {
	list := make([]mlxc.KernelOutput, len(outputs))
	for i, o := range outputs {
		checkShape(op, o.Shape)
		list[i] = mlxc.KernelOutput{Shape: o.Shape, Dtype: mlxc.Dtype(o.Dtype)}
	}
	return list
}
