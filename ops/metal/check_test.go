package metal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

func TestCheckLayers(t *testing.T) {
	for d := range layerBounds {
		for _, taps := range []int{1, 4, 9} {
			if err := CheckLayers(d, 1, 2, 24, 16, taps); err != nil {
				t.Error(err)
			}
			if err := (Config{Dtype: d, HK: 2, HV: 4, DK: 24, DV: 16}).CheckDecode(taps); err != nil {
				t.Error(err)
			}
		}
	}
	if err := CheckLayers(tensor.Float64, 1, 2, 20, 300, 4); err != nil {
		t.Errorf("sizes without kernels: %v", err)
	}
	err := Config{Dtype: tensor.Float32, HK: 1, HV: 2, DK: 20, DV: 16}.CheckDecode(4)
	if err == nil || !strings.Contains(err.Error(), "multiples of 8 up to 256, not 20 and 16") {
		t.Errorf("%v", err)
	}
}

// layerChecksOf returns the checks of all kernels of a small layer.
func layerChecksOf(t *testing.T, s *tensor.Scope, d tensor.Dtype) []layerCheck {
	t.Helper()
	c := Config{Dtype: d, Chunk: decodeChunk, DK: 8, DV: 16, HK: 1, HV: 2}
	list, err := c.layerChecks(s, 4)
	if err != nil {
		t.Fatal(err)
	}
	return append(list, c.decodeCheck(s, 4))
}

// TestCheckLayersFinds spoils one element of every result of every kernel.
func TestCheckLayersFinds(t *testing.T) {
	s := tensor.NewScope()
	defer s.Close()
	seen := map[string]bool{}
	for _, x := range layerChecksOf(t, s, tensor.BFloat16) {
		seen[x.kernel.name] = true
		right := x.launch.run(x.kernel, x.in, x.shapes...)
		if err := x.compare(right); err != nil {
			t.Error(err)
		}
		for i, y := range right {
			wrong := slices.Clone(right)
			data, err := tensor.Data[float32](y)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] += 9
			wrong[i] = tensor.AsType(tensor.FromSlice(data, y.Shape()...), y.Dtype())
			if err := x.compare(wrong); err == nil || !strings.Contains(err.Error(), x.kernel.out[i].name+" of kernel "+x.kernel.name) {
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

// TestCheckLayersKnowsFormulas gives kernels other operands than the formulas have, one
// at a time: a kernel that computes anything else is found, on a CPU as well.
func TestCheckLayersKnowsFormulas(t *testing.T) {
	s := tensor.NewScope()
	defer s.Close()
	for _, x := range layerChecksOf(t, s, tensor.Float32) {
		for i, operand := range x.in {
			if !operand.Dtype().IsFloat() {
				continue
			}
			wrong := slices.Clone(x.in)
			wrong[i] = tensor.MulScalar(operand, 1.01)
			t.Run(fmt.Sprintf("%s/%s", x.kernel.name, x.kernel.in[i].name), func(t *testing.T) {
				if err := x.compare(x.launch.run(x.kernel, wrong, x.shapes...)); err == nil {
					t.Error("nothing is found")
				}
			})
		}
	}
}

func TestVerdicts(t *testing.T) {
	var v Verdicts[int]
	calls := 0
	check := func(err error) func() error {
		return func() error { calls++; return err }
	}
	wrong := errors.New("upside down")
	for _, step := range []struct {
		name  string
		key   int
		check func() error
		want  string
		calls int
	}{
		{"short of memory", 1, check(errors.WithStack(&tensor.MemoryError{})), "memory", 1},
		{"then right", 1, check(nil), "", 2},
		{"known", 1, check(wrong), "", 2},
		{"another", 2, check(wrong), "upside down", 3},
		{"remembered", 2, check(nil), "upside down", 3},
		{"misuse", 3, func() error { panic(tensor.NewError("here", nil, "no such kernel")) }, "no such kernel", 3},
		{"remembered misuse", 3, check(nil), "no such kernel", 3},
	} {
		if err := v.Of(step.key, step.check); (err != nil) != (step.want != "") || err != nil && !strings.Contains(err.Error(), step.want) || calls != step.calls {
			t.Errorf("%s: %v after %d calls, want %q after %d", step.name, err, calls, step.want, step.calls)
		}
	}
	if v.Set(4, wrong); !v.Known(4) || v.Known(5) || v.Of(4, check(nil)) != wrong {
		t.Error("Set is no verdict")
	}
}
