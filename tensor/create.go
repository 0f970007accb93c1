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

// Full makes a tensor whose elements are all v.
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
	return scalarIn(x.scope, x.dtype, v)
}

func scalarIn(s *Scope, d Dtype, v float64) *Tensor {
	b := scalarBytes(d, v)
	t := fromBytes("Like", unsafe.Pointer(&b[0]), d, nil, s)
	runtime.KeepAlive(&b)
	return t
}

// full broadcasts one element lazily, so that a constant costs no memory.
func full(op string, s *Scope, v float64, d Dtype, shape []int) *Tensor {
	checkShape(op, shape)
	if !d.valid() {
		panic(NewError("tensor."+op, nil, "unsupported dtype %d", d))
	}
	inner := NewScope()
	defer inner.Close()
	one := scalarIn(inner, d, v)
	m, err := mlxc.BroadcastTo(deviceFor(d), one.h, int32s(shape))
	if err != nil {
		raise(op, err)
	}
	t := wrap(s, &m)
	if d.IsInteger() {
		t.bounds = &bounds{int64(v), int64(v)}
	}
	return t
}

// Arange returns the numbers from start up to but without stop, in steps.
func Arange(start, stop, step float64, d Dtype) *Tensor {
	if !(step != 0) || math.IsNaN(start+stop+step) || math.IsInf(start+stop+step, 0) {
		panic(NewError("tensor.Arange", nil, "want finite numbers and a step that is not 0, got start %v, stop %v, step %v", start, stop, step))
	}
	m, err := mlxc.Arange(deviceFor(d), start, stop, step, mlxc.Dtype(d))
	if err != nil {
		raise("Arange", err)
	}
	t := wrap(nil, &m)
	if d.IsInteger() {
		t.bounds = &bounds{int64(min(start, stop)), int64(max(start, stop))}
		if step > 0 {
			t.bounds.high-- // stop is left out
		} else {
			t.bounds.low++
		}
		if t.Size() == 0 {
			t.bounds = &bounds{}
		}
	}
	return t
}

// Eye returns an n by m matrix with ones on diagonal k.
func Eye(n, m, k int, d Dtype) *Tensor {
	checkShape("Eye", []int{n, m})
	r, err := mlxc.Eye(deviceFor(d), n, m, k, mlxc.Dtype(d))
	if err != nil {
		raise("Eye", err)
	}
	return wrap(nil, &r)
}
