package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// formatName is the value of the metadata key "format", where a file has it.
const formatName = "gdr-1"

// fixture is a problem for the gated delta rule, and its results.
type fixture struct {
	// sizes are those of the axes: B, T, Hk, Hv, K, V, the number of states N,
	// and the number S of tokens that o, dq, dk and dv are known for.
	sizes map[string]int

	scale     float64
	l2norm    bool    // the rule sees normalised q and k
	eps       float64 // of the norm; 0 without
	cuSeqlens []int   // where the sequences in T start and end; nil: there are B
	sampled   []int   // the S tokens; nil: all

	inputs map[string]*tensor.Tensor // as stored, of any floating-point dtypes
	want   map[string][]float64
}

// entry is a tensor of the format.
type entry struct {
	name string
	axes string // keys of fixture.sizes
	flag string // metadata key that says whether it is there; "": always
}

// sampled reports whether the file may hold some tokens of the tensor only.
func (e entry) sampled() bool { return strings.Contains(e.axes, "S") }

var inputEntries = []entry{
	{"q", "B T Hk K", ""},
	{"k", "B T Hk K", ""},
	{"v", "B T Hv V", ""},
	{"g", "B T Hv", ""},
	{"beta", "B T Hv", ""},
	{"do", "B T Hv V", ""},
	{"h0", "N Hv K V", "has_h0"},
	{"dht", "N Hv K V", "has_dht"},
}

var resultEntries = []entry{
	{"o", "B S Hv V", ""},
	{"ht", "N Hv K V", "output_final_state"},
	{"dq", "B S Hk K", ""},
	{"dk", "B S Hk K", ""},
	{"dv", "B S Hv V", ""},
	{"dg", "B T Hv", ""},
	{"dbeta", "B T Hv", ""},
	{"dh0", "N Hv K V", "has_h0"},
}

// cuSeqlensName is a tensor, and the metadata that repeats it.
const cuSeqlensName = "cu_seqlens"

