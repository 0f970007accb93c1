package mlxc

import (
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func newArray(t testing.TB, v float32) Array {
	t.Helper()
	m, err := NewData(unsafe.Pointer(&v), nil, Float32)
	if err != nil {
		t.Fatal(err)
	}
	return m.Array
}

func TestHandlesAreCounted(t *testing.T) {
	base := Live()
	a := newArray(t, 1)
	shared, err := Share(a)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Add(CPU, a, shared.Array)
	if err != nil {
		t.Fatal(err)
	}
	if got := Live() - base; got != 3 {
		t.Errorf("%d handles, want 3", got)
	}
	Free([]Array{0, a, 0})
	Free(nil)
	if got := Live() - base; got != 2 {
		t.Errorf("%d handles, want 2", got)
	}
	var wg sync.WaitGroup
	for _, h := range []Array{shared.Array, sum.Array} {
		wg.Go(func() { Release(h) })
	}
	wg.Wait()
	if got := Live() - base; got != 0 {
		t.Errorf("%d handles are left", got)
	}
}

func TestMadeDescribesAnyRank(t *testing.T) {
	a := newArray(t, 1)
	defer Free([]Array{a})
	for n := range 12 {
		shape := make([]int32, n)
		for i := range shape {
			shape[i] = int32(i%3 + 1)
		}
		m, err := BroadcastTo(CPU, a, shape)
		if err != nil {
			t.Fatal(err)
		}
		if m.NDim() != n || m.Dtype != Float32 {
			t.Errorf("%d axes of type %d, want %d", m.NDim(), m.Dtype, n)
		}
		for i, d := range shape {
			if m.Dim(i) != int(d) {
				t.Errorf("axis %d of %v has length %d", i, shape, m.Dim(i))
			}
		}
		Free([]Array{m.Array})
	}
}

// The position in mlx-c's sources and nothing else is cut off.
func TestErrorText(t *testing.T) {
	a, base := newArray(t, 1), Live()
	defer Free([]Array{a})
	_, err := Reshape(CPU, a, []int32{2})
	if err == nil || err.Error() != "[reshape] Cannot reshape array of size 1 into shape (2)." {
		t.Errorf("got %q", err)
	}
	if _, err := SumAxes(CPU, a, []int32{7}, false); err == nil || strings.Contains(err.Error(), ".cpp") {
		t.Errorf("got %q", err)
	}
	if Live() != base {
		t.Errorf("%d handles of failed calls", Live()-base)
	}
	for in, want := range map[string]string{
		"bad shape at /src/mlx/c/ops.cpp:123": "bad shape", "at most 3:4": "at most 3:4", "look at x:1 now": "look at x:1 now", "": "",
	} {
		if got := sourcePosition.ReplaceAllString(in, ""); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// Go functions are forgotten with the last closure that MLX holds of them.
func TestClosuresAreForgotten(t *testing.T) {
	count := func() int {
		closures.Lock()
		defer closures.Unlock()
		return len(closures.funcs)
	}
	before, base := count(), Live()
	a := newArray(t, 3)
	square := func(in []Made) ([]Array, error) {
		defer func() {
			for _, m := range in {
				Free([]Array{m.Array})
			}
		}()
		m, err := Square(CPU, in[0].Array)
		return []Array{m.Array}, err
	}
	outs, grads, err := VJP(CPU, square, []Array{a}, []Array{a})
	if err != nil || len(outs) != 1 || len(grads) != 1 {
		t.Fatalf("%d outputs, %d gradients, %v", len(outs), len(grads), err)
	}
	c, err := Compile(square, CPU)
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.Call([]Array{a})
	if err != nil || len(made) != 1 {
		t.Fatalf("%d results, %v", len(made), err)
	}
	c.Free()
	c.Free()
	if _, err := c.Call([]Array{a}); err == nil {
		t.Error("a freed function can be called")
	}
	Free([]Array{a, outs[0].Array, grads[0].Array, made[0].Array})
	if count() != before || Live() != base {
		t.Errorf("%d functions and %d handles are left", count()-before, Live()-base)
	}
}

func TestBytes(t *testing.T) {
	a := newArray(t, 1)
	sum, err := Add(CPU, a, a)
	if err != nil {
		t.Fatal(err)
	}
	defer Free([]Array{a, sum.Array})
	read := func([]byte) { t.Error("an array without data was read") }
	if Evaluated(sum.Array) || Bytes(sum.Array, read) {
		t.Error("an array has data before its evaluation")
	}
	if err := Eval([]Array{sum.Array}, false); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if !Bytes(sum.Array, func(data []byte) { got = append(got, data...) }) || string(got) != "\x00\x00\x00\x40" {
		t.Errorf("2.0 is % x", got)
	}
}
