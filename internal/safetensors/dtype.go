package safetensors

import (
	"math"
	"slices"
	"strings"

	"github.com/pkg/errors"
)

const (
	// maxDim is the largest dimension. Array libraries keep dimensions in 32
	// bits, and some cut a larger one off without a word.
	maxDim = math.MaxInt32

	// maxRank is the limit of NumPy and PyTorch.
	maxRank = 64
)

// dtypes lists the dtypes of this package in the order of the reference
// library, which stores tensors of later dtypes first.
var dtypes = []struct {
	name     string
	itemSize int64
}{
	{"BOOL", 1},
	{"U8", 1},
	{"I8", 1},
	{"I16", 2},
	{"U16", 2},
	{"F16", 2},
	{"BF16", 2},
	{"I32", 4},
	{"U32", 4},
	{"F32", 4},
	{"F64", 8},
	{"I64", 8},
	{"U64", 8},
}

// unsupported lists the dtypes of the format that this package refuses.
var unsupported = map[string]string{
	"F4":          "4-bit floats",
	"F6_E2M3":     "6-bit floats",
	"F6_E3M2":     "6-bit floats",
	"F8_E5M2":     "8-bit floats",
	"F8_E4M3":     "8-bit floats",
	"F8_E8M0":     "8-bit floats",
	"F8_E4M3FNUZ": "8-bit floats",
	"F8_E5M2FNUZ": "8-bit floats",
	"C64":         "complex numbers",
}

// dtypeRank returns the index of a dtype in dtypes.
func dtypeRank(dtype string) (int, error) {
	for i, d := range dtypes {
		if d.name == dtype {
			return i, nil
		}
	}
	names := make([]string, len(dtypes))
	for i, d := range dtypes {
		names[i] = d.name
	}
	slices.Sort(names)
	known := strings.Join(names, ", ")
	if what, ok := unsupported[dtype]; ok {
		return 0, errors.Errorf("dtype %s (%s) is not supported; expected one of %s", dtype, what, known)
	}
	return 0, errors.Errorf("unknown dtype %s; expected one of %s", quote(dtype), known)
}

// byteSize returns the size in bytes of a tensor.
func byteSize(dtype string, shape []int) (int64, error) {
	rank, err := dtypeRank(dtype)
	if err != nil {
		return 0, err
	}
	if len(shape) > maxRank {
		return 0, errors.Errorf("shape has %d dimensions; expected at most %d", len(shape), maxRank)
	}
	size, empty := dtypes[rank].itemSize, false
	for _, d := range shape {
		switch {
		case d < 0 || d > maxDim:
			return 0, errors.Errorf("shape %v has the dimension %d; expected 0 to %d", shape, d, maxDim)
		case d == 0:
			empty = true
		case size > math.MaxInt64/int64(d):
			// Refused beside a zero dimension too: strides would overflow.
			return 0, errors.Errorf("shape %v of %s has more than %d bytes", shape, dtype, int64(math.MaxInt64))
		default:
			size *= int64(d)
		}
	}
	if empty {
		return 0, nil
	}
	return size, nil
}
