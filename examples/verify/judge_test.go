package main

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

func TestCompare(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, test := range []struct {
		name         string
		got, want    []float64
		error, bound float64
		what         string
	}{
		{"equal", []float64{1, -2}, []float64{1, -2}, 0, 0.1, "relative"},
		{"relative L2", []float64{3, 4.5}, []float64{3, 4}, 0.1, 0.1, "relative"},
		{"beyond squares", []float64{3e-200, 4.5e-200}, []float64{3e-200, 4e-200}, 0.1, 0.1, "relative"},
		{"beyond squares upwards", []float64{3e200, 4.5e200}, []float64{3e200, 4e200}, 0.1, 0.1, "relative"},
		{"zero met", []float64{0, 0}, []float64{0, 0}, 0, 0, "the reference is zero"},
		{"zero missed", []float64{0, -1e-300}, []float64{0, 0}, 1e-300, 0, "the reference is zero"},
		{"below the range", []float64{1e-301, 0}, []float64{0, 2e-301}, 1e-301, 1e-300, "below the dtype's range"},
		{"above a reference below the range", []float64{1e-3}, []float64{2e-301}, 1e-3, 1e-300, "below the dtype's range"},
		{"NaN", []float64{0, nan}, []float64{0, 1}, nan, 0.1, "the result holds NaN"},
		{"NaN for zero", []float64{nan}, []float64{0}, nan, 0.1, "the result holds NaN"},
		{"infinite", []float64{1, inf}, []float64{1, 1}, nan, 0.1, "the result holds +Inf"},
		{"NaN reference", []float64{0, nan}, []float64{0, nan}, nan, 0.1, "the reference holds NaN"},
		{"infinite reference", []float64{-inf}, []float64{-inf}, nan, 0.1, "the reference holds -Inf"},
		{"too few", []float64{1}, []float64{1, 0}, nan, 0.1, "1 elements for a reference of 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := compare(test.got, test.want, 0.1, 1e-300, 0)
			same := math.Abs(f.error-test.error) <= 1e-12*test.error || math.IsNaN(f.error) && math.IsNaN(test.error)
			if !same || f.bound != test.bound || !strings.Contains(f.what, test.what) {
				t.Errorf("got %+v, want the error %g, the bound %g and %q", f, test.error, test.bound, test.what)
			}
			if f.ok() && !(test.error <= test.bound) {
				t.Error("it is accepted")
			}
		})
	}
}

func TestCompareAbsolute(t *testing.T) {
	for _, test := range []struct {
		name      string
		got, want []float64
		error     float64
		ok        bool
	}{
		{"within", []float64{1e-12, 5e-10}, []float64{2e-12, 0}, 5e-10, true},
		{"beyond", []float64{0, 5e-9}, []float64{2e-12, 0}, 5e-9, false},
		{"zero met", []float64{0, 0}, []float64{0, 0}, 0, true},
		{"zero missed", []float64{0, 1e-30}, []float64{0, 0}, 1e-30, false},
		{"NaN", []float64{math.NaN()}, []float64{1e-12}, math.NaN(), false},
	} {
		f := compareAbsolute(test.got, test.want, 1e-9)
		if same := f.error == test.error || math.IsNaN(f.error) && math.IsNaN(test.error); !same || f.ok() != test.ok {
			t.Errorf("%s: got %+v, want the error %g, accepted: %v", test.name, f, test.error, test.ok)
		}
	}
}

