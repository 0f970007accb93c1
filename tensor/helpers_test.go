package tensor

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// newTestScope opens a scope that ends with the test.
func newTestScope(t testing.TB) *Scope {
	s := NewScope()
	t.Cleanup(s.Close)
	return s
}

// must returns v and ends the test at an error.
func must[V any](t testing.TB, v V, err error) V {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// floats reads a tensor of any type as float64.
func floats(t testing.TB, x *Tensor) []float64 {
	t.Helper()
	data, err := Data[float64](AsType(x, Float64))
	return must(t, data, err)
}

// wantTensor checks dtype, shape and elements, NaN being equal to NaN.
func wantTensor(t testing.TB, got *Tensor, dt Dtype, shape []int, want ...float64) {
	t.Helper()
	if got.Dtype() != dt || !slices.Equal(got.Shape(), shape) {
		t.Errorf("got %s %v, want %s %v", got.Dtype(), got.Shape(), dt, shape)
		return
	}
	wantClose(t, floats(t, got), want, 0)
}

// wantClose checks each element to a tolerance relative to max(1, |want|).
func wantClose(t testing.TB, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d elements, want %d", len(got), len(want))
		return
	}
	for i := range got {
		if !near(got[i], want[i], tolerance) {
			t.Errorf("element %d is %v, want %v", i, got[i], want[i])
			return
		}
	}
}

func near(got, want, tolerance float64) bool {
	if got == want || got != got && want != want {
		return true
	}
	return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

// wantPanic checks that f panics with *Error whose text holds each part.
func wantPanic(t testing.TB, f func(), parts ...string) *Error {
	t.Helper()
	err := Try(f)
	if err == nil {
		t.Errorf("no panic, want one about %q", parts)
		return nil
	}
	wantError(t, err, parts...)
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("Try returned %T, want *Error in it", err)
	}
	return e
}

// wantError checks that an error's text holds each part.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one about %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error %q does not hold %q", err, p)
		}
	}
}

// cutTensor makes a tensor of 1,000 numbers whose evaluation fails: its file
// was cut after it was opened.
func cutTensor(t testing.TB) *Tensor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cut %s%n.safetensors")
	err := Save(path, map[string]*Tensor{"x": Ones(Float32, 1000)}, nil)
	must(t, 0, err)
	loaded, _, err := Load(path)
	must(t, 0, err)
	must(t, 0, os.Truncate(path, 1000))
	return loaded["x"]
}

const cutText = "cut %s%n.safetensors: the file ended before the data of a tensor: it was cut after it was opened"

// settle returns the number of live handles after the collector took what
// nothing refers to.
func settle() int {
	collect()
	runtime.GC()
	collect()
	return mlxc.Live()
}

// array is the plain Go form of a tensor that operations are checked against.
type array struct {
	shape []int
	data  []float64
}

// at returns the element at an index that broadcasts.
func (a array) at(index []int) float64 {
	pos := 0
	lead := len(index) - len(a.shape)
	for i, d := range a.shape {
		pos *= d
		if d != 1 {
			pos += index[lead+i]
		}
	}
	return a.data[pos]
}

// each calls f with every index of a shape in row-major order.
func each(shape []int, f func(index []int)) {
	index := make([]int, len(shape))
	for range product(shape) {
		f(index)
		for i := len(index) - 1; i >= 0; i-- {
			if index[i]++; index[i] < shape[i] {
				break
			}
			index[i] = 0
		}
	}
}

// mapArray applies f to the elements of broadcast arrays.
func mapArray(f func(v ...float64) float64, in ...array) array {
	shape := []int{}
	for _, a := range in {
		var err error
		if shape, err = BroadcastShapes(shape, a.shape); err != nil {
			panic(err)
		}
	}
	out := array{shape: shape, data: make([]float64, 0, product(shape))}
	args := make([]float64, len(in))
	each(shape, func(index []int) {
		for i, a := range in {
			args[i] = a.at(index)
		}
		out.data = append(out.data, f(args...))
	})
	return out
}

// reduceArray folds the elements along axes, which keep length 1.
func reduceArray(f func(v []float64) float64, a array, axes []int) array {
	if len(axes) == 0 {
		for i := range a.shape {
			axes = append(axes, i)
		}
	}
	outer, inner := slices.Clone(a.shape), make([]int, len(a.shape))
	for i := range inner {
		inner[i] = 1
	}
	for _, ax := range axes {
		ax = (ax + len(a.shape)) % len(a.shape)
		outer[ax], inner[ax] = 1, a.shape[ax]
	}
	out := array{shape: outer}
	each(outer, func(base []int) {
		var list []float64
		sum := make([]int, len(base))
		each(inner, func(offset []int) {
			for i := range sum {
				sum[i] = base[i] + offset[i]
			}
			list = append(list, a.at(sum))
		})
		out.data = append(out.data, f(list))
	})
	return out
}

// layout is a tensor of some memory layout and what it holds.
type layout struct {
	name string
	t    *Tensor
	ref  array
}

// layouts makes tensors of one shape and type that lie differently in memory:
// dense, transposed, strided, reversed and broadcast. The values are gen's,
// rounded to the type.
func layouts(t testing.TB, dt Dtype, shape []int, gen func(i int) float64) []layout {
	t.Helper()
	make1 := func(shape []int) *Tensor {
		data := make([]float64, product(shape))
		for i := range data {
			data[i] = gen(i)
		}
		return AsType(FromSlice(data, append([]int{}, shape...)...), dt)
	}
	if len(shape) == 0 {
		x := AsType(Scalar(gen(0)), dt)
		return []layout{{"scalar", x, array{[]int{}, floats(t, x)}}}
	}
	n := len(shape)
	back := slices.Clone(shape)
	slices.Reverse(back)
	wide := slices.Clone(shape)
	wide[n-1] = 2*wide[n-1] + 1
	start, stop, stride := make([]int, n), slices.Clone(wide), make([]int, n)
	for i := range stride {
		stride[i] = 1
	}
	stride[n-1], start[n-1] = 2, 1
	list := []layout{
		{name: "dense", t: make1(shape)},
		{name: "transposed", t: Transpose(make1(back))},
		{name: "strided", t: Slice(make1(wide), start, stop, stride...)},
		{name: "flipped", t: Flip(make1(shape), 0)},
	}
	if shape[0] > 0 {
		thin := slices.Clone(shape)
		thin[0] = 1
		list = append(list, layout{name: "broadcast", t: BroadcastTo(make1(thin), shape...)})
	}
	for i := range list {
		if !slices.Equal(list[i].t.Shape(), shape) {
			t.Fatalf("%s has shape %v, want %v", list[i].name, list[i].t.Shape(), shape)
		}
		list[i].ref = array{shape, floats(t, list[i].t)}
	}
	return list
}

// smallShapes are shapes that every element-wise operation must take.
var smallShapes = [][]int{{}, {5}, {2, 3}, {2, 1, 4}, {0}, {3, 0, 2}}

// ulp is how close results of a type are to be, relative to max(1, |x|).
func ulp(dt Dtype) float64 {
	switch dt {
	case Float64:
		return 1e-14
	case Float32:
		return 2e-6
	case Float16:
		return 2e-3
	case BFloat16:
		return 1.6e-2
	}
	return 0
}
