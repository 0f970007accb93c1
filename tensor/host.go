package tensor

import (
	bits "encoding/binary"
	"math"
	"runtime"
	"unsafe"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Element is a Go type that tensors can be made from and read as.
type Element interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32 | float64
}

func dtypeOf[T Element]() Dtype {
	var zero T
	switch any(zero).(type) {
	case bool:
		return Bool
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return Float32
	default:
		return Float64
	}
}

// FromSlice makes a tensor from a copy of data in row-major order. Without a
// shape it has one axis.
func FromSlice[T Element](data []T, shape ...int) *Tensor {
	if len(shape) == 0 {
		shape = []int{len(data)}
	}
	checkShape("FromSlice", shape)
	if product(shape) != len(data) {
		panic(NewError("tensor.FromSlice", nil, "%d elements don't fill the shape %v", len(data), shape))
	}
	return fromData("FromSlice", data, shape)
}

// Scalar makes a tensor without axes.
func Scalar[T Element](v T) *Tensor { return fromData("Scalar", []T{v}, nil) }

func fromData[T Element](op string, data []T, shape []int) *Tensor {
	t := fromBytes(op, unsafe.Pointer(unsafe.SliceData(data)), dtypeOf[T](), shape, nil)
	runtime.KeepAlive(data)
	t.bounds = hostBounds(data)
	return t
}

func fromBytes(op string, data unsafe.Pointer, d Dtype, shape []int, s *Scope) *Tensor {
	m, err := mlxc.NewData(data, int32s(shape), mlxc.Dtype(d))
	if err != nil {
		raise(op, err)
	}
	return wrap(s, &m)
}

// hostBounds finds the limits of integers, so that indices can be checked.
func hostBounds[T Element](data []T) *bounds {
	switch list := any(data).(type) {
	case []uint8:
		return limits(list)
	case []uint16:
		return limits(list)
	case []uint32:
		return limits(list)
	case []int8:
		return limits(list)
	case []int16:
		return limits(list)
	case []int32:
		return limits(list)
	case []int64:
		return limits(list)
	}
	return nil
}

func limits[T uint8 | uint16 | uint32 | int8 | int16 | int32 | int64](list []T) *bounds {
	if len(list) == 0 {
		return &bounds{}
	}
	low, high := list[0], list[0]
	for _, v := range list[1:] {
		low, high = min(low, v), max(high, v)
	}
	return &bounds{int64(low), int64(high)}
}

// checkShape refuses lengths that MLX can't hold.
func checkShape(op string, shape []int) {
	n := 1.0
	for _, d := range shape {
		if d < 0 || d > math.MaxInt32 {
			panic(NewError("tensor."+op, nil, "a length in the shape %v is not between 0 and %d", shape, math.MaxInt32))
		}
		n *= float64(d)
	}
	if n >= math.MaxInt {
		panic(NewError("tensor."+op, nil, "the shape %v has too many elements", shape))
	}
}

// Data evaluates t and returns its elements in row-major order. T must be the
// Go type of t's dtype; float16 and bfloat16 are read as float32.
func Data[T Element](t *Tensor) ([]T, error) {
	var out []T
	err := read(t, "Data", dtypeOf[T](), func(data []byte) {
		out = make([]T, len(data)/int(unsafe.Sizeof(*new(T))))
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), len(data)), data)
	})
	if err == nil && out == nil {
		out = []T{}
	}
	return out, err
}

// Item evaluates a tensor of one element and returns it; T is as for Data.
func Item[T Element](t *Tensor) (T, error) {
	var zero T
	if t == nil {
		return zero, errors.New("tensor.Item: the tensor is nil")
	}
	if t.Size() != 1 {
		return zero, errors.Errorf("tensor.Item: want a tensor of one element, got shape %v", t.shape)
	}
	data, err := Data[T](t)
	if err != nil {
		return zero, err
	}
	return data[0], nil
}

// read evaluates t and calls f with its elements as dtype want.
func read(t *Tensor, op string, want Dtype, f func(data []byte)) (err error) {
	if t == nil {
		return errors.Errorf("tensor.%s: the tensor is nil", op)
	}
	if t.Closed() {
		return errors.WithStack(t.closedError(op))
	}
	half := t.dtype == Float16 || t.dtype == BFloat16
	if t.dtype != want && !(half && want == Float32) {
		return errors.Errorf("tensor.%s: a tensor of %s can't be read as %s; convert it with AsType", op, t.dtype, want)
	}
	if err := Eval(t); err != nil {
		return err
	}
	if t.Size() == 0 {
		return nil
	}
	s := NewScope()
	defer s.Close()
	dense := t
	if t.dtype != want {
		dense = AsType(s.Use(t), want)
		if err := Eval(dense); err != nil {
			return err
		}
	}
	defer runtime.KeepAlive(t)
	if mlxc.Bytes(dense.h, f) {
		return nil
	}
	dense = Contiguous(s.Use(dense))
	if err := Eval(dense); err != nil {
		return err
	}
	if !mlxc.Bytes(dense.h, f) {
		return errors.Errorf("tensor.%s: the elements of a %s tensor of shape %v can't be read", op, t.dtype, t.shape)
	}
	return nil
}

// scalarBytes encodes v as one element of dtype d.
func scalarBytes(d Dtype, v float64) (b [8]byte) {
	le := bits.LittleEndian
	switch d {
	case Bool:
		if v != 0 {
			b[0] = 1
		}
	case Uint8:
		b[0] = uint8(v)
	case Int8:
		b[0] = uint8(int8(v))
	case Uint16:
		le.PutUint16(b[:], uint16(v))
	case Int16:
		le.PutUint16(b[:], uint16(int16(v)))
	case Uint32:
		le.PutUint32(b[:], uint32(v))
	case Int32:
		le.PutUint32(b[:], uint32(int32(v)))
	case Uint64:
		le.PutUint64(b[:], uint64(v))
	case Int64:
		le.PutUint64(b[:], uint64(int64(v)))
	case Float32:
		le.PutUint32(b[:], math.Float32bits(float32(v)))
	case Float64:
		le.PutUint64(b[:], math.Float64bits(v))
	case BFloat16:
		le.PutUint16(b[:], bfloat16Bits(float32(v)))
	case Float16:
		le.PutUint16(b[:], float16Bits(v))
	}
	return b
}

// bfloat16Bits rounds to nearest, ties to even.
func bfloat16Bits(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// float16Bits rounds to nearest, ties to even.
func float16Bits(v float64) uint16 {
	sign := uint16(0)
	if math.Signbit(v) {
		sign = 0x8000
	}
	a := math.Abs(v)
	switch {
	case v != v:
		return sign | 0x7e00
	case a >= 65520:
		return sign | 0x7c00
	case a < 0x1p-14: // subnormal: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(a*0x1p24))
	}
	_, exp := math.Frexp(a) // a = f·2^exp, f in [1/2, 1)
	mantissa := math.RoundToEven(math.Ldexp(a, 11-exp))
	return sign + uint16(exp+14-1)<<10 + uint16(mantissa)
}
