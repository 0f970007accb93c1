package nn_test

import (
	"strings"
	"testing"

	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
)

func TestCount(t *testing.T) {
	if got, want := nn.Count(newTree()), 10*6; got != want {
		t.Errorf("Count = %d, want %d", got, want)
	}
	if got, want := nn.Count(nn.NewSwiGLU(tensor.Key(1), 4, 6)), 3*4*6; got != want {
		t.Errorf("Count of a SwiGLU = %d, want %d", got, want)
	}
}

func TestStateAndLoad(t *testing.T) {
	from, to := nn.NewLinear(tensor.Key(1), 3, 5, true), nn.NewLinear(tensor.Key(2), 3, 5, true)
	state := nn.State(from)
	state["bias"] = tensor.AsType(tensor.Arange(0, 5, 1, tensor.Float32), tensor.BFloat16) // converted
	if err := nn.Load(to, state); err != nil {
		t.Fatal(err)
	}
	layertest.Close(t, "weight", to.Weight.Value(), from.Weight.Value(), 0)
	layertest.Close(t, "bias", to.Bias.Value(), state["bias"], 0)
	if d := to.Bias.Value().Dtype(); d != tensor.Float32 {
		t.Errorf("the bias became %s", d)
	}
	tensor.Free(state["bias"])
	if to.Bias.Value().Closed() || to.Weight.Value().Closed() {
		t.Error("parameters share the handles that were loaded")
	}
}

func TestLoadIsStrict(t *testing.T) {
	m := nn.NewSwiGLU(tensor.Key(1), 4, 6)
	before := layertest.Floats(t, m.Gate.Weight.Value())
	values := nn.State(m)
	values["gate_proj.weight"] = tensor.Zeros(tensor.Float32, 6, 4) // would fit
	values["up_proj.weight"] = tensor.Zeros(tensor.Float32, 4, 6)
	delete(values, "down_proj.weight")
	values["z.weight"] = tensor.Zeros(tensor.Float32, 1)
	values["a.weight"] = tensor.Zeros(tensor.Float32, 1)
	err := nn.Load(m, values)
	want := "nn.Load: the values don't fit the module: 1 missing (down_proj.weight); 2 unexpected (a.weight, z.weight); " +
		"1 wrong (up_proj.weight: want shape [6 4], got [4 6])"
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	for i, v := range layertest.Floats(t, m.Gate.Weight.Value()) {
		if v != before[i] {
			t.Fatal("a failed Load changed a parameter")
		}
	}
	values = nn.State(m)
	values["up_proj.weight"] = tensor.Zeros(tensor.Int32, 6, 4)
	if err := nn.Load(m, values); err == nil || !strings.Contains(err.Error(), "up_proj.weight: want floating-point values, got int32") {
		t.Errorf("integers: %v", err)
	}
}

func TestCast(t *testing.T) {
	m := nn.NewLinear(tensor.Key(1), 3, 5, true)
	nn.Cast(m, tensor.Float64)
	for name, p := range nn.Named(m) {
		if p.Value().Dtype() != tensor.Float64 {
			t.Errorf("%s is %s", name, p.Value().Dtype())
		}
	}
	if err := tensor.Try(func() { nn.Cast(m, tensor.Int32) }); err == nil {
		t.Error("Cast to int32 did not panic")
	}
}
