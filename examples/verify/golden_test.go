package main

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// recipe says how to make a golden file. Its results are those of the recurrent
// form in float64.
type recipe struct {
	B, T, Hk, Hv, K, V int
	h0, dht, l2norm    bool
	parallel           bool    // keys of one direction
	β                  float64 // of all tokens; 0: drawn between 0 and 1
	A                  float64 // gates are -A·softplus(N/2 + 1); 0: mild ones
	sampled            []int   // tokens; nil: all
	cuSeqlens          []int
	stored             tensor.Dtype // of q, k, v and do; Bool, the zero value, means float32
}

// golden is the contents of a golden file.
type golden struct {
	tensors  map[string]*tensor.Tensor
	metadata map[string]string
}

// make draws the inputs and computes the results.
func (r recipe) make(t *testing.T) golden {
	t.Helper()
	list := func(x []int) string { return strings.ReplaceAll(fmt.Sprint(x), " ", ", ") }
	N := r.B
	if r.cuSeqlens != nil {
		N = len(r.cuSeqlens) - 1
	}
	digit := map[bool]string{false: "0", true: "1"}
	g := golden{tensors: map[string]*tensor.Tensor{}, metadata: map[string]string{
		"scale": strconv.FormatFloat(1/math.Sqrt(float64(r.K)), 'g', -1, 64), "N": strconv.Itoa(N),
		"qk_l2norm": digit[r.l2norm], "l2norm_eps": "1e-06", "cu_seqlens": list(r.cuSeqlens), "sample_t": list(r.sampled),
		"has_h0": digit[r.h0], "has_dht": digit[r.dht], "output_final_state": "1",
	}}
	for name, n := range map[string]int{"B": r.B, "T": r.T, "Hk": r.Hk, "Hv": r.Hv, "K": r.K, "V": r.V} {
		g.metadata[name] = strconv.Itoa(n)
	}

	random := rand.New(rand.NewPCG(1, 2))
	normal := func(int) float64 { return random.NormFloat64() }
	put := func(name string, d tensor.Dtype, element func(i int) float64, shape ...int) {
		n := 1
		for _, size := range shape {
			n *= size
		}
		x := make([]float64, n)
		for i := range x {
			x[i] = element(i)
		}
		g.tensors[name] = tensor.AsType(tensor.FromSlice(x, shape...), d)
	}
	if r.stored == tensor.Bool {
		r.stored = tensor.Float32
	}
	put("q", r.stored, normal, r.B, r.T, r.Hk, r.K)
	var key []float64
	put("k", r.stored, func(i int) float64 {
		if i%r.K == 0 && (i == 0 || !r.parallel) {
			key = unit(random, r.K)
		}
		return key[i%r.K]
	}, r.B, r.T, r.Hk, r.K)
	put("v", r.stored, normal, r.B, r.T, r.Hv, r.V)
	put("do", r.stored, normal, r.B, r.T, r.Hv, r.V)
	put("g", tensor.Float32, func(int) float64 {
		if r.A != 0 {
			return -r.A * math.Log1p(math.Exp(random.NormFloat64()/2+1))
		}
		return -random.Float64() / 8
	}, r.B, r.T, r.Hv)
	put("beta", tensor.Float32, func(int) float64 {
		if r.β != 0 {
			return r.β
		}
		return random.Float64()
	}, r.B, r.T, r.Hv)
	if r.h0 {
		put("h0", tensor.Float32, normal, N, r.Hv, r.K, r.V)
	}
	if r.dht {
		put("dht", tensor.Float32, normal, N, r.Hv, r.K, r.V)
	}
	if r.cuSeqlens != nil {
		put(cuSeqlensName, tensor.Int32, func(i int) float64 { return float64(r.cuSeqlens[i]) }, N+1)
	}
	g.solve(t, r)
	return g
}

func unit(random *rand.Rand, n int) []float64 {
	x, sum := make([]float64, n), 0.0
	for i := range x {
		x[i] = random.NormFloat64()
		sum += x[i] * x[i]
	}
	for i := range x {
		x[i] /= math.Sqrt(sum)
	}
	return x
}

// solve puts the results of the inputs into the file.
func (g golden) solve(t *testing.T, r recipe) {
	t.Helper()
	axes := map[string]int{"S": r.T}
	if r.sampled != nil {
		axes["S"] = len(r.sampled)
	}
	for name, value := range g.metadata {
		axes[name], _ = strconv.Atoi(value)
	}
	shapes := map[string][]int{}
	for _, e := range resultEntries {
		if e.flag != "" && g.metadata[e.flag] != "1" {
			continue
		}
		for _, axis := range strings.Fields(e.axes) {
			shapes[e.name] = append(shapes[e.name], axes[axis])
		}
		g.tensors[e.name] = tensor.Zeros(tensor.Float64, shapes[e.name]...)
	}
	f, _, err := newFixture(g.tensors, g.metadata)
	if err != nil {
		t.Fatal(err)
	}
	got, err := variant{implementation: "recurrent", dtype: tensor.Float64}.compute(f)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range got {
		g.tensors[name] = tensor.FromSlice(x, shapes[name]...)
	}
}

const testdata = "../../testdata/golden"

// known loads one of the project's golden files.
func known(t *testing.T, name string) golden {
	t.Helper()
	tensors, metadata, err := tensor.Load(filepath.Join(testdata, name+extension))
	if err != nil {
		t.Fatal(err)
	}
	return golden{tensors, metadata}
}

func elementsOf(t *testing.T, x *tensor.Tensor) []float64 {
	t.Helper()
	data, err := elements(x)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// save writes the file into a new folder.
func (g golden) save(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+extension)
	if err := tensor.Save(path, g.tensors, g.metadata); err != nil {
		t.Fatal(err)
	}
	return path
}

// with returns the file with some of its contents changed.
func (g golden) with(change func(tensors map[string]*tensor.Tensor, metadata map[string]string)) golden {
	g.tensors, g.metadata = maps.Clone(g.tensors), maps.Clone(g.metadata)
	change(g.tensors, g.metadata)
	return g
}
