package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// start runs the program. The default device stays what it is.
func start(args ...string) (code int, out, errOut string) {
	device := tensor.DefaultDevice()
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	if err := tensor.SetDevice(device); err != nil {
		panic(err)
	}
	return code, o.String(), e.String()
}

// implementations are those that run anywhere, and "cpu" where the engine has it.
func implementations() []string {
	list := []string{"recurrent", "chunk"}
	if tensor.HostOps() == nil {
		list = append(list, "cpu")
	}
	return list
}

// flagsOf returns the flags for an implementation, on a device that it works on.
func flagsOf(implementation string) []string {
	flags := []string{"-impl", implementation}
	if implementation == "cpu" {
		flags = append(flags, "-device", "cpu")
	}
	return flags
}

// lastLine is the one that counts cases.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	return lines[len(lines)-1]
}

var dtypeNames = []string{"float32", "float64", "bfloat16", "float16"} // those of half precision last

// TestKnown runs the project's golden files in all ways.
func TestKnown(t *testing.T) {
	line := regexp.MustCompile(`(?m)^\S+ +(o|ht|d\w+) +\d\.\d\de[-+]\d\d +\S+ +(ok|FAIL)$`)
	for _, dtype := range dtypeNames {
		for _, way := range []string{
			"", "-impl recurrent", "-impl chunk -chunk 16", "-impl chunk -chunk 32", "-impl chunk -chunk 64", "-impl chunk -chunk 128",
			"-chunk 16 -scan sequential", "-chunk 16 -scan transition", "-chunk 16 -scan two-level",
			"-device cpu -impl cpu", "-device cpu -impl cpu -chunk 16", "-device cpu -impl cpu -chunk 32", "-device cpu -impl cpu -chunk 128",
		} {
			if strings.Contains(way, "-impl cpu") && (dtype == "float64" || tensor.HostOps() != nil) {
				continue // TestSkips
			}
			t.Run(dtype+" "+way, func(t *testing.T) {
				code, out, errOut := start(append(strings.Fields(way), "-dtype", dtype, testdata)...)
				if code != 0 || errOut != "" || lastLine(out) != "16 passed, 0 failed, 0 skipped" {
					t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
				}
				if got := len(line.FindAllString(out, -1)); got != 120 || strings.Count(out, "\n") != got+1 {
					t.Errorf("%d lines of tensors, want 120 and nothing else but the last line\n%s", got, out)
				}
			})
		}
	}
}

// TestShapes runs files of other kinds than the known ones.
func TestShapes(t *testing.T) {
	for _, test := range []struct {
		name string
		recipe
		noHalf bool // rounding the inputs to half precision passes the tolerance of dg
	}{
		{"one token", recipe{B: 1, T: 1, Hk: 1, Hv: 1, K: 1, V: 1}, false},
		{"batch", recipe{B: 3, T: 20, Hk: 2, Hv: 6, K: 5, V: 9, h0: true}, false},
		{"sampled", recipe{B: 2, T: 40, Hk: 1, Hv: 3, K: 8, V: 4, dht: true, sampled: []int{0, 7, 39}}, false},
		{"sampled in disorder", recipe{B: 2, T: 40, Hk: 1, Hv: 3, K: 8, V: 4, sampled: []int{30, 2}, l2norm: true}, false},
		{"stored as bfloat16", recipe{B: 2, T: 33, Hk: 2, Hv: 2, K: 12, V: 16, h0: true, dht: true, stored: tensor.BFloat16}, false},
		{"stored as float64", recipe{B: 1, T: 33, Hk: 2, Hv: 2, K: 12, V: 16, stored: tensor.Float64}, false},
		{"packed, with a rest", recipe{B: 1, T: 50, Hk: 1, Hv: 2, K: 8, V: 8, h0: true, dht: true, cuSeqlens: []int{0, 17, 17, 18, 45}, sampled: []int{16, 17, 20, 49}}, false},
		{"identical keys, β = 1, A = 16", recipe{B: 2, T: 70, Hk: 1, Hv: 2, K: 16, V: 12, h0: true, dht: true, parallel: true, β: 1, A: 16}, true},
		{"and no state", recipe{B: 1, T: 70, Hk: 1, Hv: 2, K: 16, V: 12, parallel: true, β: 1, A: 16}, true},
		{"and keys stored as bfloat16", recipe{B: 1, T: 70, Hk: 1, Hv: 2, K: 16, V: 12, h0: true, parallel: true, β: 1, A: 16, stored: tensor.BFloat16}, true},
		{"strong gates", recipe{B: 1, T: 130, Hk: 1, Hv: 2, K: 16, V: 16, h0: true, A: 16}, true},
	} {
		path := test.make(t).save(t, "case")
		dtypes := dtypeNames
		if test.noHalf {
			dtypes = dtypes[:2]
		}
		for _, dtype := range dtypes {
			for _, implementation := range implementations() {
				if implementation == "cpu" && dtype == "float64" {
					continue // refused
				}
				t.Run(test.name+" "+dtype+" "+implementation, func(t *testing.T) {
					code, out, errOut := start(append(flagsOf(implementation), "-chunk", "16", "-dtype", dtype, path)...)
					if code != 0 || errOut != "" || lastLine(out) != "1 passed, 0 failed, 0 skipped" {
						t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
					}
				})
			}
		}
	}
}

