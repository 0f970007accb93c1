package emulator_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/internal/emulator"
)

const (
	groups     = 3
	simdgroups = 4
	threads    = simdgroups * 32
)

// run runs a kernel of wrong.h on numbers 0, 1, 2, …
func run(kernel string, seed uint64) ([]float32, error) {
	in := make([]float32, groups*threads)
	for i := range in {
		in[i] = float32(i)
	}
	out := make([]float32, len(in))
	err := emulator.Run(emulator.Launch{
		Kernel: kernel + "_wrong", HK: 1, HV: 1, Width: groups, Height: 1, Simdgroups: simdgroups, Shared: threads, Seed: seed,
	}, []emulator.Argument{emulator.Input(emulator.Float32, in), emulator.Output(emulator.Float32, out)})
	return out, err
}

func TestRight(t *testing.T) {
	for seed := range uint64(20) {
		got, err := run("right", seed)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i, x := range got {
			group, thread := i/threads*threads, i%threads
			mirror := func(j int) float32 { return float32(group + threads - 1 - j) }
			var sum float32
			for lane := range 32 {
				sum += mirror(thread/32*32 + lane)
			}
			if want := mirror(thread) + sum; x != want {
				t.Fatalf("seed %d: out[%d] = %g, want %g", seed, i, x, want)
			}
		}
	}
}

// TestWrong runs kernels with one fault each. It must be found whatever the order.
func TestWrong(t *testing.T) {
	for kernel, want := range map[string]string{
		"out_of_bounds":     "reads element 384 of argument 0, which has 384",
		"out_of_shared":     "writes cell 128 of threadgroup memory, which has 128",
		"no_barrier":        "with no barrier between",
		"no_barrier_after":  "with no barrier between",
		"no_simd_barrier":   "with no barrier between",
		"poison":            "of threadgroup memory, which nothing wrote",
		"parted_lanes":      "the lanes part",
		"parted_simdgroups": "waits at the barrier of line",
		"parted_branches":   "lane 0 at line",
		"parted_choice":     "lane 0 at line",
		"parted_turns":      "by another branch or turn, lane 0 at line",
		"parted_waits":      "by another branch or turn, lane 0 at line",
		"parted_products":   "lane 0 at line",
		"parted_barriers":   "waits at the barrier of line",
		"parted_masks":      "lane 16: shuffles by mask 2, lane 0 by 1",
		"read_output":       "reads argument 1, which is an output",
		"copied_output":     "reads argument 1, which is an output",
		"held_unwritten":    "reads matrix 3 of a Held, which nothing wrote",
		"held_outside":      "writes matrix 4 of a Held of 4",
		"held_twice":        "makes a second Held",
		"early_return":      "but simdgroup 1 has ended",
		"unwritten":         "element 5 of argument 1 was not written by any thread",
		"twice":             "of argument 1 a second time",
	} {
		for seed := range uint64(10) {
			_, err := run(kernel, seed)
			if err == nil {
				t.Errorf("%s, seed %d: no fault found, want %q", kernel, seed, want)
				continue
			}
			found := strings.Contains(err.Error(), want)
			if kernel == "no_barrier" || kernel == "no_simd_barrier" { // may also be read before it is written
				found = found || strings.Contains(err.Error(), "which nothing wrote")
			}
			if !found || !strings.HasPrefix(err.Error(), kernel+"_wrong: threadgroup (") {
				t.Errorf("%s, seed %d: %q, want %q", kernel, seed, err, want)
			}
		}
	}
}

