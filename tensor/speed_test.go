//go:build !race

package tensor

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// scopedNodes builds n nodes in a scope and closes it.
func scopedNodes(x *Tensor, n int) {
	s := NewScope()
	defer s.Close()
	x = s.Use(x)
	for range n {
		Add(x, x)
	}
}

// rawNodes does the same with bare calls of the engine.
func rawNodes(x *Tensor, n int) error {
	handles := make([]mlxc.Array, 0, n)
	for range n {
		m, err := mlxc.Add(mlxc.CPU, x.h, x.h)
		if err != nil {
			return err
		}
		handles = append(handles, m.Array)
	}
	mlxc.Free(handles)
	return nil
}

// A node costs 1.2 µs at most, its release included. On a machine too busy or
// too slow for that, it costs at most twice the bare calls.
func TestScopedNodeIsCheap(t *testing.T) {
	const nodes = 2000
	x := Ones(Float32, 8)
	scoped, raw := math.Inf(1), math.Inf(1)
	for range 40 {
		start := time.Now()
		scopedNodes(x, nodes)
		scoped = min(scoped, float64(time.Since(start).Nanoseconds())/nodes)
		start = time.Now()
		must(t, 0, rawNodes(x, nodes))
		raw = min(raw, float64(time.Since(start).Nanoseconds())/nodes)
	}
	t.Logf("%.0f ns, bare calls %.0f ns", scoped, raw)
	if scoped > 1200 && scoped > 2*raw {
		t.Errorf("a scoped node costs %.0f ns, bare calls %.0f ns", scoped, raw)
	}
}

// The reference BLAS of the wheel reaches 3 to 5 GFLOP/s.
func TestBLASIsFast(t *testing.T) {
	const batch, n, want = 256, 64, 15
	v, err := Versions()
	must(t, 0, err)
	a, b := Normal(Key(1), batch, n, n), Normal(Key(2), batch, n, n)
	must(t, 0, Eval(a, b))
	best := 0.0
	for start := time.Now(); best < want && time.Since(start) < 5*time.Second; {
		s := NewScope()
		y := MatMul(s.Use(a), b)
		began := time.Now()
		must(t, 0, Eval(y))
		best = max(best, 2*batch*n*n*n/float64(time.Since(began).Nanoseconds()))
		s.Close()
	}
	t.Logf("%s: %.0f GFLOP/s", v.BLAS, best)
	if strings.HasPrefix(v.BLAS, "openblas") && DefaultDevice() == CPU && best < want {
		t.Errorf("%s multiplies %d matrices of %d x %d at %.1f GFLOP/s, want %d", v.BLAS, batch, n, n, best, want)
	}
}

func BenchmarkScopedNode(b *testing.B) {
	x := Ones(Float32, 8)
	b.ReportAllocs()
	const batch = 1000
	for b.Loop() {
		scopedNodes(x, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/node")
}

func BenchmarkRawNode(b *testing.B) {
	x := Ones(Float32, 8)
	const batch = 1000
	for b.Loop() {
		if err := rawNodes(x, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/node")
}

func BenchmarkUnscopedNode(b *testing.B) {
	x := Ones(Float32, 8)
	b.ReportAllocs()
	for b.Loop() {
		Add(x, x)
	}
	settle()
}

func BenchmarkMatMul(b *testing.B) {
	for _, shape := range [][3]int{{256, 64, 64}, {1, 512, 512}} {
		b.Run(fmt.Sprint(shape), func(b *testing.B) {
			s := newTestScope(b)
			x := s.Use(Normal(Key(1), shape[0], shape[1], shape[2]))
			y := s.Use(Normal(Key(2), shape[0], shape[2], shape[1]))
			must(b, 0, Eval(x, y))
			for b.Loop() {
				z := MatMul(x, y)
				must(b, 0, Eval(z))
				Free(z)
			}
			flops := 2 * float64(shape[0]*shape[1]*shape[1]*shape[2])
			b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}
