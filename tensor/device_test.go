package tensor

import "testing"

func TestDevice(t *testing.T) {
	for _, d := range []Device{CPU, GPU} {
		if got, err := ParseDevice(d.String()); err != nil || got != d {
			t.Errorf("ParseDevice(%q) = %v, %v", d, got, err)
		}
	}
	_, err := ParseDevice("tpu%s")
	wantError(t, err, `device: want cpu or gpu, got "tpu%s"`)
	wantError(t, SetDevice(Device(7)), "tensor.SetDevice: want CPU or GPU, got device 7")
	if !Available(CPU) {
		t.Error("there is no CPU")
	}
	before := DefaultDevice()
	defer func() {
		if err := SetDevice(before); err != nil {
			t.Error(err)
		}
	}()
	if !Available(GPU) {
		wantError(t, SetDevice(GPU), "tensor.SetDevice: MLX finds no GPU")
	} else if err := SetDevice(GPU); err != nil || DefaultDevice() != GPU {
		t.Errorf("the default is %s (%v)", DefaultDevice(), err)
	}
	// float64 works whatever the default is.
	wantTensor(t, Exp(AddScalar(Zeros(Float64, 2), 0)), Float64, []int{2}, 1, 1)
	wantTensor(t, Where(Scalar(true), Arange(0, 2, 1, Float64), Scalar(float32(1))), Float64, []int{2}, 0, 1)
	if err := SetDevice(CPU); err != nil || DefaultDevice() != CPU {
		t.Errorf("the default is %s (%v)", DefaultDevice(), err)
	}
}

func TestVersions(t *testing.T) {
	v, err := Versions()
	if err != nil {
		t.Fatal(err)
	}
	if v.MLX != "0.32.2" || v.MLXC != "" && v.MLXC != "0.7.0" || v.Path == "" {
		t.Errorf("%+v", v)
	}
}

// On CUDA a tensor goes to float64 by way of the host.
func TestThroughHost(t *testing.T) {
	s := NewScope()
	defer s.Close()
	for _, x := range []*Tensor{Add(FromSlice([]float32{1, 2, 3}), Scalar[float32](1)), Zeros(Int32, 0, 3), Transpose(FromSlice([]int32{1, 2, 3, 4}, 2, 2))} {
		x = s.Use(x)
		got := x.throughHost("AsType")
		if got.Dtype() != x.Dtype() || got.scope != s || !sameShape(got.shape, x.shape) {
			t.Errorf("got %v for %v", got, x)
		}
		if same, err := Item[bool](All(Equal(got, x), false)); err != nil || !same {
			t.Errorf("got %v for %v, %v", got, x, err)
		}
	}
}