// Half precision is held to the file's reference like any other, also where
// rounding the inputs of strong gates alone moves dg by more than the tolerance.
func TestHalfIsHeldToTheFile(t *testing.T) {
	path := recipe{B: 1, T: 130, Hk: 1, Hv: 2, K: 16, V: 16, h0: true, A: 16}.make(t).save(t, "case")
	code, out, errOut := start("-dtype", "bfloat16", path)
	fault := regexp.MustCompile(`(?m)^case +dg .* FAIL\n    head 0: the relative error is 3\.\d\de-02, want at most 0\.02$`)
	if code != 1 || errOut != "" || strings.Count(out, "FAIL") != 1 || !fault.MatchString(out) {
		t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
	}
}

// TestSampled cuts known files to some tokens.
func TestSampled(t *testing.T) {
	for _, name := range []string{"t17_r1", "t17_zero_key_l2", "varlen_h0"} {
		sampled := known(t, name).with(func(x map[string]*tensor.Tensor, m map[string]string) {
			m["sample_t"] = "[0, 8, 5, 16]"
			for _, result := range []string{"o", "dq", "dk", "dv"} {
				x[result] = tensor.Take(x[result], tensor.FromSlice([]int32{0, 8, 5, 16}), 1)
			}
		})
		if code, out, errOut := start(sampled.save(t, "case")); code != 0 || errOut != "" {
			t.Errorf("%s: exit code %d, errors %q\n%s", name, code, errOut, out)
		}
		moved := sampled.with(func(_ map[string]*tensor.Tensor, m map[string]string) { m["sample_t"] = "[0, 8, 5, 15]" })
		if code, out, _ := start(moved.save(t, "case")); code != 1 || strings.Count(out, "FAIL") != 4 {
			t.Errorf("%s of other tokens: exit code %d\n%s", name, code, out)
		}
	}
}

