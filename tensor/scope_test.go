package tensor

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/internal/mlxc"
)

func TestScopeOfResults(t *testing.T) {
	free := Ones(Float32, 2)
	older, newer := newTestScope(t), newTestScope(t)
	a, b := older.Use(free), newer.Use(free)
	index := older.Use(Zeros(Int32, 2))
	for name, c := range map[string]struct {
		got  *Tensor
		want *Scope
	}{
		"no operand has one": {Add(free, free), nil}, "unary": {Exp(a), older}, "left": {Add(a, free), older}, "right": {Add(free, a), older},
		"the newer one": {Add(a, b), newer}, "the newer one, swapped": {Add(b, a), newer}, "three": {Where(free, a, b), newer},
		"condition": {Where(b, free, free), newer}, "list": {Concat(0, a, free, b), newer}, "list of one": {Stack(0, a), older},
		"part": {SplitEqual(a, 2, 0)[1], older}, "index": {Take(free, index, 0), older}, "unknown index": {Take(free, Add(index, index), 0), older},
		"scatter": {ScatterAdd(free, index, b, 0), newer}, "reduction": {Sum(a, false), older}, "reduction of nothing": {Sum(SliceAxis(a, 0, 0, 0), false), older},
		"scalar operand": {AddScalar(a, 1), older}, "clip": {Clip(a, 0, 1), older}, "accurate form": {Erf(AsType(a, Float64)), older},
		"like": {ZerosLike(b), newer}, "dependency": {Depends([]*Tensor{a}, []*Tensor{b})[0], newer}, "random": {Normal(newer.Use(Key(1)), 2), newer},
		"integers": {FloorDivide(index, Add(index, index)), older}, "AddMM": {AddMM(free, Reshape(a, 2, 1), Reshape(b, 1, 2), 1, 1), newer},
		"pad": {Pad(a, [][2]int{{1, 1}}, 0), older}, "update": {SliceUpdate(free, b, []int{0}, []int{2}), newer}, "TriInv": {TriInv(Reshape(SliceAxis(a, 0, 0, 1), 1, 1), false), older},
	} {
		if c.got.scope != c.want {
			t.Errorf("%s: another scope", name)
		}
	}
}

func TestScopeCloses(t *testing.T) {
	base := settle()
	x := FromSlice([]float32{1, 2, 3})
	s := NewScope()
	y := Exp(s.Use(x))
	kept := Add(y, x)
	s.Keep(kept)
	if kept.scope != nil || s.Len() != 2 {
		t.Errorf("%d members, want the handle of x and its exponential", s.Len())
	}
	s.Close()
	s.Close()
	if !y.Closed() || kept.Closed() || x.Closed() || s.Len() != 0 {
		t.Errorf("closed: %v %v %v", y.Closed(), kept.Closed(), x.Closed())
	}
	if got := mlxc.Live(); got != base+2 {
		t.Errorf("%d handles are live, want 2", got-base)
	}
	wantClose(t, floats(t, kept), []float64{3.718281828, 9.389056099, 23.08553692}, 1e-6) // the graph outlived its scope
	runtime.KeepAlive(x)
	x, kept = nil, nil
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}

func TestClosedTensorNamesItsScope(t *testing.T) {
	_, file, line, _ := runtime.Caller(0)
	s := NewScope() // line+1
	x := s.Use(Scalar(1.0))
	y := s.Use(Scalar(1.0))
	u := Scalar(1.0)
	Free(y)
	at := fmt.Sprintf("%s:%d", file, line+1)
	wantPanic(t, func() { Exp(y) }, "tensor.Exp: a tensor is used after it was released; its scope was opened at "+at+": []")
	s.Close() // line+8
	closedAt := fmt.Sprintf("%s:%d", file, line+8)
	text := "a tensor is used after its scope was closed: opened at " + at + ", closed at " + closedAt
	e := wantPanic(t, func() { Exp(x) }, "tensor.Exp: "+text+": []")
	if want := fmt.Sprintf("%s:%d", file, line+11); e.Site != want {
		t.Errorf("site %s, want %s", e.Site, want)
	}
	wantError(t, Eval(x), "tensor.Eval: "+text)
	wantError(t, AsyncEval(x), "tensor.AsyncEval: "+text)
	_, err := Data[float64](x)
	wantError(t, err, "tensor.Data: "+text)
	_, err = Item[float64](x)
	wantError(t, err, text)
	wantPanic(t, func() { NewScope().Use(x) }, "tensor.Scope.Use: "+text)
	wantPanic(t, func() { s.Keep(x) }, "tensor.Scope.Keep: "+text)
	Free(u)
	wantPanic(t, func() { Exp(u) }, "tensor.Exp: a tensor is used after it was closed: []")

	base := settle()
	wantPanic(t, func() { s.Use(Scalar(1.0)) }, "scope was closed: opened at "+at+", closed at "+closedAt)
	if got := settle(); got != base {
		t.Errorf("using a closed scope leaves %d handles", got-base)
	}
}

