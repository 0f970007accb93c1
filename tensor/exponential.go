package tensor

import (
	"math"
	"runtime"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// The engine's exp is accurate to float32 at best, also for float64, and on x86
// it takes 11 ns an element, because it is written for vector units that it
// doesn't use there. Its power is the C library's: true to the last bit or two
// in both types, and faster. So exponentials are powers: e^x = (e^k)^(x/k), in
// which k is a power of two, so that x/k is exact, and so large that the
// rounding of e^k, which counts x/k times, is lost. Their steps are freed at
// once, since an open handle keeps its memory.

const (
	power32 = 64  // k for float32
	power64 = 512 // k for float64
)

// manyElements is from where the calls of the longer way cost less than they
// save.
const manyElements = 4096

// slowExp reports whether x is exponentiated faster as a power.
func slowExp(x *Tensor) bool {
	return runtime.GOARCH == "amd64" && x != nil && x.dtype == Float32 && x.Size() >= manyElements && onCPU(x)
}

// expPower is e^(s·x) for float32 and float64; s is a power of two but for
// its sign.
func expPower(x *Tensor, s float64) *Tensor {
	k := float64(power32)
	if x.dtype == Float64 {
		k = power64
	}
	base, exponent := Like(x, math.Exp(k)), MulScalar(x, s/k)
	defer Free(base, exponent)
	return Pow(base, exponent)
}

// sigmoidPower is 1/(1+e^−x). Where e^−x would overflow the result is 0 in its
// type already. The square of the root keeps the slope of the power, which is k
// times as large as itself, from overflowing in MLX's own differentiation.
func sigmoidPower(x *Tensor) *Tensor {
	limit := -88.0
	if x.dtype == Float64 {
		limit = -709
	}
	low := Like(x, limit)
	limited := Maximum(x, low)
	root := expPower(limited, -0.5)
	square := Square(root)
	sum := AddScalar(square, 1)
	defer Free(low, limited, root, square, sum)
	return Reciprocal(sum)
}

// Exp returns e^x.
func Exp(x *Tensor) *Tensor {
	if slowExp(x) {
		x.handle("Exp")
		return expPower(x, 1)
	}
	return accurate("Exp", mlxc.Exp, exp64, x)
}

// Sigmoid returns 1/(1 + e^−x).
func Sigmoid(x *Tensor) *Tensor {
	if slowExp(x) {
		x.handle("Sigmoid")
		return sigmoidPower(x)
	}
	return accurate("Sigmoid", mlxc.Sigmoid, sigmoidPower, x)
}

func exp64(x *Tensor) *Tensor { return expPower(x, 1) }
