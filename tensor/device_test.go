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
