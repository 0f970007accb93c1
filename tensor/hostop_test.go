package tensor

import (
	"slices"
	"sync"
	"testing"

	"github.com/deltatape/deltatape/internal/cpukernel"
)

// linear is a HostOp of q and k [T, 2] and v [T]. Row t of its first result is the sum
// over s up to t of v_s k_s·q_t, and the other one the sum of all v_s k_s.
func linear(q, k, v *Tensor) []*Tensor {
	T := v.Dim(0)
	r := cpukernel.Rule{HK: 1, R: 1, DK: 2, DV: 1, Offsets: []int{0, T}, Chunk: 16, Segment: T, Scale: 1, NoDelta: true}
	decay, beta := BroadcastTo(Like(v, 0), T), BroadcastTo(Like(v, 1), T)
	op := HostOp(r.ForwardCall(T, cpukernel.There{HT: true}))
	return op.Apply([]*Tensor{q, k, v, decay, beta}, []KernelOutput{{Dtype: Float32, Shape: []int{T}}, {Dtype: Float32, Shape: []int{2, 1}}})
}

func linearInputs(s *Scope) (q, k, v *Tensor) {
	q = SwapAxes(s.Use(FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)), 0, 1) // strided
	k = BroadcastTo(s.Use(FromSlice([]float32{1, 10}, 2)), 3, 2)
	return q, k, s.Use(FromSlice([]float32{1, 2, 3}, 3))
}

// linearOut is the first result for linearInputs.
var linearOut = []float64{1 * 41, 3 * 52, 6 * 63}

// hasHostOps reports whether the engine has HostOps. Where it doesn't, they must be
// refused.
func hasHostOps(t *testing.T) bool {
	t.Helper()
	want := HostOps()
	if want == nil {
		return true
	}
	s := NewScope()
	defer s.Close()
	err := Try(func() { linear(linearInputs(s)) })
	wantError(t, err, "tensor.HostOp", want.Error())
	return false
}

func TestHostOp(t *testing.T) {
	if !hasHostOps(t) {
		return
	}
	s := NewScope()
	q, k, v := linearInputs(s)
	out := linear(q, k, v)
	if n := Primitives(out...)["HostOp"]; n != 1 {
		t.Errorf("%d HostOps wait for their evaluation, want 1", n)
	}
	wantTensor(t, out[0], Float32, []int{3}, linearOut...)
	wantTensor(t, out[1], Float32, []int{2, 1}, 6, 60)

	later := linear(q, k, v)
	must(t, 0, AsyncEval(later[0]))
	Free(later[1]) // the engine still computes it
	wantTensor(t, later[0], Float32, []int{3}, linearOut...)

	// 60 in a row, on one stream and the other in turns, and what is between them.
	y := v
	for i := range 60 {
		f := func(xs []*Tensor) []*Tensor { return linear(xs[0], xs[1], xs[2]) }
		if y = MulScalar(y, 2); i%2 == 0 {
			y = linear(q, k, y)[0]
		} else {
			y = Aside(f, q, k, y)[0]
		}
		y = Div(y, Max(y, true))
	}
	if n := Primitives(y)["HostOp"]; n != 60 {
		t.Errorf("%d HostOps wait for their evaluation, want 60", n)
	}
	if got := floats(t, y); got[2] != 1 || !(got[0] < got[1] && got[1] < 1) {
		t.Errorf("got %v", got)
	}
	s.Close()
	if !out[0].Closed() || !y.Closed() {
		t.Error("results don't belong to the scope of the inputs")
	}
}

// A graph that is kept shares a HostOp between its calls.
func TestHostOpCompile(t *testing.T) {
	if !hasHostOps(t) {
		return
	}
	s := newTestScope(t)
	q, k, v := linearInputs(s)
	f := Compile(func(x []*Tensor) []*Tensor {
		if Differentiating() {
			t.Error("Compile differentiates")
		}
		y := linear(x[0], x[1], x[2])
		return []*Tensor{Neg(y[0]), linear(x[0], x[1], y[0])[0]} // y[1] isn't used
	})
	defer f.Close()
	var calls [][]*Tensor
	for i := range 8 {
		y, err := f.Call(q, k, MulScalar(v, float64(i)))
		calls = append(calls, must(t, y, err))
	}
	must(t, 0, Eval(slices.Concat(calls...)...))
	plain := floats(t, linear(q, k, linear(q, k, v)[0])[0])
	for i, y := range calls {
		for j, want := range linearOut {
			wantClose(t, floats(t, y[0])[j:j+1], []float64{-float64(i) * want}, 0)
			wantClose(t, floats(t, y[1])[j:j+1], []float64{float64(i) * plain[j]}, 0)
		}
	}
}

