package gateddelta

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// golden loads the problems and results in testdata/golden, which come from
// another project's float64 reference.
func golden(t *testing.T) map[string]goldenCase {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/golden/*.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]goldenCase{}
	for _, path := range paths {
		tensors, meta, err := tensor.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		cases[strings.TrimSuffix(filepath.Base(path), ".safetensors")] = newGoldenCase(t, tensors, meta)
	}
	if len(cases) != 16 {
		t.Fatalf("found %d golden cases, want 16", len(cases))
	}
	return cases
}

type goldenCase struct {
	problem
	want result
}

func newGoldenCase(t *testing.T, tensors map[string]*tensor.Tensor, meta map[string]string) goldenCase {
	t.Helper()
	number := func(key string) float64 {
		x, err := strconv.ParseFloat(meta[key], 64)
		if err != nil {
			t.Fatalf("metadata %q of %s: %v", key, meta["name"], err)
		}
		return x
	}
	size := func(key string) int { return int(number(key)) }
	data := func(name string) []float64 {
		if tensors[name] == nil {
			return nil
		}
		return read(t, tensors[name])
	}
	c := goldenCase{want: result{}}
	c.problem = problem{
		B: size("B"), T: size("T"), Hk: size("Hk"), Hv: size("Hv"), K: size("K"), V: size("V"),
		scale: number("scale"), wantFinalState: meta["output_final_state"] == "1",
		q: data("q"), k: data("k"), v: data("v"), g: data("g"), β: data("beta"),
		h0: data("h0"), do: data("do"), dht: data("dht"),
		name: meta["name"], degenerateKeys: meta["name"] == "t65_collinear",
	}
	if meta["qk_l2norm"] == "1" {
		c.l2eps = number("l2norm_eps")
	}
	if err := json.Unmarshal([]byte(meta["cu_seqlens"]), &c.cu); err != nil {
		t.Fatalf("cu_seqlens of %s: %v", meta["name"], err)
	}
	if len(c.cu) == 0 {
		c.cu = nil
	}
	for _, name := range resultNames {
		if x := data(name); x != nil {
			c.want[name] = x
		}
	}
	return c
}

func TestGolden(t *testing.T) {
	cases := golden(t)
	for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
		for _, v := range variants(d) {
			for name, c := range cases {
				t.Run(v.String()+"/"+name, func(t *testing.T) { c.check(t, v, c.want) })
			}
		}
	}
	report.log(t)
}

// TestOracleMeetsGolden says that the oracle computes what the other project's
// reference does.
func TestOracleMeetsGolden(t *testing.T) {
	for name, c := range golden(t) {
		got := c.solve()
		for output, want := range c.want {
			if e := relative(got[output], want, 0); e > 1e-12 {
				t.Errorf("%s: %s differs by %.1e", name, output, e)
			}
		}
	}
}
