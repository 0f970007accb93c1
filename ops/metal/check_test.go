package metal

import (
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

func TestCheckLayers(t *testing.T) {
	for d := range layerBounds {
		if err := CheckLayers(d, 1, 2, 24, 16); err != nil {
			t.Error(err)
		}
	}
	if err := CheckLayers(tensor.Float32, 1, 2, 20, 16); err == nil || !strings.Contains(err.Error(), "multiples of 8 up to 256, not 20 and 16") {
		t.Errorf("%v", err)
	}
}

// TestCheckLayersFinds spoils one element of every result of every kernel.
func TestCheckLayersFinds(t *testing.T) {
	c := Config{Dtype: tensor.BFloat16, DK: 8, DV: 16, HK: 1, HV: 2}
	seen := map[string]bool{}
	for _, x := range c.layerCalls() {
		seen[x.kernel.name] = true
		right := x.launch.emulate(x.kernel, x.in, x.shapes)
		if err := x.compare(right, right); err != nil {
			t.Error(err)
		}
		for i, y := range right {
			wrong := slices.Clone(right)
			data, err := tensor.Data[float32](y)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] += 9
			wrong[i] = tensor.FromSlice(data, y.Shape()...)
			if err := x.compare(wrong, right); err == nil || !strings.Contains(err.Error(), x.kernel.out[i].name+" of kernel "+x.kernel.name) {
				t.Errorf("%s of %s is wrong: got %v", x.kernel.out[i].name, x.kernel.name, err)
			}
		}
	}
	for _, k := range registry {
		if slices.Contains(k.files, "activation.h") && !seen[k.name] {
			t.Errorf("%s is not checked", k.name)
		}
	}
}
