package metal

import (
	"math"

	"github.com/deltatape/deltatape/tensor"
)

// encode returns the bits of numbers that a half type holds exactly.
func encode(d tensor.Dtype, wide []float32) []uint16 {
	bits := make([]uint16, len(wide))
	for i, x := range wide {
		u := math.Float32bits(x)
		switch {
		case d == tensor.BFloat16:
			bits[i] = uint16(u >> 16)
		case x != x:
			bits[i] = 0x7e00
		case math.IsInf(float64(x), 0):
			bits[i] = uint16(u>>16&0x8000) | 0x7c00
		case u&0x7fffffff < 113<<23: // subnormal, in units of 2^-24
			bits[i] = uint16(u>>16&0x8000) | uint16(math.Abs(float64(x))*(1<<24))
		default:
			bits[i] = uint16(u>>16&0x8000) | uint16((u&0x7fffffff-112<<23)>>13)
		}
	}
	return bits
}

// decode is the inverse of encode.
func decode(d tensor.Dtype, bits []uint16) []float32 {
	wide := make([]float32, len(bits))
	for i, b := range bits {
		sign, exponent, fraction := uint32(b&0x8000)<<16, uint32(b>>10&31), uint32(b&1023)
		switch {
		case d == tensor.BFloat16:
			wide[i] = math.Float32frombits(uint32(b) << 16)
		case exponent == 31:
			wide[i] = math.Float32frombits(sign | 0x7f800000 | fraction<<13)
		case exponent > 0:
			wide[i] = math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
		default:
			wide[i] = float32(fraction) / (1 << 24)
			if sign != 0 {
				wide[i] = -wide[i]
			}
		}
	}
	return wide
}
