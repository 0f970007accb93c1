package tensor

import (
	"math"
	"runtime"
	"sync"
	"testing"
)

// On a thread that has evaluated nothing yet MLX has no stream, and Depends,
// which takes none, must not make it use a private one.
func TestDependsOnFreshThreads(t *testing.T) {
	x, y := FromSlice([]float32{1, 2}), FromSlice([]float32{3})
	if err := Eval(x, y); err != nil {
		t.Fatal(err)
	}
	const threads = 8
	results := make([]*Tensor, threads)
	var built, done sync.WaitGroup
	built.Add(threads)
	for i := range threads {
		done.Add(1)
		go func() {
			defer done.Done()
			runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
			built.Done()
			built.Wait() // so that all threads exist at a time
			results[i] = Depends([]*Tensor{x}, []*Tensor{y})[0]
		}()
	}
	done.Wait()
	for i, r := range results {
		got, err := Data[float32](r)
		if err != nil || len(got) != 2 || got[1] != 2 {
			t.Errorf("thread %d: got %v, %v; want [1 2]", i, got, err)
		}
	}
}

// Strong gates multiply subnormal numbers all the time; on x86 each costs a
// hundred cycles unless they count as zero.
func TestSubnormalsAreFlushed(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Log("only x86 pays for subnormals")
		return
	}
	tiny := FromSlice([]float32{1e-30})
	got, err := Item[float32](Mul(tiny, FromSlice([]float32{1e-10})))
	if err != nil || got != 0 {
		t.Errorf("1e-30 · 1e-10 = %v, %v; want 0", got, err)
	}
	if math.SmallestNonzeroFloat64 == 0 || math.Ldexp(1, -1060)*0.5 == 0 {
		t.Error("Go's own arithmetic lost its subnormal numbers")
	}
}