// However a tensor ends, its handle is given back once.
func TestHandlesAreReleasedOnce(t *testing.T) {
	base, counted := settle(), unscoped.Load()
	live := func(want int) {
		t.Helper()
		if got := settle() - base; got != want {
			t.Errorf("%d handles are live, want %d", got, want)
		}
	}
	s := NewScope()
	func() {
		a, b, c, d, e := Scalar(1.0), Scalar(2.0), Scalar(3.0), s.Use(Scalar(4.0)), s.Use(Scalar(5.0))
		live(5)
		Free(a, a, nil, d) // a cleanup would come later
		live(3)
		Free(a, d)
		live(3)
		s.Adopt(b) // its cleanup must not run any more
		s.Keep(e)  // and gets one
		Free(b, nil)
		live(2)
		s.Adopt(e, c)
		s.Adopt(c)
		s.Keep(c)
		s.Keep(c)
		live(2)
		if s.Len() != 1 {
			t.Errorf("the scope has %d members, want e", s.Len())
		}
		runtime.KeepAlive(c)
	}()
	live(1) // e
	s.Close()
	live(0)
	if got := unscoped.Load() - counted; got != 0 {
		t.Errorf("%d tensors of no scope are counted", got)
	}
}

func TestScopeMembers(t *testing.T) {
	s, other := newTestScope(t), newTestScope(t)
	x := s.Use(Ones(Float32, 4))
	mark := s.Mark()
	y := Exp(x)
	z := Neg(y)
	if got := s.AppendSince(nil, mark); len(got) != 2 || got[0] != y || got[1] != z {
		t.Errorf("%d tensors since the mark", len(got))
	}
	other.Keep(x)
	if x.scope != nil {
		t.Error("Keep of another scope's tensor left it there")
	}
	other.Adopt(y)
	if y.scope != other || other.Len() != 1 || s.Len() != 1 {
		t.Errorf("%d and %d members", s.Len(), other.Len())
	}
	// Members stay findable in whatever order they leave.
	list := make([]*Tensor, 100)
	for i := range list {
		list[i] = s.Use(x)
	}
	for i := range list {
		Free(list[i*37%100])
	}
	if s.Len() != 1 || z.Closed() {
		t.Errorf("%d members are left, want 1", s.Len())
	}
}

func TestScopesNest(t *testing.T) {
	base := settle()
	func() {
		outer := NewScope()
		defer outer.Close()
		x := outer.Use(Ones(Float32, 8))
		for range 10 {
			inner := NewScope()
			y := Exp(inner.Use(x))
			for range 50 {
				y = AddScalar(Mul(y, x), 0.5)
			}
			outer.Adopt(y)
			inner.Close()
			x = y
		}
		if outer.Len() != 11 {
			t.Errorf("%d members, want 11", outer.Len())
		}
		if err := Eval(x); err != nil {
			t.Error(err)
		}
	}()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}

// What came since a mark is found in order, whatever is released meanwhile.
func TestScopeSinceMark(t *testing.T) {
	s := newTestScope(t)
	old := []*Tensor{s.Use(Ones(Float32, 1)), s.Use(Ones(Float32, 1)), s.Use(Ones(Float32, 1))}
	mark := s.Mark()
	a := Exp(old[0])
	Free(old[1])
	b := Exp(a)
	s.Keep(old[2])
	c := Exp(b)
	Free(b)
	d := Exp(c)
	if got := s.AppendSince([]*Tensor{old[0]}, mark); !slices.Equal(got, []*Tensor{old[0], a, c, d}) {
		t.Errorf("got %d tensors %v, want the four that are open", len(got), got)
	}
	if got := s.AppendSince(nil, s.Mark()); len(got) != 0 {
		t.Errorf("%d tensors since now", len(got))
	}
	if s.Len() != 4 {
		t.Errorf("%d members, want 4", s.Len())
	}
}

// Operations keep nothing in the scope but their results, except for the few
// temporaries of composite ones, which end with the scope.
func TestOperationsLeakNothing(t *testing.T) {
	base := settle()
	s := NewScope()
	x := s.Use(Ones(Float32, 2, 2))
	before := s.Len()
	AddScalar(x, 1)
	MulScalar(x, 2)
	Pad(x, [][2]int{{1, 1}, {1, 1}}, 0)
	ZerosLike(x)
	if got := s.Len() - before; got != 4 {
		t.Errorf("4 operations left %d tensors", got)
	}
	for _, c := range unaryCases {
		c.f(x)
		c.f(AsType(x, Float64))
	}
	for _, c := range binaryCases {
		c.f(x, x)
		Try(func() { c.f(x, s.Use(Ones(Float32, 3))) })
	}
	for _, c := range reduceCases {
		c.f(x, false)
	}
	s.Close()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}
