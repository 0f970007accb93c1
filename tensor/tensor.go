package tensor

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Tensor is an immutable n-dimensional array, evaluated lazily.
type Tensor struct {
	h       mlxc.Array // 0 when closed
	shape   []int
	dtype   Dtype
	scope   *Scope // nil: released by the garbage collector
	number  int    // among all that were ever added to the scope
	bounds  *bounds
	op      string // that made it, such as "MatMul"; may be unknown
	failed  atomic.Pointer[evalFailure]
	cleanup runtime.Cleanup
	inline  [4]int // backs shape where it fits

	older, newer *Tensor // neighbours among the scope's members
}

// evalFailure is why an evaluation of a tensor failed.
type evalFailure struct{ err error }

// bounds are limits of an integer tensor's values that the host knows.
type bounds struct{ low, high int64 }

// Shape returns a copy of the lengths of the axes.
func (t *Tensor) Shape() []int { return append(make([]int, 0, len(t.shape)), t.shape...) }

// NDim returns the number of axes.
func (t *Tensor) NDim() int { return len(t.shape) }

// Dim returns the length of an axis; negative axes count from the end.
func (t *Tensor) Dim(axis int) int { return t.shape[t.axis("Dim", axis)] }

// Size returns the number of elements.
func (t *Tensor) Size() int { return product(t.shape) }

// Bytes returns the size of the elements in bytes.
func (t *Tensor) Bytes() int64 { return int64(t.Size()) * int64(t.dtype.Size()) }

// Dtype returns the type of the elements.
func (t *Tensor) Dtype() Dtype { return t.dtype }

// Closed reports whether the tensor's scope was closed.
func (t *Tensor) Closed() bool { return t.h == 0 }

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// wrap makes the tensor of a new array in scope s, or in none.
func wrap(s *Scope, m *mlxc.Made) *Tensor {
	t := &Tensor{h: m.Array, dtype: Dtype(m.Dtype)}
	n := m.NDim()
	if n <= len(t.inline) {
		t.shape = t.inline[:n:n]
	} else {
		t.shape = make([]int, n)
	}
	for i := range t.shape {
		t.shape[i] = m.Dim(i)
	}
	if s != nil {
		s.adopt(t)
	} else {
		t.leaveToCollector()
	}
	return t
}

// handle returns the array of an operand of op and refuses closed and failed
// ones.
func (t *Tensor) handle(op string) mlxc.Array {
	if t == nil {
		panic(NewError("tensor."+op, nil, "an operand is nil"))
	}
	if t.h == 0 {
		panic(t.closedError(op))
	}
	if f := t.failed.Load(); f != nil {
		panic(NewError("tensor."+op, []*Tensor{t}, "an operand's evaluation failed before: %v", f.err))
	}
	return t.h
}

// largest is the size in bytes that no tensor on this machine may pass.
var largest = sync.OnceValue(mlxc.LargestAllocation)

// fitting returns t, or panics where no memory could hold it: a failed
// allocation ends the process.
func (t *Tensor) fitting(op string) *Tensor {
	if n := t.footprint(); n > largest() {
		shape, limit := t.shape, largest()
		Free(t)
		panic(NewError("tensor."+op, nil, "the result of shape %v takes %.3g bytes, more than this machine's memory of %.3g", shape, n, limit))
	}
	return t
}

// footprint is Bytes without overflow.
func (t *Tensor) footprint() float64 {
	n := float64(t.dtype.Size())
	for _, d := range t.shape {
		n *= float64(d)
	}
	return n
}

// axis checks an axis of t and makes it non-negative.
func (t *Tensor) axis(op string, axis int) int {
	if t == nil {
		panic(NewError("tensor."+op, nil, "an operand is nil"))
	}
	a := axis
	if a < 0 {
		a += len(t.shape)
	}
	if a < 0 || a >= len(t.shape) {
		panic(NewError("tensor."+op, []*Tensor{t}, "axis %d is out of range for %d dimensions", axis, len(t.shape)))
	}
	return a
}

// axes checks a list of axes, which must differ; none means all.
func (t *Tensor) axes(op string, axes []int) []int32 {
	if len(axes) == 0 {
		all := make([]int32, len(t.shape))
		for i := range all {
			all[i] = int32(i)
		}
		return all
	}
	list := make([]int32, len(axes))
	for i, a := range axes {
		list[i] = int32(t.axis(op, a))
		for _, b := range list[:i] {
			if b == list[i] {
				panic(NewError("tensor."+op, []*Tensor{t}, "axis %d is given twice in %v", a, axes))
			}
		}
	}
	return list
}

// scopeOf returns the scope of a result: the operand's scope opened last.
func scopeOf(operands ...*Tensor) *Scope {
	var s *Scope
	for _, t := range operands {
		if t != nil {
			s = newerScope(s, t.scope)
		}
	}
	return s
}

func newerScope(a, b *Scope) *Scope {
	if a == nil || b != nil && b.id > a.id {
		return b
	}
	return a
}

// handles returns the arrays of a list of operands.
func handles(op string, ts []*Tensor) []mlxc.Array {
	list := make([]mlxc.Array, len(ts))
	for i, t := range ts {
		list[i] = t.handle(op)
	}
	return list
}

// The shapes of calls into MLX. Each result lives in the operands' scope.

type unaryFunc func(mlxc.Device, mlxc.Array) (mlxc.Made, error)
type binaryFunc func(mlxc.Device, mlxc.Array, mlxc.Array) (mlxc.Made, error)

func unary(op string, f unaryFunc, x *Tensor) *Tensor {
	m, err := f(deviceOf(x), x.handle(op))
	return made(op, &m, err, x)
}

func binary(op string, f binaryFunc, a, b *Tensor) *Tensor {
	ha, hb := a.handle(op), b.handle(op)
	m, err := f(deviceOf2(a, b), ha, hb)
	if err != nil {
		if _, shapeErr := BroadcastShapes(a.shape, b.shape); shapeErr != nil {
			panic(NewError("tensor."+op, []*Tensor{a, b}, "shapes can't be broadcast together"))
		}
		raise(op, err, a, b)
	}
	t := wrap(newerScope(a.scope, b.scope), &m)
	t.op = op
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	return t.fitting(op)
}

// made finishes an operation of one operand.
func made(op string, m *mlxc.Made, err error, x *Tensor) *Tensor {
	if err != nil {
		raise(op, err, x)
	}
	t := wrap(x.scope, m)
	t.op = op
	runtime.KeepAlive(x)
	return t.fitting(op)
}

// madeOf finishes an operation of several operands.
func madeOf(op string, m *mlxc.Made, err error, operands ...*Tensor) *Tensor {
	if err != nil {
		raise(op, err, operands...)
	}
	t := wrap(scopeOf(operands...), m)
	t.op = op
	runtime.KeepAlive(operands)
	return t.fitting(op)
}

// madeList finishes an operation with several results.
func madeList(op string, list []mlxc.Made, err error, operands ...*Tensor) []*Tensor {
	if err != nil {
		raise(op, err, operands...)
	}
	s := scopeOf(operands...)
	out := make([]*Tensor, len(list))
	for i := range list {
		out[i] = wrap(s, &list[i])
		out[i].op = op
	}
	runtime.KeepAlive(operands)
	return out
}

func int32s(list []int) []int32 {
	out := make([]int32, len(list))
	for i, v := range list {
		out[i] = int32(v)
	}
	return out
}