func TestHostOpHasNoVJP(t *testing.T) {
	if !hasHostOps(t) {
		return
	}
	s := newTestScope(t)
	q, k, v := linearInputs(s)
	inside := false
	_, _, err := VJP(func(x []*Tensor) []*Tensor {
		inside = Differentiating()
		return linear(q, k, x[0])[:1]
	}, []*Tensor{v}, []*Tensor{v})
	wantError(t, err, "tensor.VJP: ", "Not implemented for HostOp")
	if !inside || Differentiating() {
		t.Errorf("Differentiating is %v inside and %v outside", inside, Differentiating())
	}
	wantTensor(t, linear(q, k, v)[0], Float32, []int{3}, linearOut...)
}

func TestHostOpOnManyGoroutines(t *testing.T) {
	if !hasHostOps(t) {
		return
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 20 {
				s := NewScope()
				got, err := Data[float64](AsType(linear(linearInputs(s))[0], Float64))
				if s.Close(); err != nil || !slices.Equal(got, linearOut) {
					t.Errorf("got %v, %v", got, err)
				}
			}
		})
	}
	wait.Wait()
}

// TestHostOpMemory wants the engine to count what a HostOp works in, and to have it back.
func TestHostOpMemory(t *testing.T) {
	if !hasHostOps(t) {
		return
	}
	s := newTestScope(t)
	x := s.Use(FromSlice(make([]float32, 64*64), 64, 64))
	must(t, 0, Eval(x))
	r := cpukernel.Rule{HK: 1, R: 1, DK: 64, DV: 64, Offsets: []int{0, 64}, Chunk: 16, Segment: 64}
	call := r.ForwardCall(64, cpukernel.There{})
	zeros := BroadcastTo(Like(x, 0), 64)
	before := Memory().Active
	ResetPeakMemory()
	y := HostOp(call).Apply([]*Tensor{x, x, x, zeros, zeros}, []KernelOutput{{Dtype: Float32, Shape: []int{64, 64}}})
	must(t, 0, Eval(y...))
	m := Memory()
	if took := m.Peak - before; took < call.Workspace+y[0].Bytes() || took > call.Workspace+y[0].Bytes()+1<<15 {
		t.Errorf("it took %d bytes at its peak, want %d to work in and the result's %d", took, call.Workspace, y[0].Bytes())
	}
	if left := m.Active - before; left > y[0].Bytes()+1<<15 {
		t.Errorf("%d bytes are left, the result has %d", left, y[0].Bytes())
	}
}

func TestHostOpErrors(t *testing.T) {
	if !hasHostOps(t) {
		return
	}
	s := newTestScope(t)
	q, k, v := linearInputs(s)
	cut := cutTensor(t)
	pairs := BroadcastTo(Like(v, 1), 1000, 2)
	wantError(t, Eval(linear(pairs, pairs, cut)...), "the file ended before")
	wantTensor(t, linear(q, k, v)[0], Float32, []int{3}, linearOut...)

	op := func() HostOp {
		r := cpukernel.Rule{HK: 1, R: 1, DK: 1, DV: 1, Offsets: []int{0, 1}, Chunk: 16, Segment: 1}
		return HostOp(r.ForwardCall(1, cpukernel.There{}))
	}
	closed := Ones(Float32, 1)
	Free(closed)
	live := Live()
	wantPanic(t, func() { op().Apply([]*Tensor{closed}, []KernelOutput{{Float32, []int{1}}}) }, "tensor.HostOp: ", "closed")
	wantPanic(t, func() { op().Apply([]*Tensor{v}, []KernelOutput{{Float32, []int{-1}}}) }, "tensor.HostOp: ", "[-1]")
	wantPanic(t, func() { op().Apply([]*Tensor{v}, nil) }, "tensor.HostOp: ", "no outputs")
	wantPanic(t, func() {
		big := op()
		big.Workspace = 1 << 60
		big.Apply([]*Tensor{v}, []KernelOutput{{Float32, []int{1}}})
	}, "tensor.HostOp: ", "more than this machine's memory")
	wantPanic(t, func() { op().Apply([]*Tensor{v}, []KernelOutput{{Float32, []int{1 << 30, 1 << 20}}}) }, "tensor.HostOp: ", "more than this machine's memory")
	if n := Live() - live; n != 0 {
		t.Errorf("%d handles are left", n)
	}
}