// TestFailures spoils one result after the other: its line says FAIL, and no
// other does.
func TestFailures(t *testing.T) {
	sampled := recipe{B: 1, T: 40, Hk: 1, Hv: 2, K: 8, V: 4, h0: true, dht: true, sampled: []int{3, 30}}.make(t)
	for name, g := range map[string]golden{"t65_r3_l2": known(t, "t65_r3_l2"), "varlen_h0": known(t, "varlen_h0"), "sampled": sampled} {
		for _, e := range resultEntries {
			for _, spoil := range []struct {
				name  string
				value float64 // added to one element
				fault string
			}{
				{"off", 1, "the relative error is "},
				{"NaN", math.NaN(), "the reference holds NaN"},
				{"infinite", math.Inf(-1), "the reference holds -Inf"},
			} {
				t.Run(name+" "+e.name+" "+spoil.name, func(t *testing.T) {
					path := g.with(func(x map[string]*tensor.Tensor, _ map[string]string) {
						data := elementsOf(t, x[e.name])
						data[len(data)-1] += spoil.value
						x[e.name] = tensor.FromSlice(data, x[e.name].Shape()...)
					}).save(t, "case")
					code, out, errOut := start(path)
					if code != 1 || errOut != "" || lastLine(out) != "0 passed, 1 failed, 0 skipped" {
						t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
					}
					bad := regexp.MustCompile(`(?m)^case +(\w+) .* FAIL\n    .*: (.*)`).FindAllStringSubmatch(out, -1)
					if len(bad) != 1 || bad[0][1] != e.name || !strings.Contains(bad[0][2], spoil.fault) {
						t.Errorf("want a single FAIL, that of %s, as %q\n%s", e.name, spoil.fault, out)
					}
				})
			}
		}
	}
}

