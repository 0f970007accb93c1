package main

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// Rounding the inputs of strong gates to bfloat16 moves dg by more than the
// tolerance. That is no fault of the implementation; a spoilt reference is.
func TestRounding(t *testing.T) {
	g := recipe{B: 1, T: 130, Hk: 1, Hv: 2, K: 16, V: 16, h0: true, A: 16}.make(t)
	path := g.save(t, "case")
	code, out, errOut := start("-dtype", "bfloat16", path)
	const remark = `(?m)^case +dg .* ok\n    for inputs rounded to bfloat16; against the file's reference,\n    head 0: the relative error is 3\.\d\de-02, want at most 0\.02$`
	if code != 0 || errOut != "" || !regexp.MustCompile(remark).MatchString(out) {
		t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
	}
	if code, out, _ := start("-dtype", "float32", path); code != 0 || strings.Contains(out, "rounded") {
		t.Errorf("float32: exit code %d\n%s", code, out)
	}
	for name, spoil := range map[string]func(x []float64){
		"off by 5 %": func(x []float64) {
			for i := range x {
				x[i] *= 1.05
			}
		},
		"NaN": func(x []float64) { x[0] = math.NaN() },
	} {
		path := g.with(func(x map[string]*tensor.Tensor, _ map[string]string) {
			dg := elementsOf(t, x["dg"])
			spoil(dg)
			x["dg"] = tensor.FromSlice(dg, x["dg"].Shape()...)
		}).save(t, "case")
		if code, out, _ := start("-dtype", "bfloat16", path); code != 1 || strings.Contains(out, "rounded") || strings.Count(out, "FAIL") != 1 {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
}