// newFixture checks the contents of a file against the format and against
// themselves. The results are on the host, the inputs stay the caller's.
// Strangers are the names of tensors that the format does not have.
func newFixture(tensors map[string]*tensor.Tensor, values map[string]string) (f *fixture, strangers []string, err error) {
	m := metadata{values: values}
	f = &fixture{sizes: map[string]int{}, inputs: map[string]*tensor.Tensor{}, want: map[string][]float64{}}
	if format, ok := values["format"]; ok && format != formatName {
		return nil, nil, errors.Errorf("metadata format is %.60q, want %q", format, formatName)
	}
	for _, name := range []string{"B", "T", "Hk", "Hv", "K", "V", "N"} {
		f.sizes[name] = m.count(name)
	}
	f.scale = m.number("scale")
	f.l2norm = m.flag("qk_l2norm")
	if f.l2norm {
		f.eps = m.number("l2norm_eps")
	}
	f.cuSeqlens, f.sampled = m.list(cuSeqlensName), m.list("sample_t")
	flags := map[string]bool{"": true}
	for _, name := range []string{"has_h0", "has_dht", "output_final_state"} {
		flags[name] = m.flag(name)
	}
	if m.err != nil {
		return nil, nil, m.err
	}
	if err := f.checkSizes(); err != nil {
		return nil, nil, err
	}
	if err := checkCuSeqlens(tensors[cuSeqlensName], f.cuSeqlens); err != nil {
		return nil, nil, err
	}

	f.sizes["S"] = f.sizes["T"]
	if f.sampled != nil {
		f.sizes["S"] = len(f.sampled)
	}
	known := map[string]bool{cuSeqlensName: true}
	for _, e := range slices.Concat(inputEntries, resultEntries) {
		known[e.name] = true
		if err := f.checkTensor(e, tensors[e.name], flags[e.flag]); err != nil {
			return nil, nil, err
		}
	}
	for _, e := range inputEntries {
		if flags[e.flag] {
			f.inputs[e.name] = tensors[e.name]
		}
	}
	for _, e := range resultEntries {
		if flags[e.flag] {
			if f.want[e.name], err = elements(tensors[e.name]); err != nil {
				return nil, nil, errors.WithMessagef(err, "tensor %s", e.name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if !known[name] {
			strangers = append(strangers, name)
		}
	}
	return f, strangers, nil
}

// checkSizes looks for contradictions within the metadata.
func (f *fixture) checkSizes() error {
	B, T, N := f.sizes["B"], f.sizes["T"], f.sizes["N"]
	switch {
	case f.sizes["Hv"]%f.sizes["Hk"] != 0:
		return errors.Errorf("metadata Hv is %d, want a multiple of Hk, which is %d", f.sizes["Hv"], f.sizes["Hk"])
	case f.scale == 0:
		return errors.New("metadata scale is 0, want another number")
	case f.l2norm && f.eps <= 0:
		return errors.Errorf("metadata l2norm_eps is %v, want a number above 0", f.eps)
	case f.cuSeqlens == nil && N != B:
		return errors.Errorf("metadata N is %d, want B, which is %d, without cu_seqlens", N, B)
	}
	for i, t := range f.sampled {
		if t < 0 || t >= T {
			return errors.Errorf("metadata sample_t[%d] is %d, want a token from 0 to %d", i, t, T-1)
		}
	}
	if f.cuSeqlens == nil {
		return nil
	}
	last := len(f.cuSeqlens) - 1
	switch {
	case B != 1:
		return errors.Errorf("metadata B is %d, want 1 with cu_seqlens", B)
	case last != N:
		return errors.Errorf("metadata cu_seqlens has %d numbers, want N+1 = %d", last+1, N+1)
	case f.cuSeqlens[0] != 0 || f.cuSeqlens[last] > T:
		return errors.Errorf("metadata cu_seqlens goes from %d to %d, want 0 to at most T = %d", f.cuSeqlens[0], f.cuSeqlens[last], T)
	case !slices.IsSorted(f.cuSeqlens):
		return errors.New("metadata cu_seqlens falls somewhere, want numbers that never do")
	}
	return nil
}

// checkCuSeqlens compares the tensor with the metadata; nil is absent.
func checkCuSeqlens(t *tensor.Tensor, want []int) error {
	switch {
	case t == nil && want == nil:
		return nil
	case t == nil:
		return errors.New("tensor cu_seqlens is missing, the metadata has it")
	case want == nil:
		return errors.New("tensor cu_seqlens is there, the metadata has an empty one")
	case t.Dtype() != tensor.Int32:
		return errors.Errorf("tensor cu_seqlens is %s, want int32", t.Dtype())
	case !slices.Equal(t.Shape(), []int{len(want)}):
		return errors.Errorf("tensor cu_seqlens has shape %v, want [%d] as in the metadata", t.Shape(), len(want))
	}
	got, err := tensor.Data[int32](t)
	if err != nil {
		return errors.WithMessage(err, "tensor cu_seqlens")
	}
	for i, x := range got {
		if int(x) != want[i] {
			return errors.Errorf("tensor cu_seqlens[%d] is %d, the metadata has %d", i, x, want[i])
		}
	}
	return nil
}

// checkTensor checks presence, dtype and shape; nil is absent.
func (f *fixture) checkTensor(e entry, t *tensor.Tensor, expected bool) error {
	switch {
	case t == nil && !expected:
		return nil
	case t == nil && e.flag != "":
		return errors.Errorf("tensor %s is missing, metadata %s is 1", e.name, e.flag)
	case t == nil:
		return errors.Errorf("tensor %s is missing", e.name)
	case !expected:
		return errors.Errorf("tensor %s is there, metadata %s is 0", e.name, e.flag)
	case !t.Dtype().IsFloat():
		return errors.Errorf("tensor %s is %s, want floating point", e.name, t.Dtype())
	}
	names := strings.Fields(e.axes)
	want := make([]int, len(names))
	for i, name := range names {
		want[i] = f.sizes[name]
	}
	if !slices.Equal(t.Shape(), want) {
		return errors.Errorf("tensor %s has shape %v, want [%s] = %v", e.name, t.Shape(), strings.Join(names, ", "), want)
	}
	return nil
}

// elements reads a tensor of any floating-point dtype.
func elements(t *tensor.Tensor) (x []float64, err error) {
	s := tensor.NewScope()
	defer s.Close()
	var wide *tensor.Tensor
	if err := tensor.Try(func() { wide = tensor.AsType(s.Use(t), tensor.Float64) }); err != nil {
		return nil, err // too large for this machine
	}
	return tensor.Data[float64](wide)
}
