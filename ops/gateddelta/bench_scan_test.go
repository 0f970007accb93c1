package gateddelta

import (
	"fmt"
	"testing"
)

// BenchmarkScan compares the scans, and compiled passes with others.
func BenchmarkScan(b *testing.B) {
	for _, shape := range []sampling{
		{B: 1, T: 4096, Hk: 1, Hv: 1, K: 32, V: 32},
		{B: 1, T: 1024, Hk: 4, Hv: 8, K: 64, V: 64},
		{B: 1, T: 2048, Hk: 8, Hv: 32, K: 128, V: 128},
	} {
		for _, opt := range []Options{
			{Scan: ScanSequential}, {Scan: ScanTransition}, {Scan: ScanTwoLevel},
			{Scan: ScanSequential, Compile: CompileOn}, {Scan: ScanTwoLevel, Compile: CompileOn},
		} {
			name := fmt.Sprintf("T%d-H%d.%d-K%d/%s", shape.T, shape.Hk, shape.Hv, shape.K, opt.Scan)
			if opt.Compile == CompileOn {
				name += "-compiled"
			}
			b.Run(name, func(b *testing.B) { benchmarkApply(b, shape, opt, true) })
		}
	}
	FreeCompiled()
}
