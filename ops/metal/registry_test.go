package metal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/internal/emulator"
	"github.com/deltatape/deltatape/ops/metal/kernels"
	"github.com/deltatape/deltatape/tensor"
)

// configs are all dtypes and chunk sizes with many sizes of keys and values.
func configs() (list []Config) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16, tensor.Float16} {
		for _, chunk := range []int{16, 32, 64} {
			for _, DK := range []int{8, 24, 64, 128, 136, 192, 256} {
				for _, DV := range []int{8, 40, 128, 256} {
					for _, heads := range [][2]int{{1, 1}, {2, 6}, {8, 32}} {
						list = append(list, Config{Dtype: d, Chunk: chunk, DK: DK, DV: DV, HK: heads[0], HV: heads[1]})
					}
				}
			}
		}
	}
	return list
}

// TestLimits checks every configuration that is not refused, in both languages, and
// that no more are refused than must be.
func TestLimits(t *testing.T) {
	names := map[string]bool{}
	for _, c := range configs() {
		if why := c.Refusal(); why != "" {
			if c.Chunk != 64 || c.Dtype != tensor.Float32 && c.DK <= 128 {
				t.Errorf("%+v is refused: %s", c, why)
			}
			continue
		}
		for _, k := range registry {
			if n := 4 * k.sharedFloats(c); n > 32<<10 {
				t.Errorf("%s of %+v takes %d bytes of threadgroup memory", k.name, c, n)
			}
			if n := 32 * k.simdgroups(c); n < 32 || n > 1024 {
				t.Errorf("%s of %+v takes %d threads", k.name, c, n)
			}
			for _, language := range []tensor.Language{tensor.Metal, tensor.CUDA} {
				s := k.source(c, language)
				if strings.Contains(s.Header+s.Body, "%") {
					t.Fatalf("%s of %+v has a percent sign in its %s", k.name, c, language)
				}
				if len(s.Outputs) != len(k.out) || len(s.Inputs) != len(k.in) {
					t.Fatalf("%s has inputs %v and outputs %v", k.name, s.Inputs, s.Outputs)
				}
				if !strings.Contains(s.Body, "deltatape::"+k.name+"(") {
					t.Fatalf("%s of %+v is not called in its %s", k.name, c, language)
				}
			}
			name := c.unique(k.name)
			if names[name] {
				t.Errorf("two configurations have the name %s", name)
			}
			names[name] = true
		}
	}
}

func TestRefusals(t *testing.T) {
	good := Config{Dtype: tensor.Float32, Chunk: 32, DK: 64, DV: 64, HK: 1, HV: 2}
	for want, change := range map[string]func(*Config){
		"not float64": func(c *Config) { c.Dtype = tensor.Float64 },
		"multiples of 8 up to 256, not 60 and 64":  func(c *Config) { c.DK = 60 },
		"multiples of 8 up to 256, not 64 and 264": func(c *Config) { c.DV = 264 },
		"chunks of 64 for half types only":         func(c *Config) { c.Chunk = 64 },
		"chunks of 16, 32 and 64, not 128":         func(c *Config) { c.Chunk = 128 },
		"take K up to 128 for chunks of 64":        func(c *Config) { c.Chunk, c.DK, c.Dtype = 64, 136, tensor.BFloat16 },
	} {
		c := good
		change(&c)
		if got := c.Refusal(); !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
	if got := good.Refusal(); got != "" {
		t.Errorf("%+v: %q", good, got)
	}
}

// TestEmulatorIsFresh compares the sources that the emulator was built from.
func TestEmulatorIsFresh(t *testing.T) {
	if emulator.Bodies() != kernels.Hash() {
		t.Error("the emulator runs other kernels than those in ops/metal/kernels: run go generate ./internal/emulator")
	}
	for _, c := range configs() {
		for _, k := range registry {
			if name := c.emulated(k.name); c.Refusal() == "" && !slices.Contains(emulator.Kernels(), name) {
				t.Errorf("the emulator has no %s", name)
			}
		}
	}
}

// clang is a compiler that knows address spaces: $CLANG, clang++, or the one in the
// Python package ziglang.
func clang() []string {
	if c := os.Getenv("CLANG"); c != "" {
		return strings.Fields(c)
	}
	if path, err := exec.LookPath("clang++"); err == nil {
		return []string{path}
	}
	if exec.Command("python3", "-c", "import ziglang").Run() == nil {
		return []string{"python3", "-m", "ziglang", "clang"}
	}
	return nil
}

// TestAddressSpaces compiles the Metal text as C++ for OpenCL, which has the same
// address spaces, against a stub of Metal's library. On machines without clang it
// looks at the text alone.
func TestAddressSpaces(t *testing.T) {
	stub, err := filepath.Abs("testdata/metal_stub.h")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "#include %q\n", stub)
	for i, c := range []Config{
		{tensor.Float32, 32, 128, 128, 8, 32}, {tensor.BFloat16, 64, 64, 24, 2, 4}, {tensor.Float16, 16, 24, 40, 1, 1},
	} {
		for _, k := range registry {
			s := k.source(c, tensor.Metal)
			_, header, _ := strings.Cut(s.Header, "\n") // the include
			fmt.Fprintf(&text, "namespace config%d_%s {\n%s", i, k.name, header)
			fmt.Fprintf(&text, "kernel void run%d_%s(%s) {\n%s}\n}\n", i, k.name, k.metalParameters(c), s.Body)
			text.WriteString(undefine(s.Header))
		}
	}
	right := text.String()
	call := "plan, queries, keys, inverse, scores, gates, shared,"
	wrong := strings.Replace(right, call, "plan, queries, shared, inverse, scores, gates, shared,", 1)
	if right == wrong {
		t.Fatalf("no kernel is called with %q", call)
	}
	compiler := clang()
	if compiler == nil {
		return
	}
	compile := func(text string) (string, error) {
		file := filepath.Join(t.TempDir(), "kernels.cpp")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments := append(compiler[1:len(compiler):len(compiler)], "-x", "clcpp", "-cl-std=clc++2021", "-cl-no-stdinc",
			"--target=spir64", "-Wno-everything", "-fsyntax-only", "-ferror-limit=8", file)
		out, err := exec.Command(compiler[0], arguments...).CombinedOutput()
		return string(out), err
	}
	if out, err := compile(right); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := compile(wrong); err == nil || !strings.Contains(out, "of type '__local float") {
		t.Errorf("threadgroup memory passed for device memory: %v\n%s", err, out)
	}
}

// metalParameters is what MLX writes as the parameters of a kernel.
func (k *kernel) metalParameters(c Config) string {
	types := map[kind]string{element: elementTypes[c.Dtype].metal, real: "float", integer: "int"}
	var list []string
	for _, a := range k.in {
		list = append(list, fmt.Sprintf("const device %s* %s", types[a.kind], a.name))
	}
	for _, a := range k.out {
		list = append(list, fmt.Sprintf("device %s* %s", types[a.kind], a.name))
	}
	list = append(list, "unsigned thread_index_in_simdgroup", "unsigned simdgroup_index_in_threadgroup", "uint3_stub threadgroup_position_in_grid")
	return strings.Join(list, ", ")
}

// undefine takes the macros of a text back.
func undefine(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "#define "); ok {
			name, _, _ := strings.Cut(rest, " ")
			name, _, _ = strings.Cut(name, "(")
			fmt.Fprintf(&b, "#undef %s\n", strings.TrimSpace(name))
		}
	}
	return b.String()
}
