package program

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/deltatape/deltatape/tensor"
)

// Machine describes in one line what a measurement ran on: processor, system,
// engine and device. It loads the engine.
func Machine() (string, error) {
	v, err := tensor.Versions()
	if err != nil {
		return "", err
	}
	parts := []string{processor(), fmt.Sprintf("%d cores", runtime.NumCPU()), runtime.GOOS + "/" + runtime.GOARCH, runtime.Version(), "MLX " + v.MLX}
	if v.Backend != "" {
		parts[len(parts)-1] += " (" + v.Backend + ")"
	}
	if d := tensor.DefaultDevice(); d != tensor.CPU {
		parts = append(parts, "on the "+d.String())
	} else if v.BLAS != "" {
		parts = append(parts, v.BLAS)
	}
	return strings.Join(parts, ", "), nil
}

// processor returns the name of the processor's model.
func processor() string {
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	if text, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil && len(text) > 0 {
		return strings.TrimSpace(string(text))
	}
	return "unknown processor"
}

// Fits reports whether the machine has so many bytes of memory. Package tensor
// refuses to make what no memory could hold, and makes nothing before it is
// evaluated.
func Fits(bytes float64) bool {
	const row = 1 << 20
	rows := int(min(bytes/row, 1<<31-1))
	return tensor.Try(func() { tensor.Free(tensor.Zeros(tensor.Uint8, rows, row)) }) == nil
}
