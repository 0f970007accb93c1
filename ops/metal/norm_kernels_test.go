package metal

import (
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// TestRowWork holds costs to the sizes of the arrays of rows or channels.
func TestRowWork(t *testing.T) {
	rows := Config{Dtype: tensor.BFloat16, DK: 64}
	taps := Config{Dtype: tensor.Float32, DK: 8, DV: 4}
	const perRow, perChannel = 10 * 64, 64 * 3 * 128 // 10 rows; 64 tokens of 384 channels
	for _, test := range []struct {
		kernel       *kernel
		config       Config
		bytes, flops float64
	}{
		{l2normKernel, rows, 2 * 2 * perRow, 3 * perRow},
		{l2normBackKernel, rows, 3 * 2 * perRow, 7 * perRow},
		{gatedNormKernel, rows, 3 * 2 * perRow, 9 * perRow},
		{gatedNormBackKernel, rows, 5 * 2 * perRow, 24 * perRow},
		{shortConvKernel, taps, 2 * 4 * perChannel, 3 * 4 * perChannel},
		{shortConvBackKernel, taps, 3 * 4 * perChannel, 9 * 4 * perChannel},
	} {
		if got, want := test.kernel.work(test.config, 10, 2, 3), (Work{test.flops, test.bytes, 1}); got != want {
			t.Errorf("%s: %+v, want %+v", test.kernel.name, got, want)
		}
	}
}