// A reference of zeros is met by zeros alone: of do = 0 comes dq = 0.
func TestZeroReference(t *testing.T) {
	g := known(t, "t64_r2_dht_only")
	_, out, _ := start(g.save(t, "case"))
	if !regexp.MustCompile(`(?m)^case +dq +0\.00e\+00 +0 +ok$`).MatchString(out) {
		t.Errorf("dq is not judged against zero\n%s", out)
	}
	code, out, _ := start(g.with(func(x map[string]*tensor.Tensor, _ map[string]string) {
		x["do"] = tensor.Full(1e-20, tensor.Float32, x["do"].Shape()...)
	}).save(t, "case"))
	if code != 1 || !strings.Contains(out, "    the whole: the reference is zero, the largest magnitude is ") || strings.Count(out, "FAIL") != 1 {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Inputs that hold what they should not give a FAIL that says so.
func TestHostileValues(t *testing.T) {
	for name, value := range map[string]float64{"q": math.NaN(), "k": math.Inf(1), "v": 3e38, "g": 1e30, "beta": math.NaN(), "do": math.Inf(-1), "h0": math.NaN(), "dht": math.NaN()} {
		path := known(t, "t17_r1").with(func(x map[string]*tensor.Tensor, _ map[string]string) {
			x[name] = tensor.Full(value, tensor.Float32, x[name].Shape()...)
		}).save(t, "case")
		for _, implementation := range implementations() {
			code, out, errOut := start(append(flagsOf(implementation), path)...)
			if code != 1 || errOut != "" || !strings.Contains(out, "FAIL\n") || lastLine(out) != "0 passed, 1 failed, 0 skipped" {
				t.Errorf("%s of %g, %s: exit code %d, errors %q\n%s", name, value, implementation, code, errOut, out)
			}
		}
	}
}

func TestSkips(t *testing.T) {
	layers := filepath.Join(testdata, "..", "layers")
	code, out, errOut := start(layers)
	if code != 0 || errOut != "" || lastLine(out) != "0 passed, 0 failed, 2 skipped" ||
		!strings.Contains(out, "qwen3_5_layer/golden skip    golden values of layers and models are not verified yet\n") {
		t.Errorf("layers: exit code %d, errors %q\n%s", code, errOut, out)
	}
	code, out, errOut = start("-impl", "metal", testdata)
	if code != 0 || errOut != "" || lastLine(out) != "15 passed, 0 failed, 1 skipped" ||
		!strings.Contains(out, "skip    the kernels take K and V that are multiples of 8 up to 256, not 60 and 40\n") {
		t.Errorf("metal: exit code %d, errors %q\n%s", code, errOut, out)
	}
	code, out, errOut = start("-device", "cpu", "-impl", "cpu", "-dtype", "float64", testdata)
	if code != 0 || errOut != "" || lastLine(out) != "0 passed, 0 failed, 16 skipped" ||
		!strings.Contains(out, "skip    the kernels for CPUs take float32, bfloat16 and float16, not float64\n") {
		t.Errorf("cpu: exit code %d, errors %q\n%s", code, errOut, out)
	}
	weights := golden{map[string]*tensor.Tensor{"w": tensor.Zeros(tensor.Float32, 2)}, map[string]string{"format": "pt"}}.save(t, "model")
	code, out, errOut = start(weights)
	if code != 0 || errOut != "" || out != "model                skip    the weights of a model, not a case\n0 passed, 0 failed, 1 skipped\n" {
		t.Errorf("weights: exit code %d, errors %q\n%s", code, errOut, out)
	}
	// A case of the rule may have any name.
	code, out, _ = start(known(t, "t1_r1").save(t, "golden"))
	if code != 0 || lastLine(out) != "1 passed, 0 failed, 0 skipped" {
		t.Errorf("golden.safetensors: exit code %d\n%s", code, out)
	}
}

// A small file can ask for states that no memory holds.
func TestSkipsForMemory(t *testing.T) {
	const n = 200000
	g := golden{tensors: map[string]*tensor.Tensor{}, metadata: map[string]string{
		"B": "1", "T": "1", "Hk": "1", "Hv": "1", "K": fmt.Sprint(n), "V": fmt.Sprint(n), "N": "1", "scale": "1",
		"qk_l2norm": "0", "has_h0": "0", "has_dht": "0", "output_final_state": "0", "cu_seqlens": "[]", "sample_t": "[]",
	}}
	for _, name := range []string{"q", "k", "v", "do", "o", "dq", "dk", "dv"} {
		g.tensors[name] = tensor.Zeros(tensor.Float32, 1, 1, 1, n)
	}
	for _, name := range []string{"g", "beta", "dg", "dbeta"} {
		g.tensors[name] = tensor.Zeros(tensor.Float32, 1, 1, 1)
	}
	path := g.save(t, "case")
	for _, implementation := range implementations() {
		code, out, errOut := start(append(flagsOf(implementation), path)...)
		if code != 0 || errOut != "" || !strings.Contains(out, " TB, more than this machine has\n0 passed, 0 failed, 1 skipped\n") && !strings.Contains(out, " GB, more") {
			t.Errorf("%s: exit code %d, errors %q\n%s", implementation, code, errOut, out)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile(filepath.Join(testdata, "t1_r1"+extension))
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "absent"), "no such file"},
		{"empty path", "", "no such file"},
		{"empty folder", empty, "there is no .safetensors file in the folder"},
		{"empty file", write("a.safetensors", nil), "the file has 0 bytes"},
		{"text", write("readme.md", []byte("# Golden values")), "the header length is"},
		{"truncated", write("b.safetensors", whole[:len(whole)-1]), "it is truncated"},
		{"truncated header", write("c.safetensors", whole[:300]), "the file is truncated or not safetensors"},
		{"longer", write("d.safetensors", append(whole[:len(whole):len(whole)], 0)), "no tensor covers the rest"},
		{"unknown dtype", write("e.safetensors", bytes.Replace(whole, []byte(`"F32"`), []byte(`"X32"`), 1)), `unknown dtype "X32"`},
		{"dtype of other width", write("f.safetensors", bytes.Replace(whole, []byte(`"F32"`), []byte(`"F64"`), 1)), "for F64 of shape"},
		{"no metadata", golden{tensors: known(t, "t1_r1").tensors}.save(t, "case"), "metadata B is missing"},
		{"nothing", golden{}.save(t, "case"), "metadata B is missing"},
		{"truncated golden values", write("golden.safetensors", whole[:1000]), "the file is truncated"},
		{"another format", golden{metadata: map[string]string{"format": "pt"}}.save(t, "case"), `metadata format is "pt", want "gdr-1"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := start(test.path)
			if code != 2 || out != "0 passed, 0 failed, 0 skipped\n" {
				t.Errorf("exit code %d, output %q, want 2 and no case", code, out)
			}
			if !strings.HasPrefix(errOut, "verify: ") || !strings.Contains(errOut, test.want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("the error is %q, want %q in a line of it", errOut, test.want)
			}
		})
	}
	// What can be read is verified nevertheless.
	code, out, errOut := start(filepath.Join(dir, "absent"), filepath.Join(testdata, "t1_r1"+extension), dir)
	if code != 2 || lastLine(out) != "1 passed, 0 failed, 0 skipped" || strings.Count(errOut, "\n") != 8 {
		t.Errorf("all together: exit code %d, errors %q\n%s", code, errOut, out)
	}
}

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"help", []string{"-h"}, 0, []string{"Verify runs the gated delta rule, forward and backward", "Usage: verify [flags] PATH...", "-impl string", "-chunk int", "-dtype string", "-scan string", "-device cpu or gpu", `(default "float32")`, "(default 64)", `(default "auto")`}},
		{"help after all", []string{"-chunk", "16", "-h", "path"}, 0, []string{"Usage: verify"}},
		{"no path", nil, 2, []string{"verify: there is no PATH"}},
		{"unknown", []string{"-implementation", "chunk", testdata}, 2, []string{"-implementation", "verify -h explains the flags"}},
		{"implementation", []string{"-impl", "cuda", testdata}, 2, []string{`verify: -impl is "cuda", want one of auto, recurrent, chunk, cpu, metal`}},
		{"chunk", []string{"-chunk", "48", testdata}, 2, []string{"verify: -chunk is 48, want 16, 32, 64 or 128"}},
		{"chunk 0", []string{"-chunk", "0", testdata}, 2, []string{"-chunk is 0"}},
		{"scan", []string{"-scan", "fast", testdata}, 2, []string{`verify: -scan is "fast", want one of auto, sequential, transition, two-level`}},
		{"scan of no chunks", []string{"-scan", "two-level", "-impl", "recurrent", testdata}, 2, []string{"verify: -scan is two-level, which is for -impl chunk"}},
		{"no number", []string{"-chunk", "many", testdata}, 2, []string{`invalid value "many" for flag -chunk`}},
		{"no value", []string{"-chunk"}, 2, []string{"flag needs an argument: -chunk"}},
		{"dtype", []string{"-dtype", "int32", testdata}, 2, []string{`verify: -dtype is "int32", want float32, float64, bfloat16 or float16`}},
		{"device", []string{"-device", "tpu", testdata}, 2, []string{`want cpu or gpu, got "tpu"`}},
		{"all at once", []string{"-impl", "", "-chunk", "1", "-dtype", ""}, 2, []string{`-impl is ""`, "; -chunk is 1", `; -dtype is ""`, "; there is no PATH"}},
		{"too late", []string{testdata, "-chunk", "16"}, 2, []string{"verify: -chunk comes after a PATH, want flags before it"}},
		{"after the end of flags", []string{"-chunk", "16", "--", "-impl"}, 2, []string{"-impl comes after"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := start(test.args...)
			if code != test.code || out != "" {
				t.Errorf("exit code %d and the output %q, want %d and none", code, out, test.code)
			}
			for _, part := range test.want {
				if !strings.Contains(errOut, part) {
					t.Errorf("want %q in %q", part, errOut)
				}
			}
		})
	}
}

func TestDevice(t *testing.T) {
	path := filepath.Join(testdata, "t1_r1"+extension)
	if code, out, errOut := start("-device", "cpu", path); code != 0 || errOut != "" || lastLine(out) != "1 passed, 0 failed, 0 skipped" {
		t.Errorf("cpu: exit code %d, errors %q\n%s", code, errOut, out)
	}
	want := 2
	if tensor.Available(tensor.GPU) {
		want = 0
	}
	if code, out, errOut := start("-device", "gpu", path); code != want {
		t.Errorf("gpu: exit code %d, errors %q, want %d\n%s", code, errOut, want, out)
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left") }

func TestOutputFails(t *testing.T) {
	var errOut bytes.Buffer
	if code := run([]string{testdata}, full{}, &errOut); code != 2 || errOut.String() != "verify: write: no space left\n" {
		t.Errorf("exit code %d, errors %q", code, &errOut)
	}
}
