package metal

import (
	"fmt"

	"github.com/deltatape/deltatape/internal/emulator"
	"github.com/deltatape/deltatape/tensor"
)

// Config is what kernels are built for. T, the number of sequences and the scale
// are not: they come with each launch.
type Config struct {
	Dtype  tensor.Dtype // of queries, keys, values and their gradients
	Chunk  int          // C, tokens in a chunk
	DK, DV int          // elements of a key and of a value
	HK, HV int          // key heads, and value heads, a multiple of them
}

// mostElements is the largest size of a key or a value.
const mostElements = 256

// Refusal says why there are no kernels for a configuration; "" means that there
// are.
func (c Config) Refusal() string {
	half := c.Dtype == tensor.Float16 || c.Dtype == tensor.BFloat16
	switch {
	case !half && c.Dtype != tensor.Float32:
		return fmt.Sprintf("the kernels take float32, bfloat16 and float16, not %s", c.Dtype)
	case c.HK < 1 || c.HV < 1 || c.HV%c.HK != 0:
		return fmt.Sprintf("the kernels take a multiple of the key heads as value heads, not %d for %d", c.HV, c.HK)
	case c.DK < 8 || c.DV < 8 || c.DK%8 != 0 || c.DV%8 != 0 || c.DK > mostElements || c.DV > mostElements:
		return fmt.Sprintf("the kernels take K and V that are multiples of 8 up to %d, not %d and %d", mostElements, c.DK, c.DV)
	case c.Chunk == 64 && !half:
		return "the kernels take chunks of 64 for half types only: float32 leaves no room for them in threadgroup memory"
	case c.Chunk == 64 && c.DK > 128:
		return fmt.Sprintf("the kernels take K up to 128 for chunks of 64, not %d: they run out of registers", c.DK)
	case c.Chunk != 16 && c.Chunk != 32 && c.Chunk != 64:
		return fmt.Sprintf("the kernels take chunks of 16, 32 and 64, not %d", c.Chunk)
	}
	for _, k := range registry {
		if n := 4 * k.sharedFloats(c); n > threadgroupBytes {
			return fmt.Sprintf("%s would take %d bytes of threadgroup memory for chunks of %d and K = %d, more than %d", k.name, n, c.Chunk, c.DK, threadgroupBytes)
		}
		if n := 32 * k.simdgroups(c); n > threadgroupThreads {
			return fmt.Sprintf("%s would take %d threads for chunks of %d and K = %d, more than %d", k.name, n, c.Chunk, c.DK, threadgroupThreads)
		}
	}
	return ""
}

// Limits of a threadgroup.
const (
	threadgroupBytes   = 32 << 10
	threadgroupThreads = 1024
)

// group is the number of value heads that share a key head.
func (c Config) group() int { return c.HV / c.HK }

// emulated is the emulator's name of a kernel.
func (c Config) emulated(name string) string { return fmt.Sprintf("%s_%s_c%d", name, c.Dtype, c.Chunk) }

// unique is a name that no other text has.
func (c Config) unique(name string) string {
	return fmt.Sprintf("deltatape_%s_%s_c%d_k%d_v%d_h%d_%d", name, c.Dtype, c.Chunk, c.DK, c.DV, c.HK, c.HV)
}

// elementTypes are the types of elements in the three languages.
var elementTypes = map[tensor.Dtype]struct {
	metal, cuda string
	emulated    emulator.Type
}{
	tensor.Float32:  {"float", "float", emulator.Float32},
	tensor.Float16:  {"half", "__half", emulator.Float16},
	tensor.BFloat16: {"bfloat16_t", "__nv_bfloat16", emulator.BFloat16},
}
