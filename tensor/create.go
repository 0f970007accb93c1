package tensor

import (
	"math"
	"runtime"
	"unsafe"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Zeros makes a tensor of zeros.
func Zeros(d Dtype, shape ...int) *Tensor { return Full(0, d, shape...) }

// Ones makes a tensor of ones.
func Ones(d Dtype, shape ...int) *Tensor { return Full(1, d, shape...) }

// Full makes a tensor whose elements are all v, which must be a value of d.
func Full(v float64, d Dtype, shape ...int) *Tensor { return full("Full", nil, v, d, shape) }

// ZerosLike returns zeros of x's shape and dtype.
func ZerosLike(x *Tensor) *Tensor { return FullLike(x, 0) }

// OnesLike returns ones of x's shape and dtype.
func OnesLike(x *Tensor) *Tensor { return FullLike(x, 1) }

// FullLike returns a tensor of x's shape and dtype whose elements are all v.
func FullLike(x *Tensor, v float64) *Tensor {
	x.handle("FullLike")
	return full("FullLike", x.scope, v, x.dtype, x.shape)
}

// Like returns v as a tensor without axes of x's dtype, in x's scope.
func Like(x *Tensor, v float64) *Tensor {
	x.handle("Like")
	return scalarIn("Like", x.scope, x.dtype, v)
}

func scalarIn(op string, s *Scope, d Dtype, v float64) *Tensor {
	if !d.valid() {
		panic(NewError("tensor."+op, nil, "unsupported dtype %d", d))
	}
	if !d.holds(v) {
		panic(NewError("tensor."+op, nil, "%v is not a value of %s", v, d))
	}
	b := scalarBytes(d, v)
	t := fromBytes(op, unsafe.Pointer(&b[0]), d, nil, s)
	runtime.KeepAlive(&b)
	return t
}

// full broadcasts one element lazily, so that a constant costs no memory.
func full(op string, s *Scope, v float64, d Dtype, shape []int) *Tensor {
	checkShape(op, shape)
	inner := NewScope()
	defer inner.Close()
	one := scalarIn(op, inner, d, v)
	m, err := mlxc.BroadcastTo(deviceFor(d), one.h, int32s(shape))
	if err != nil {
		raise(op, err)
	}
	t := wrap(s, &m)
	if d.IsInteger() {
		t.bounds = &bounds{int64(v), int64(v)}
	}
	return t.fitting(op)
}

// Arange returns the numbers start, start+step, and so on up to but without
// stop. Numbers of an integer type must be values of it.
func Arange(start, stop, step float64, d Dtype) *Tensor {
	bad := func(format string, args ...any) {
		panic(NewError("tensor.Arange", nil, format, args...))
	}
	n := math.Ceil((stop - start) / step)
	if math.IsNaN(n) || math.IsInf(n, 0) || math.IsInf(step, 0) {
		bad("want finite numbers and a step that is not 0, got start %v, stop %v, step %v", start, stop, step)
	}
	n = max(n, 0)
	if n > math.MaxInt32 {
		bad("want at most %d numbers, got %v", math.MaxInt32, n)
	}
	switch last := start + step*max(n-1, 0); {
	case d.IsFloat():
		return arangeFloat(start, step, int(n), d)
	case !d.IsInteger():
		bad("want a number type, got %s", d)
	case !d.holds(start) || !d.holds(last) || step != math.Trunc(step):
		bad("the numbers from %v to %v in steps of %v are not values of %s", start, last, step, d)
	}
	m, err := mlxc.Arange(deviceFor(d), start, stop, step, mlxc.Dtype(d))
	if err != nil {
		raise("Arange", err)
	}
	t := wrap(nil, &m)
	t.bounds = &bounds{}
	if n > 0 {
		last := start + step*(n-1)
		t.bounds = &bounds{int64(min(start, last)), int64(max(start, last))}
	}
	return t.fitting("Arange")
}

// arangeFloat multiplies counts; the engine adds up steps, with an error that
// grows.
func arangeFloat(start, step float64, n int, d Dtype) *Tensor {
	s := NewScope()
	defer s.Close()
	work := d
	if d.Size() < 4 { // 16 bits can't count far
		work = Float32
	}
	x := AsType(s.Use(Arange(0, float64(n), 1, Int32)), work)
	if step != 1 {
		x = MulScalar(x, step)
	}
	if start != 0 {
		x = AddScalar(x, start)
	}
	if work != d {
		x = AsType(x, d)
	}
	x.moveTo(nil)
	return x
}

// Eye returns an n by m matrix with ones on diagonal k.
func Eye(n, m, k int, d Dtype) *Tensor {
	checkShape("Eye", []int{n, m})
	if !d.valid() {
		panic(NewError("tensor.Eye", nil, "unsupported dtype %d", d))
	}
	// On CUDA not every dtype can be scattered, but float32 can.
	r, err := mlxc.Eye(deviceFor(d), n, m, nearDiagonal(k, n, m), mlxc.Dtype(Float32))
	if err != nil {
		raise("Eye", err)
	}
	ones := wrap(nil, &r)
	if d == Float32 {
		return ones.fitting("Eye")
	}
	defer Free(ones)
	return AsType(ones, d).fitting("Eye")
}

// nearDiagonal limits the number of a diagonal to those that touch a matrix,
// and the two beside them: the engine takes 32 bits.
func nearDiagonal(k, rows, cols int) int { return min(max(k, -rows), cols) }
