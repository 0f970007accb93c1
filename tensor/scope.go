package tensor

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Scope owns tensors and releases them together.
type Scope struct {
	id uint64 // rises with every scope: the greater was opened later

	mu     sync.Mutex
	newest *Tensor // the members are a list, in the order in which they came
	len    int
	added  atomic.Int64 // members ever; changes under mu
	closed bool
	aside  bool // what it owns is computed by Aside

	opened, ended [8]uintptr // program counters, resolved for errors only
}

var lastScope atomic.Uint64

// unscoped counts the open tensors that only the garbage collector releases.
var unscoped atomic.Int64

// NewScope opens a scope.
func NewScope() *Scope {
	s := &Scope{id: lastScope.Add(1)}
	runtime.Callers(2, s.opened[:])
	return s
}

// Close releases the scope's tensors. Graphs that were built from them stay
// valid. Closing twice does nothing.
func (s *Scope) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	runtime.Callers(2, s.ended[:])
	list := make([]mlxc.Array, s.len)
	for t := s.newest; t != nil; {
		s.len--
		list[s.len], t.h = t.h, 0
		older := t.older
		t.older, t.newer = nil, nil // one that is still in use must not hold the others
		t = older
	}
	s.newest = nil
	s.mu.Unlock()
	mlxc.Free(list)
}

// Use returns a handle of t that belongs to s: what is computed from it
// belongs to s, too.
func (s *Scope) Use(t *Tensor) *Tensor {
	m, err := mlxc.Share(t.handle("Scope.Use"))
	if err != nil {
		raise("Scope.Use", err, t)
	}
	u := wrap(s, &m)
	u.bounds, u.op = t.bounds, t.op
	runtime.KeepAlive(t)
	return u
}

// Keep moves tensors out of all scopes; the garbage collector releases them.
func (s *Scope) Keep(ts ...*Tensor) {
	for _, t := range ts {
		t.handle("Scope.Keep")
		if t.scope != nil {
			t.scope.drop(t)
			t.leaveToCollector()
		}
	}
}

// Adopt moves tensors into s, out of the scope that they are in.
func (s *Scope) Adopt(ts ...*Tensor) {
	for _, t := range ts {
		t.handle("Scope.Adopt")
		switch {
		case t.scope == s:
			continue
		case t.scope != nil:
			t.scope.drop(t)
		default:
			t.cleanup.Stop()
			unscoped.Add(-1)
		}
		s.adopt(t)
	}
}

// moveTo moves t into s, which may be nil.
func (t *Tensor) moveTo(s *Scope) {
	if s != nil {
		s.Adopt(t)
	} else {
		t.scope.Keep(t)
	}
}

// Free closes tensors at once, whether they are in a scope or in none. Closed
// ones and nil are passed over. Graphs that were built from them stay valid.
func Free(ts ...*Tensor) {
	list := make([]mlxc.Array, 0, len(ts))
	for _, t := range ts {
		if t == nil || t.h == 0 {
			continue
		}
		if s := t.scope; s != nil {
			s.drop(t)
			t.scope = s // for the error of a later use
		} else {
			t.cleanup.Stop()
			unscoped.Add(-1)
		}
		list = append(list, t.h)
		t.h = 0
	}
	mlxc.Free(list)
}

// Mark is a moment in the life of s, for AppendSince.
func (s *Scope) Mark() int { return int(s.added.Load()) }

// AppendSince appends to list the open tensors that were added to s after Mark
// returned mark, in that order: the results of a composite operation.
func (s *Scope) AppendSince(list []*Tensor, mark int) []*Tensor {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(list)
	for t := s.newest; t != nil && t.number >= mark; t = t.older {
		list = append(list, t)
	}
	slices.Reverse(list[n:])
	return list
}

// Len returns the number of open tensors in the scope.
func (s *Scope) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.len
}

func (s *Scope) adopt(t *Tensor) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		mlxc.Release(t.h)
		t.h, t.scope = 0, s
		panic(t.closedError("Scope"))
	}
	t.scope, t.number, t.older = s, int(s.added.Load()), s.newest
	if s.newest != nil {
		s.newest.newer = t
	}
	s.newest = t
	s.len++
	s.added.Add(1)
	s.mu.Unlock()
}

// drop takes t from the members without releasing it.
func (s *Scope) drop(t *Tensor) {
	s.mu.Lock()
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		s.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	}
	t.scope, t.older, t.newer = nil, nil, nil
	s.len--
	s.mu.Unlock()
}

// leaveToCollector makes t a tensor of no scope.
func (t *Tensor) leaveToCollector() {
	unscoped.Add(1)
	t.cleanup = runtime.AddCleanup(t, releaseUnscoped, t.h)
	notePressure(t.Bytes())
}

func releaseUnscoped(h mlxc.Array) {
	unscoped.Add(-1)
	mlxc.Release(h)
}

func (t *Tensor) closedError(op string) *Error {
	msg := "a tensor is used after it was closed"
	if s := t.scope; s != nil {
		s.mu.Lock()
		opened, ended, closed := site(s.opened[:]), site(s.ended[:]), s.closed
		s.mu.Unlock()
		msg = fmt.Sprintf("a tensor is used after it was released; its scope was opened at %s", opened)
		if closed {
			msg = fmt.Sprintf("a tensor is used after its scope was closed: opened at %s, closed at %s", opened, ended)
		}
	}
	return NewError("tensor."+op, []*Tensor{t}, "%s", msg)
}

// site names the innermost frame of a user among recorded program counters.
func site(pcs []uintptr) string {
	frames := runtime.CallersFrames(pcs)
	first := "an unknown place"
	for i := 0; ; i++ {
		frame, more := frames.Next()
		if frame.File != "" {
			at := fmt.Sprintf("%s:%d", frame.File, frame.Line)
			if i == 0 {
				first = at
			}
			if !inLibrary(frame.Function) || strings.HasSuffix(frame.File, "_test.go") {
				return at
			}
		}
		if !more {
			return first
		}
	}
}
