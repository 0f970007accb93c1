package tensor

import (
	"strings"
	"testing"
)

// TestKernel runs a kernel where there is a GPU to run it, and is refused elsewhere.
func TestKernel(t *testing.T) {
	body := map[Language]string{
		Metal: "const uint i = thread_position_in_grid.x;\nif (i < 10) y[i] = 2 * x[i];\n",
		CUDA:  "const int i = blockIdx.x * blockDim.x + threadIdx.x;\nif (i < 10) y[i] = 2 * x[i];\n",
	}
	source := KernelSource{Name: "test_double", Inputs: []string{"x"}, Outputs: []string{"y"}, Body: body[KernelLanguage()]}
	if KernelLanguage() == NoLanguage {
		if err := Try(func() { NewKernel(source) }); err == nil || !strings.Contains(err.Error(), "there is no GPU to run kernel test_double") {
			t.Errorf("%v", err)
		}
		return
	}
	k := NewKernel(source)
	x := Arange(0, 10, 1, Float32)
	launch := func(in ...*Tensor) []*Tensor {
		return k.Launch([3]int{32, 1, 1}, [3]int{32, 1, 1}, in, []KernelOutput{{Float32, []int{10}}})
	}
	y, err := Data[float32](launch(x)[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range y {
		if got != float32(2*i) {
			t.Errorf("y[%d] = %g", i, got)
		}
	}
	if err := Try(func() { launch(x, x) }); err == nil || !strings.Contains(err.Error(), "takes 1 inputs and has 1 outputs, got 2 and 1") {
		t.Errorf("%v", err)
	}
	source.Body = "y[0] = 5 % 3;"
	if err := Try(func() { NewKernel(source) }); err == nil || !strings.Contains(err.Error(), "has a '%' in its text") {
		t.Errorf("%v", err)
	}
}
