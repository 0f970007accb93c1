package tensor

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// Any goroutine may use any tensor.
func TestGoroutinesShareTensors(t *testing.T) {
	const workers, rounds = 16, 30
	base := settle()
	func() {
		weight := Exp(MulScalar(Normal(Key(1), 8, 8), 0.1)) // lazy: the first reader evaluates it
		broken := cutTensor(t)
		common := NewScope()
		defer common.Close()
		handle := common.Use(weight)
		results := make(chan *Tensor, workers*rounds)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				if w%2 == 0 {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
				}
				for i := range rounds {
					s := NewScope()
					x := s.Use(FromSlice([]float32{float32(w), float32(i), 1, 1, 1, 1, 1, 1}, 1, 8))
					y := MatMul(x, weight)
					if i%3 == 0 {
						y = Add(y, MatMul(x, handle)) // in the newer scope, s
						y = MulScalar(y, 0.5)
					}
					s.Keep(y)
					if i%5 == 0 {
						s.Close()
					}
					switch i % 4 {
					case 0:
						if err := Eval(y, weight); err != nil {
							t.Error(err)
						}
					case 1:
						if err := AsyncEval(y); err != nil {
							t.Error(err)
						}
					case 2:
						if err := Eval(broken); err == nil {
							t.Error("a tensor of a cut file was evaluated")
						}
						_ = fmt.Sprint(Live(), Memory(), s)
					}
					s.Close()
					results <- y
				}
			})
		}
		wg.Wait()
		close(results)
		w := floats(t, weight)
		for y := range results {
			if got := floats(t, y); len(got) != 8 || got[7] != got[7] {
				t.Fatalf("got %v of weight %v", got, w)
			}
		}
	}()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}
