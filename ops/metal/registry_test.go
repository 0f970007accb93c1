package metal

import (
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
		"multiples of 8 up to 256, not 0 and 64":   func(c *Config) { c.DK = 0 },
		"multiples of 8 up to 256, not -8 and 64":  func(c *Config) { c.DK = -8 },
		"multiples of 8 up to 256, not 64 and 0":   func(c *Config) { c.DV = 0 },
		"multiples of 8 up to 256, not 64 and -16": func(c *Config) { c.DV = -16 },
		"as value heads, not 2 for 0":              func(c *Config) { c.HK = 0 },
		"as value heads, not 0 for 1":              func(c *Config) { c.HV = 0 },
		"as value heads, not -2 for -1":            func(c *Config) { c.HK, c.HV = -1, -2 },
		"as value heads, not 2 for 4":              func(c *Config) { c.HK = 4 },
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
