// Doctor prints what deltatape finds on this machine, and for everything that
// is wrong the line that mends it.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/report"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const about = `Doctor prints the versions of MLX and mlx-c, the device, the BLAS and its
speed, and memory. It exits with 1 if something is wrong, and then says what
mends it.

Usage: doctor [flags]
`

// slowBLAS is the speed in GFLOP/s below which a BLAS is the reference one.
const slowBLAS = 15

// run is the program; it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	flags := program.NewFlags("doctor", about, errOut)
	var device program.Device
	device.Var(flags)
	if code, ok := flags.Parse(args, nil); !ok {
		return code
	}
	healthy, err := examine(out, device)
	return flags.Exit(healthy, err)
}

// examine prints the findings and reports whether all is well.
func examine(out io.Writer, device program.Device) (bool, error) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("go", "%s %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	v, err := tensor.Versions()
	if err != nil {
		return false, err
	}
	line("mlx", "%s", v.MLX)
	line("mlx-c", "%s", known(v.MLXC))
	line("backend", "%s", known(v.Backend))
	line("library", "%s", v.Path)
	if err := device.Select(); err != nil {
		return false, err
	}
	line("device", "%s", tensor.DefaultDevice())
	if err := addition(); err != nil {
		return false, err
	}
	speed, err := matmulSpeed()
	if err != nil {
		return false, err
	}
	healthy := true
	if tensor.DefaultDevice() == tensor.CPU {
		line("blas", "%s, %.0f GFLOP/s (float32, 256 products of 64x64x64)", known(v.BLAS), speed)
		if speed < slowBLAS {
			healthy = false
			line("", "slow: this is the speed of a reference BLAS. Mend it: rm -f .deps && make setup")
		}
	} else {
		line("matmul", "%.0f GFLOP/s (float32, 256 products of 64x64x64)", speed)
	}
	if err := kernels(); err != nil {
		healthy = false
		line("kernels", "wrong: %v", err)
		line("", "Mend it: ask for the implementation chunk, or for the device cpu where a layer's kernel is wrong, and report this")
	} else {
		line("kernels", "agree with the op graph (float32, float16 and bfloat16)")
	}
	m := tensor.Memory()
	line("memory", "%s in use, %s at most, %s kept for later", report.Bytes(m.Active), report.Bytes(m.Peak), report.Bytes(m.Cache))
	if healthy {
		fmt.Fprintln(out, "all is well")
	}
	return healthy, nil
}

func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// addition checks that the device computes at all, and computes right.
func addition() error {
	s := tensor.NewScope()
	defer s.Close()
	x := s.Use(tensor.Arange(0, 1000, 1, tensor.Float32))
	sum, err := tensor.Item[float32](tensor.Sum(tensor.Add(x, x), false))
	if err != nil {
		return errors.Wrap(err, "a sum on the device")
	}
	if sum != 999000 {
		return errors.Errorf("the device computes wrong: the sum is %v, want 999000", sum)
	}
	return nil
}

// kernels compares the fused kernels with the op graph, on a CPU in the emulator: a
// compiler that gets one of them wrong is to be found here, not in training.
func kernels() error {
	for _, d := range kernelDtypes {
		for _, c := range []metal.Config{
			{Dtype: d, Chunk: 16, HK: 1, HV: 2, DK: 32, DV: 64},
			{Dtype: d, Chunk: 32, HK: 2, HV: 2, DK: 64, DV: 64},
			{Dtype: d, Chunk: 64, HK: 1, HV: 2, DK: 64, DV: 64},
		} {
			if c.Refusal() != "" {
				continue // chunks of 64 are for half types
			}
			if err := gateddelta.CheckKernels(d, c.Chunk, c.HK, c.HV, c.DK, c.DV); err != nil {
				return errors.WithMessagef(err, "%s, chunks of %d", d, c.Chunk)
			}
			if err := metal.CheckLayers(d, c.HK, c.HV, c.DK, c.DV, convTaps); err != nil {
				return errors.WithMessage(err, d.String())
			}
			if err := c.CheckDecode(convTaps); err != nil {
				return errors.WithMessage(err, d.String())
			}
		}
	}
	return nil
}

// kernelDtypes are those that there are kernels for, convTaps those of the
// convolutions in models.
var kernelDtypes = []tensor.Dtype{tensor.Float32, tensor.Float16, tensor.BFloat16}

const convTaps = 4

// matmulSpeed measures batched products, the shape of chunked linear attention.
func matmulSpeed() (float64, error) {
	const batch, n, repeats = 256, 64, 10
	s := tensor.NewScope()
	defer s.Close()
	x := s.Use(tensor.Normal(tensor.Key(0), batch, n, n))
	if err := tensor.Eval(x); err != nil {
		return 0, err
	}
	best := time.Duration(0)
	for range repeats {
		start := time.Now()
		if err := tensor.Eval(tensor.MatMul(x, x)); err != nil {
			return 0, err
		}
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	return 2 * batch * n * n * n / best.Seconds() / 1e9, nil
}
