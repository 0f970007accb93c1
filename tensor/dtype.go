package tensor

import (
	"math"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Dtype is the type of a tensor's elements.
type Dtype uint8

// The element types.
const (
	Bool     = Dtype(mlxc.Bool)
	Uint8    = Dtype(mlxc.Uint8)
	Uint16   = Dtype(mlxc.Uint16)
	Uint32   = Dtype(mlxc.Uint32)
	Uint64   = Dtype(mlxc.Uint64)
	Int8     = Dtype(mlxc.Int8)
	Int16    = Dtype(mlxc.Int16)
	Int32    = Dtype(mlxc.Int32)
	Int64    = Dtype(mlxc.Int64)
	Float16  = Dtype(mlxc.Float16)
	Float32  = Dtype(mlxc.Float32)
	Float64  = Dtype(mlxc.Float64)
	BFloat16 = Dtype(mlxc.BFloat16)
)

var dtypes = [...]struct {
	name string
	size int
}{
	Bool: {"bool", 1}, Uint8: {"uint8", 1}, Uint16: {"uint16", 2}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8},
	Int8: {"int8", 1}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	Float16: {"float16", 2}, Float32: {"float32", 4}, Float64: {"float64", 8}, BFloat16: {"bfloat16", 2},
}

func (d Dtype) valid() bool { return int(d) < len(dtypes) }

// String returns MLX's name of the type, such as "bfloat16".
func (d Dtype) String() string {
	if !d.valid() {
		return "unsupported dtype"
	}
	return dtypes[d].name
}

// Size returns the bytes of one element.
func (d Dtype) Size() int {
	if !d.valid() {
		return 0
	}
	return dtypes[d].size
}

// IsFloat reports whether d is one of the four floating-point types.
func (d Dtype) IsFloat() bool {
	return d == Float16 || d == Float32 || d == Float64 || d == BFloat16
}

// floating is the type that functions of real numbers give for d.
func floating(d Dtype) Dtype {
	if d.IsFloat() {
		return d
	}
	return Float32
}

// signed reports whether d has negative values.
func (d Dtype) signed() bool { return d.IsFloat() || d >= Int8 && d <= Int64 }

// holds reports whether v, which floating-point types round, is a value of d.
func (d Dtype) holds(v float64) bool {
	switch {
	case d.IsFloat():
		return true
	case d == Bool:
		return v == v
	}
	bits := 8 * d.Size()
	low, high := 0.0, math.Ldexp(1, bits)
	if d.signed() {
		high = math.Ldexp(1, bits-1)
		low = -high
	}
	return v == math.Trunc(v) && v >= low && v < high
}

// IsInteger reports whether d is a signed or unsigned integer type.
func (d Dtype) IsInteger() bool { return d >= Uint8 && d <= Int64 }
