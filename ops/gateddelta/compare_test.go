package gateddelta

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// tolerance returns the bound of the relative L2 error of a result.
func (p problem) tolerance(d tensor.Dtype, name string) float64 {
	sensitive := name == "dg" || name == "dbeta"
	switch d {
	case tensor.Float64:
		return 1e-9
	case tensor.BFloat16:
		if name == "dg" {
			return 2e-2
		}
		return 1e-2
	case tensor.Float16:
		if sensitive {
			return 4e-3
		}
		return 2e-3
	}
	if sensitive && p.degenerateKeys {
		return 3e-5
	}
	return 1e-5
}

// check runs a variant and compares all that it gives with want.
func (p problem) check(t *testing.T, v variant, want result) {
	t.Helper()
	got := p.run(t, v)
	for _, name := range resultNames {
		if got[name] == nil {
			continue
		}
		if want[name] == nil {
			t.Errorf("%s: there is nothing to compare with", name)
			continue
		}
		p.compare(t, v, name, got[name], want[name])
	}
}

// compare checks one result, and besides the whole of it the parts in which
// large entries elsewhere would hide an error.
func (p problem) compare(t *testing.T, v variant, name string, got, want []float64) {
	t.Helper()
	tol := p.tolerance(v.dtype, name)
	if name == "dg" && p.vanishingDg {
		bound := 1e-9
		if v.dtype == tensor.Float64 {
			bound = 1e-17
		}
		for i := range got {
			if !(math.Abs(got[i]-want[i]) <= bound) {
				t.Errorf("dg[%d] = %g, want %g within %g", i, got[i], want[i], bound)
			}
		}
		return
	}
	check := func(part string, keep func(i int) bool) {
		t.Helper()
		got, want := got, want
		if keep != nil {
			got, want = pick(got, keep), pick(want, keep)
		}
		e := relative(got, want, smallest(v.dtype))
		report.add(v, p, name+part, e)
		if !(e <= tol) {
			t.Errorf("%s%s: relative error %.2e, want at most %.0e", name, part, e, tol)
		}
	}
	check("", nil)
	switch name {
	case "dg":
		for h := range p.Hv {
			check(fmt.Sprintf("/head%d", h), func(i int) bool { return i%p.Hv == h })
		}
		check("/strong", func(i int) bool { return p.g[i] < -5 })
	case "dk": // the gradient of a normalised zero key is far larger than others
		if p.l2eps > 0 {
			zero := func(i int) bool {
				return !slices.ContainsFunc(p.k[i-i%p.K:][:p.K], func(x float64) bool { return x != 0 })
			}
			check("/zero-keys", zero)
			check("/other-keys", func(i int) bool { return !zero(i) })
		}
	}
}

func pick(x []float64, keep func(int) bool) []float64 {
	var y []float64
	for i, v := range x {
		if keep(i) {
			y = append(y, v)
		}
	}
	return y
}

// smallest is the least normal number of the arithmetic of a run.
func smallest(d tensor.Dtype) float64 {
	if d == tensor.Float64 {
		return 0x1p-1022
	}
	return 0x1p-126
}

// relative returns ‖got − want‖ / ‖want‖. A want of zeros is met by zeros alone,
// and one below the range of the arithmetic by anything below it.
func relative(got, want []float64, tiny float64) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var diff, norm, most, size float64
	for i, w := range want {
		size = max(size, math.Abs(w))
		most = max(most, math.Abs(got[i]))
		if math.IsNaN(got[i]) {
			return math.NaN()
		}
	}
	switch {
	case size == 0 && most == 0, size > 0 && size < tiny && most < tiny:
		return 0
	case size == 0:
		return math.Inf(1)
	}
	for i, w := range want { // scaled, since squares may leave the range
		diff += (got[i] - w) / size * ((got[i] - w) / size)
		norm += w / size * (w / size)
	}
	return math.Sqrt(diff / norm)
}

// report collects the worst errors of all comparisons, to be read with -v.
var report = worst{by: map[string]entry{}}

type worst struct {
	mu sync.Mutex
	by map[string]entry
}

type entry struct {
	err   float64
	where string
}

func (w *worst) add(v variant, p problem, name string, e float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, _, _ = strings.Cut(name, "/head")
	key := fmt.Sprintf("%s %s %s", v.implementation, v.dtype, name)
	if e > w.by[key].err || w.by[key].where == "" {
		w.by[key] = entry{e, v.String() + " " + p.String()}
	}
}

func (w *worst) log(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(w.by)) {
		t.Logf("%-34s %.1e  %s", key, w.by[key].err, w.by[key].where)
	}
	clear(w.by)
}