// TestShuffle exchanges by masks that lanes have, and by others.
func TestShuffle(t *testing.T) {
	in, out := make([]float32, 32), make([]float32, 32)
	for i := range in {
		in[i] = float32(i)
	}
	arguments := []emulator.Argument{emulator.Input(emulator.Float32, in), emulator.Output(emulator.Float32, out)}
	for _, mask := range []int{-64, -1, 0, 5, 31, 32, 4096} {
		err := emulator.Run(emulator.Launch{Kernel: "shuffled_wrong", DK: mask, HK: 1, HV: 1, Width: 1, Height: 1, Simdgroups: 1}, arguments)
		if mask < 0 || mask > 31 {
			if want := fmt.Sprintf("shuffles by mask %d, want 0 to 31", mask); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("mask %d: %v, want %q", mask, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range out {
			if x != float32(i^mask) {
				t.Errorf("mask %d: lane %d has %g", mask, i, x)
			}
		}
	}
}

func TestArguments(t *testing.T) {
	x, y := make([]float32, threads), make([]float32, threads)
	bits := make([]uint16, threads)
	in, out := emulator.Input(emulator.Float32, x), emulator.Output(emulator.Float32, y)
	launch := emulator.Launch{Kernel: "right_wrong", HK: 1, HV: 1, Width: 1, Height: 1, Simdgroups: simdgroups, Shared: threads}
	for name, c := range map[string]struct {
		change    func(*emulator.Launch)
		arguments []emulator.Argument
		want      string
	}{
		"no kernel":      {func(l *emulator.Launch) { l.Kernel = "none" }, []emulator.Argument{in, out}, "there is no kernel none"},
		"few":            {nil, []emulator.Argument{in}, "argument 1 is missing or of another type"},
		"many":           {nil, []emulator.Argument{in, out, in}, "3 arguments, want 2"},
		"type":           {nil, []emulator.Argument{emulator.Input(emulator.Float16, bits), out}, "argument 0 is missing or of another type"},
		"direction":      {nil, []emulator.Argument{in, in}, "argument 1 is missing or of another type"},
		"no simdgroups":  {func(l *emulator.Launch) { l.Simdgroups = 0 }, []emulator.Argument{in, out}, "0 simdgroups in a threadgroup, want 1 to 32"},
		"all simdgroups": {func(l *emulator.Launch) { l.Simdgroups = 33 }, []emulator.Argument{in, out}, "33 simdgroups in a threadgroup"},
	} {
		l := launch
		if c.change != nil {
			c.change(&l)
		}
		if err := emulator.Run(l, c.arguments); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestMatrices multiplies by the lane map of Metal's matrices.
func TestMatrices(t *testing.T) {
	const rows, inner, columns = 16, 8, 8
	a, b := make([]float32, rows*inner), make([]float32, inner*columns)
	for i := range a {
		a[i] = float32(i%7) - 3
	}
	for i := range b {
		b[i] = float32(i%5) - 2
	}
	for _, kernel := range []string{"product", "product_turned"} {
		out := make([]float32, rows*columns)
		err := emulator.Run(emulator.Launch{Kernel: kernel + "_wrong", HK: 1, HV: 1, Width: 1, Height: 1, Simdgroups: 1},
			[]emulator.Argument{emulator.Input(emulator.Float32, a), emulator.Input(emulator.Float32, b), emulator.Output(emulator.Float32, out)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			for j := range columns {
				var want float32
				for k := range inner {
					x, y := a[i*inner+k], b[k*columns+j]
					if kernel == "product_turned" {
						x, y = a[k*rows+i], b[j*inner+k]
					}
					want += x * y
				}
				if got := out[i*columns+j]; got != want {
					t.Errorf("%s: (%d, %d) is %g, want %g", kernel, i, j, got, want)
				}
			}
		}
	}
}

// TestHalf rounds all kinds of numbers to the half types and back.
func TestHalf(t *testing.T) {
	numbers := []float32{
		0, 1, -1, 1.5, 65504, 65519, 65520, 1e5, 1e-8, 5.9604645e-08, 2.9802322e-08, 2.9802326e-08, 6.1e-5, 6.1035156e-05, 1.0009766, 1.0004883, 1.0014648,
		-3.14159, float32(math.Inf(1)), float32(math.Inf(-1)), 1.00390625, 1.01171875, 3e38, 3.4e38, 1e-40,
	}
	half := []float32{
		0, 1, -1, 1.5, 65504, 65504, float32(math.Inf(1)), float32(math.Inf(1)), 0, 5.9604645e-08, 0, 5.9604645e-08, 1023 * 0x1p-24, 6.1035156e-05, 1.0009766, 1, 1.0019531,
		-3.140625, float32(math.Inf(1)), float32(math.Inf(-1)), 1.00390625, 1.01171875, float32(math.Inf(1)), float32(math.Inf(1)), 0,
	}
	for kind, want := range map[emulator.Type][]float32{emulator.Float16: half, emulator.BFloat16: nil} {
		out, back := make([]uint16, len(numbers)), make([]float32, len(numbers))
		kernel := map[emulator.Type]string{emulator.Float16: "round16_wrong", emulator.BFloat16: "roundb16_wrong"}[kind]
		err := emulator.Run(emulator.Launch{Kernel: kernel, DK: len(numbers), HK: 1, HV: 1, Width: 1, Height: 1, Simdgroups: 1},
			[]emulator.Argument{emulator.Input(emulator.Float32, numbers), emulator.Output(kind, out), emulator.Output(emulator.Float32, back)})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range numbers {
			w := toBFloat16(x)
			if want != nil {
				w = want[i]
			}
			if back[i] != w {
				t.Errorf("%s: %g becomes %g, want %g", kernel, x, back[i], w)
			}
		}
	}
}

// toBFloat16 rounds by trying both neighbours.
func toBFloat16(x float32) float32 {
	down := math.Float32frombits(math.Float32bits(x) &^ 0xffff)
	up := math.Float32frombits(math.Float32bits(down) + 0x10000)
	if math.IsInf(float64(x), 0) {
		return x
	}
	far, near := math.Abs(float64(up)-float64(x)), math.Abs(float64(x)-float64(down))
	if math.IsInf(float64(up), 0) {
		far = math.Abs(math.Copysign(0x1p128, float64(x)) - float64(x))
	}
	if near < far || near == far && math.Float32bits(down)>>16&1 == 0 {
		return down
	}
	return up
}

func TestKernels(t *testing.T) {
	names := emulator.Kernels()
	for _, name := range []string{"chunk_prepare", "chunk_forward", "chunk_replay", "chunk_back", "chunk_grads", "sequential", "kkt_solve", "solve_blocks"} {
		for _, kind := range []string{"float32_c16", "float32_c32", "bfloat16_c16", "bfloat16_c32", "bfloat16_c64", "float16_c16", "float16_c32", "float16_c64"} {
			if want := name + "_" + kind; !slices.Contains(names, want) {
				t.Errorf("there is no kernel %s", want)
			}
		}
	}
}

func Example() {
	in, out := make([]float32, 64), make([]float32, 64)
	launch := emulator.Launch{Kernel: "early_return_wrong", HK: 1, HV: 1, Width: 1, Height: 1, Simdgroups: 2, Seed: 1}
	err := emulator.Run(launch, []emulator.Argument{emulator.Input(emulator.Float32, in), emulator.Output(emulator.Float32, out)})
	_, fault, _ := strings.Cut(err.Error(), "barrier")
	fmt.Println(fault[strings.Index(fault, ","):])
	// Output: , but simdgroup 1 has ended
}
