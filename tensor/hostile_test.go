package tensor

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// inChild runs the calling test again in a process of its own and reports how
// that ended; in the child it returns true.
func inChild(t *testing.T, environment ...string) bool {
	t.Helper()
	const mark = "DELTATAPE_TEST_CHILD"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(append(os.Environ(), mark+"="+t.Name()), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		const most = 4000
		t.Errorf("the process ended with %v; its output ends in\n%s", err, out[max(0, len(out)-most):])
	}
	return false
}

// What kills the engine, or makes it run without an end, is an *Error or has a
// value.
func TestNothingKillsTheProcess(t *testing.T) {
	if !inChild(t) {
		return
	}
	for _, c := range hostileCases(t) {
		fmt.Println(c.name) // the last one is at fault
		if err := Try(func() {
			for _, x := range c.f() {
				if err := Eval(x, Contiguous(x)); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}); (err != nil) != (c.text != "") {
			t.Errorf("%s: got %v, want an error about %q", c.name, err, c.text)
		} else if err != nil {
			wantError(t, err, c.text)
		}
	}
	emptyOperands(t)
}

type hostileCase struct {
	name string
	f    func() []*Tensor
	text string // of the *Error, "" for none
}

func hostileCases(t *testing.T) []hostileCase {
	one := func(f func() *Tensor) func() []*Tensor { return func() []*Tensor { return []*Tensor{f()} } }
	empty := func() *Tensor { return Transpose(Zeros(Float32, 0, 3)) } // [3 0]
	x := count(Float32, 5)
	far := []int32{0, math.MaxInt32, math.MinInt32, -6}
	manyAxes := slices.Repeat([]int{1}, 20)
	manyAxes[3], manyAxes[17] = 2, 3
	many := Reshape(Arange(0, 6, 1, Float32), manyAxes...)
	bad := "100%s%n%d"
	return []hostileCase{
		{"scans along an empty axis", func() []*Tensor {
			var list []*Tensor
			for mode := range 4 {
				for axis := range 2 {
					list = append(list, CumSum(empty(), axis, mode&1 > 0, mode&2 > 0), CumProd(empty(), axis, mode&1 > 0, mode&2 > 0))
				}
			}
			return list
		}, ""},
		{"sorts along an empty axis", func() []*Tensor {
			return []*Tensor{Sort(empty(), 0), Sort(empty(), 1), ArgSort(empty(), 0), ArgSort(empty(), 1)}
		}, ""},
		{"sums of nothing", func() []*Tensor {
			return []*Tensor{Sum(empty(), false, 1), Mean(empty(), false, 1), Prod(empty(), true), All(empty(), false, 1), Any(empty(), true, 0, 1)}
		}, ""},
		{"logsumexp of nothing", one(func() *Tensor { return LogSumExp(empty(), false) }), "axis 1 has length 0"},
		{"max of nothing", one(func() *Tensor { return Max(empty(), false, 1) }), "axis 1 has length 0"},
		{"argmax of nothing", one(func() *Tensor { return ArgMax(empty(), 1, false) }), "axis 1 has length 0"},
		{"softmax of nothing", one(func() *Tensor { return Softmax(empty(), 1) }), ""},
		{"categorical of nothing", one(func() *Tensor { return Categorical(Key(1), empty()) }), "want a last axis"},
		{"inverse of nothing", one(func() *Tensor { return TriInv(Zeros(Float32, 0, 2, 2), false) }), ""},
		{"take far away, known", one(func() *Tensor { return Take(x, FromSlice(far), 0) }), "index -2147483648 is out of range"},
		{"take far away", one(func() *Tensor { return Take(x, unknown(FromSlice(far)), 0) }), ""},
		{"take along far away", one(func() *Tensor { return TakeAlong(x, unknown(FromSlice(far)), 0) }), ""},
		{"scatter far away", one(func() *Tensor { return ScatterAdd(x, unknown(FromSlice(far)), Ones(Float32, 4), 0) }), ""},
		{"take integers far away", one(func() *Tensor { return Take(AsType(x, Int8), unknown(FromSlice(far)), 0) }), ""},
		{"take at the end of an unfinished step", one(func() *Tensor { return Take(x, Arange(0, 5.5, 1, Int32), 0) }), "index 5 is out of range"},
		{"take with converted indices", one(func() *Tensor {
			return Take(x, AsType(FromSlice([]float32{1e30, -1e30, float32(math.NaN())}), Int32), 0)
		}), ""},
		{"take of nothing", one(func() *Tensor { return Take(Zeros(Float32, 0), unknown(FromSlice(far)), 0) }), "axis 0 has length 0"},
		{"division by zero", func() []*Tensor {
			var list []*Tensor
			for _, dt := range allTypes {
				a, b := Ones(dt, 3), AsType(FromSlice([]int32{1, 0, 1}), dt)
				list = append(list, FloorDivide(a, b), Remainder(a, b), FloorDivide(a, unknown(b)), Remainder(a, unknown(b)))
				if dt != Bool {
					list = append(list, Pow(a, Sub(ZerosLike(b), b)))
				}
			}
			return list
		}, ""},
		{"the lowest integer by -1", func() []*Tensor {
			var list []*Tensor
			for _, a := range []*Tensor{FromSlice([]int8{-128}), FromSlice([]int16{-32768}), FromSlice([]int32{math.MinInt32}), FromSlice([]int64{math.MinInt64})} {
				list = append(list, FloorDivide(a, FullLike(a, -1)), Remainder(a, unknown(FullLike(a, -1))), Abs(a), Neg(a))
			}
			return list
		}, ""},
		{"a shape beyond 64 bits", one(func() *Tensor { return Zeros(Float64, 1<<31-1, 1<<31-1, 1<<31-1) }), "too many elements"},
		{"bytes beyond 64 bits", one(func() *Tensor { return Zeros(Float64, 1<<30, 1<<31-1) }), "more than this machine's memory"},
		{"an outer product beyond 64 bits", one(func() *Tensor {
			n := 1<<31 - 1
			return Add(Zeros(Uint8, n, 1, 1), Zeros(Uint8, n, 1))
		}), "more than this machine's memory"},
		{"a take beyond memory", one(func() *Tensor { return Take(Zeros(Float32, 2, 1<<20), Zeros(Int32, 1<<20), 0) }), "more than this machine's memory"},
		{"a product beyond memory", one(func() *Tensor { return MatMul(Zeros(Float32, 1<<20, 1), Zeros(Float32, 1, 1<<20)) }), "more than this machine's memory"},
		{"lengths beyond 32 bits, joined", one(func() *Tensor { return Concat(0, Zeros(Bool, 1<<31-1), Zeros(Bool, 1<<31-1)) }), "32-bit"},
		{"lengths beyond 32 bits, repeated", one(func() *Tensor { return Repeat(Zeros(Bool, 1<<20), 1<<12, 0) }), "32-bit"},
		{"lengths beyond 32 bits, padded", one(func() *Tensor { return Pad(Zeros(Bool, 2), [][2]int{{math.MaxInt32, 0}}, 0) }), "32-bit"},
		{"20 axes", func() []*Tensor {
			back := Transpose(many)
			return []*Tensor{Sum(back, false), Sum(back, true, 2, 16), CumSum(back, 2, true, true), Sort(back, 16), Take(back, FromSlice([]int32{0, 1}), 2),
				Softmax(back, 2), MatMul(back, many), Pad(back, make([][2]int, 20), 0), Concat(3, back, back), Where(Greater(back, many), back, many),
				Tril(back, 0), Flip(back), Contiguous(Slice(back, make([]int, 20), slices.Repeat([]int{1}, 20))), BroadcastTo(many, append([]int{2}, manyAxes...)...),
				ScatterAdd(back, FromSlice([]int32{0, 1}), back, 16), LogSumExp(back, false), ArgMax(back, 16, false), Stack(0, back, back)}
		}, ""},
		{"300 axes", one(func() *Tensor {
			return Contiguous(Transpose(Exp(Reshape(Ones(Float32, 1), slices.Repeat([]int{1}, 300)...))))
		}), ""},
		{"negative lengths", one(func() *Tensor { return Normal(Key(1), 2, -2) }), "is not between 0"},
		{"a NaN range", one(func() *Tensor { return Arange(math.NaN(), 1, 1, Float32) }), "want finite numbers"},
		{"singular matrices", func() []*Tensor {
			var list []*Tensor
			for range 20 {
				list = append(list, TriInv(Zeros(Float32, 3, 2, 2), false))
			}
			return list
		}, ""},
		{"percent signs", func() []*Tensor {
			path := filepath.Join(t.TempDir(), bad)
			must(t, 0, Save(path, map[string]*Tensor{bad: x}, map[string]string{bad: bad}))
			loaded, meta, err := Load(path)
			must(t, 0, err)
			if meta[bad] != bad {
				t.Errorf("metadata %q", meta)
			}
			must(t, 0, os.WriteFile(path+"x", []byte{40, 0, 0, 0, 0, 0, 0, 0, '{', '"', '%', 's', '%', 'n'}, 0o644))
			_, _, err = Load(path + "x")
			wantError(t, err, bad)
			_, _, err = VJP(func([]*Tensor) []*Tensor { panic(bad) }, []*Tensor{x}, []*Tensor{x})
			wantError(t, err, bad)
			return []*Tensor{loaded[bad]}
		}, ""},
		{"a convolution beyond 32 bits", one(func() *Tensor { return Conv1D(Ones(Float32, 1, 4, 1), Ones(Float32, 1, 2, 1), 1, 0, 1<<33, 1) }), "want stride"},
		{"a convolution beyond memory", one(func() *Tensor {
			return Conv1D(Zeros(Float32, 1, 4<<20, 1), Zeros(Float32, 1, 2<<20, 1), 1, 0, 1, 1)
		}), "more than this machine's memory"},
		{"results of nothing", func() []*Tensor {
			tall, none := Zeros(Float32, 1<<31-1, 0), Zeros(Int32, 0)
			for _, op := range []func(*Tensor, int) *Tensor{Tril, Triu} {
				must(t, 0, Eval(op(tall, 0), op(Transpose(tall), 3), op(Zeros(Bool, 0, 1<<15, 1<<15), 0)))
			}
			must(t, 0, Eval(OneHot(none, 1<<31-1, Float32), OneHot(Zeros(Uint8, 2, 0), 1<<31-1, Bool)))
			filter := Zeros(Float32, 1, 1<<31-1, 0)
			must(t, 0, Eval(Conv1D(Zeros(Float32, 1, 1<<31-1, 0), filter, 1, 0, 1, 1), Conv1D(Zeros(Float64, 0, 1<<31-1, 0), filter, 1, 0, 1, 1)))
			if m := Memory(); m.Peak > 1<<30 {
				t.Errorf("results without elements took %d bytes", m.Peak)
			}
			return nil
		}, ""},
		{"many parts of nothing", func() []*Tensor { return SplitEqual(Zeros(Float32, 0), 1<<31-1, 0) }, "want at most 1048576 parts, got 2147483647"},
		{"many rows of nothing", func() []*Tensor { return Unstack(Zeros(Float32, 1<<31-1, 0), 0) }, "want at most 1048576 parts"},
		{"many cuts of nothing", func() []*Tensor { return SplitAt(Zeros(Float32, 0), 0, make([]int, maxParts)...) }, "want at most 1048576 parts"},
		{"many keys", func() []*Tensor { return Split(Key(1), 1<<31-1) }, "want at most 1048576 parts"},
		{"a deep graph that is never evaluated", func() []*Tensor {
			s := NewScope()
			defer s.Close()
			y := s.Use(x)
			for range 300_000 {
				y = Neg(y)
			}
			return nil
		}, ""},
		{"a slice of odd bounds", one(func() *Tensor {
			return Slice(x, []int{math.MinInt}, []int{math.MaxInt}, math.MaxInt)
		}), ""},
		{"an update of nothing", one(func() *Tensor { return SliceUpdate(empty(), empty(), []int{0, 0}, []int{3, 0}) }), ""},
	}
}

// emptyOperands runs every operation on tensors without elements of every
// layout and type.
func emptyOperands(t *testing.T) {
	run := func(name string, f func() *Tensor) {
		fmt.Println(name)
		_ = Try(func() {
			if y := f(); Eval(y) != nil {
				t.Errorf("%s: %v", name, Eval(y))
			}
		})
	}
	for _, dt := range allTypes {
		for _, shape := range [][]int{{0}, {3, 0, 2}, {0, 0}} {
			for _, x := range layouts(t, dt, shape, func(int) float64 { return 1 }) {
				at := fmt.Sprint(dt, shape, x.name, " ")
				for _, c := range unaryCases {
					run(at+c.name, func() *Tensor { return c.f(x.t) })
				}
				for _, c := range binaryCases {
					run(at+c.name, func() *Tensor { return c.f(x.t, x.t) })
				}
				for axis := range shape {
					for _, c := range reduceCases {
						run(at+c.name, func() *Tensor { return c.f(x.t, false, axis) })
						run(at+c.name, func() *Tensor { return c.f(x.t, true) })
					}
					for name, f := range map[string]func() *Tensor{
						"Softmax": func() *Tensor { return Softmax(x.t, axis) }, "ArgMax": func() *Tensor { return ArgMax(x.t, axis, false) },
						"Sort": func() *Tensor { return Sort(x.t, axis) }, "ArgSort": func() *Tensor { return ArgSort(x.t, axis) },
						"CumSum": func() *Tensor { return CumSum(x.t, axis, false, true) }, "Concat": func() *Tensor { return Concat(axis, x.t, x.t) },
						"Stack": func() *Tensor { return Stack(axis, x.t, x.t) }, "Repeat": func() *Tensor { return Repeat(x.t, 2, axis) },
						"Flip": func() *Tensor { return Flip(x.t, axis) }, "Split": func() *Tensor { return SplitAt(x.t, axis, 0)[1] },
						"Take": func() *Tensor { return Take(x.t, Zeros(Int32, 2), axis) }, "TakeNone": func() *Tensor { return Take(x.t, Zeros(Int32, 0), axis) },
						"TakeAlong":  func() *Tensor { return TakeAlong(x.t, AsType(x.t, Int32), axis) },
						"ScatterAdd": func() *Tensor { return ScatterAdd(x.t, Zeros(Int32, x.t.Dim(axis)), x.t, axis) },
						"Pad":        func() *Tensor { return Pad(x.t, slices.Repeat([][2]int{{1, 2}}, len(shape)), 1) },
						"Tril":       func() *Tensor { return Tril(x.t, 0) }, "MatMul": func() *Tensor { return MatMul(x.t, Transpose(x.t)) },
						"AddMM": func() *Tensor { return AddMM(Like(x.t, 1), Transpose(x.t), x.t, 1, 1) },
						"Where": func() *Tensor { return Where(x.t, x.t, x.t) }, "SliceUpdate": func() *Tensor { return SliceUpdate(x.t, Like(x.t, 1), make([]int, len(shape)), shape) },
						"Contiguous": func() *Tensor { return Contiguous(x.t) }, "TriInv": func() *Tensor { return TriInv(x.t, true) },
					} {
						run(at+name, f)
					}
				}
			}
		}
	}
}