func TestTolerance(t *testing.T) {
	for _, test := range []struct {
		d         tensor.Dtype
		name      string
		any, hard float64 // without and with parallel keys
	}{
		{tensor.Float64, "o", 1e-9, 1e-9},
		{tensor.Float64, "dg", 1e-9, 1e-9},
		{tensor.Float32, "o", 1e-5, 1e-5},
		{tensor.Float32, "dk", 1e-5, 1e-5},
		{tensor.Float32, "dh0", 1e-5, 1e-5},
		{tensor.Float32, "dg", 1e-5, 3e-5},
		{tensor.Float32, "dbeta", 1e-5, 3e-5},
		{tensor.BFloat16, "dv", 1e-2, 1e-2},
		{tensor.BFloat16, "dbeta", 1e-2, 1e-2},
		{tensor.BFloat16, "dg", 2e-2, 2e-2},
		{tensor.Float16, "ht", 2e-3, 2e-3},
		{tensor.Float16, "dbeta", 4e-3, 4e-3},
		{tensor.Float16, "dg", 4e-3, 4e-3},
	} {
		if a, h := tolerance(test.d, test.name, false), tolerance(test.d, test.name, true); a != test.any || h != test.hard {
			t.Errorf("%s of %s: %g, with parallel keys %g; want %g and %g", test.name, test.d, a, h, test.any, test.hard)
		}
	}
}

// faulty are the parts of a result that are not accepted.
func faulty(findings []finding) []string {
	var parts []string
	for _, f := range findings {
		if !f.ok() {
			parts = append(parts, f.part)
		}
	}
	return parts
}

func TestJudge(t *testing.T) {
	// Two heads, the second with strong gates but for its last token.
	two := judge{dtype: tensor.Float32, g: []float64{-0.1, -20, -0.1, -20, -0.1, -1}, heads: make([]head, 2)}
	dg := []float64{1, 1e-6, 2, 1e-6, 3, 1e-3}
	// A head of which dg vanishes beside one with other strong gates.
	vanishes := judge{dtype: tensor.Float32, g: []float64{-20, -20, -20, -20}, heads: []head{{}, {parallel: true, vanishing: true}}}
	// A zero key in the second of three rows.
	zeroKey := judge{dtype: tensor.Float32, heads: make([]head, 1), lone: map[string][]bool{"dk": {false, true, false}}}
	dk := []float64{1, 2, 3000, 4000, 5, 6}

	for _, test := range []struct {
		name   string
		judge  judge
		result string
		want   []float64
		at     int // where the result differs
		by     float64
		faulty []string
	}{
		{"right", two, "dg", dg, 0, 0, nil},
		{"mild head", two, "dg", dg, 0, 1e-3, []string{"", "head 0"}},
		{"strong head", two, "dg", dg, 5, 1e-6, []string{"head 1"}},
		{"strong token", two, "dg", dg, 1, 1e-9, []string{"tokens with g < -5"}},
		{"strong token, dbeta", two, "dbeta", dg, 1, 1e-9, nil},
		{"within the absolute bound", vanishes, "dg", []float64{1e-6, 1e-12, 1e-6, 0}, 1, 9e-10, nil},
		{"beyond the absolute bound", vanishes, "dg", []float64{1, 1e-12, 1, 0}, 3, 2e-9, []string{"head 1"}},
		{"beside it", vanishes, "dg", []float64{1e-6, 1e-12, 1e-6, 0}, 0, 1e-10, []string{"", "head 0", "tokens with g < -5"}},
		{"zero key", zeroKey, "dk", dk, 3, 0.1, []string{"", "zero rows"}},
		{"other keys", zeroKey, "dk", dk, 0, 1e-3, []string{"other rows"}},
		{"other gradients", zeroKey, "dv", dk, 0, 1e-3, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := slices.Clone(test.want)
			got[test.at] += test.by
			findings := test.judge.judge(test.result, got, test.want)
			if parts := faulty(findings); !slices.Equal(parts, test.faulty) {
				t.Errorf("faulty are %q, want %q", parts, test.faulty)
			}
			if ok := worstOf(findings).ok(); ok != (test.faulty == nil) {
				t.Errorf("the worst finding %+v does not tell", worstOf(findings))
			}
		})
	}
}

func TestJudgeVanishing(t *testing.T) {
	for d, good := range map[tensor.Dtype]float64{tensor.Float64: 5e-18, tensor.Float32: 5e-10, tensor.Float16: 5e-10, tensor.BFloat16: 5e-10} {
		j := judge{dtype: d, g: []float64{-20, -20}, heads: []head{{parallel: true, vanishing: true}}}
		want := []float64{1e-25, -2e-25}
		if parts := faulty(j.judge("dg", []float64{good, 0}, want)); parts != nil {
			t.Errorf("%s: %g is refused for %q", d, good, parts)
		}
		if parts := faulty(j.judge("dg", []float64{10 * good, 0}, want)); !slices.Equal(parts, []string{"head 0"}) {
			t.Errorf("%s: %g is refused for %q only", d, 10*good, parts)
		}
	}
}

// Below the range of a result's dtype there is nothing but zero to expect.
func TestJudgeRange(t *testing.T) {
	for _, test := range []struct {
		d      tensor.Dtype
		name   string
		want   float64
		got    float64
		accept bool
	}{
		{tensor.Float32, "dg", 1e-44, 0, true},
		{tensor.BFloat16, "o", 1e-44, 0, true},
		{tensor.Float64, "dg", 1e-44, 0, false},
		{tensor.Float32, "dg", 1e-37, 0, false},
		{tensor.Float32, "dg", 1e-37, 0.6e-37, true}, // terms below the range are missing
		{tensor.Float32, "dg", 1e-37, 0.4e-37, false},
		{tensor.Float64, "dg", 1e-37, 0.6e-37, false},
		{tensor.Float16, "o", 1e-10, 0, true},
		{tensor.Float16, "o", 1e-10, 1e-3, false},
		{tensor.Float16, "ht", 1e-10, 0, false},
		{tensor.Float16, "dg", 1e-10, 0, false},
	} {
		j := judge{dtype: test.d, g: []float64{0}, heads: make([]head, 1), terms: 4}
		if ok := worstOf(j.judge(test.name, []float64{test.got}, []float64{test.want})).ok(); ok != test.accept {
			t.Errorf("%s of %s: %g for %g, accepted: %v", test.name, test.d, test.got, test.want, ok)
		}
	}
}

func TestFaults(t *testing.T) {
	bad := finding{part: "head 3", error: 0.5, bound: 1e-5, what: "the relative error"}
	nan := finding{error: math.NaN(), bound: 1e-5, what: "the result holds NaN"}
	for _, test := range []struct {
		findings []finding
		want     []string
	}{
		{[]finding{{error: 1e-6, bound: 1e-5}}, nil},
		{[]finding{nan, {}, bad}, []string{"the whole: the result holds NaN", "head 3: the relative error is 5.00e-01, want at most 1e-05"}},
		{[]finding{bad, bad, bad, bad, bad, bad}, []string{faults([]finding{bad})[0], faults([]finding{bad})[0], faults([]finding{bad})[0], faults([]finding{bad})[0], "and 2 parts more"}},
	} {
		if got := faults(test.findings); !slices.Equal(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestWorst(t *testing.T) {
	zeroMet, zeroMissed := finding{part: "met"}, finding{part: "missed", error: 1e-30}
	half, twice := finding{part: "half", error: 1, bound: 2}, finding{part: "twice", error: 2e-9, bound: 1e-9}
	nan := finding{part: "NaN", error: math.NaN(), bound: 1}
	for _, test := range []struct {
		findings []finding
		want     string
	}{
		{[]finding{zeroMet}, "met"},
		{[]finding{zeroMet, half}, "half"},
		{[]finding{half, twice, zeroMet}, "twice"},
		{[]finding{twice, zeroMissed}, "missed"},
		{[]finding{half, nan, twice}, "NaN"},
	} {
		if got := worstOf(test.findings); got.part != test.want {
			t.Errorf("the worst of %v is %q, want %q", test.findings, got.part, test.want)
		}
	}
}
