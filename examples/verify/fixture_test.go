package main

import (
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

func TestFixture(t *testing.T) {
	for _, test := range []struct {
		name      string
		want      int // results
		l2norm    bool
		sequences int
	}{
		{"t1_r1", 8, false, 2},
		{"t64_r1_kv32_l2", 6, true, 1},
		{"t130_r4_l2", 7, true, 1},
		{"varlen_h0", 8, true, 5},
		{"varlen_noh0", 6, false, 3},
	} {
		g := known(t, test.name)
		f, strangers, err := newFixture(g.tensors, g.metadata)
		if err != nil || len(strangers) > 0 {
			t.Errorf("%s: %v, strangers %q", test.name, err, strangers)
			continue
		}
		if len(f.want) != test.want || f.l2norm != test.l2norm || len(f.sequences()) != test.sequences {
			t.Errorf("%s: %d results, norm %v, %d sequences; want %d, %v, %d",
				test.name, len(f.want), f.l2norm, len(f.sequences()), test.want, test.l2norm, test.sequences)
		}
	}
}

// Whatever contradicts itself is an error that says what was expected.
func TestFixtureErrors(t *testing.T) {
	type tensors = map[string]*tensor.Tensor
	type metadata = map[string]string
	zeros := func(shape ...int) *tensor.Tensor { return tensor.Zeros(tensor.Float32, shape...) }
	set := func(key, value string) func(tensors, metadata) {
		return func(_ tensors, m metadata) { m[key] = value }
	}
	drop := func(key string) func(tensors, metadata) {
		return func(x tensors, m metadata) { delete(x, key); delete(m, key) }
	}
	put := func(name string, t *tensor.Tensor) func(tensors, metadata) {
		return func(x tensors, _ metadata) { x[name] = t }
	}
	const dense, packed, normed = "t17_r1", "varlen_h0", "t65_r3_l2" // B 2, T 17; B 1, T 260, N 5; l2norm
	for _, test := range []struct {
		name, file string
		edit       func(tensors, metadata)
		want       string
	}{
		{"no T", dense, drop("T"), "metadata T is missing"},
		{"T is a word", dense, set("T", "many"), `metadata T is "many", want a whole number from 1 to 2147483647`},
		{"T is 0", dense, set("T", "0"), `metadata T is "0"`},
		{"B is negative", dense, set("B", "-2"), `metadata B is "-2"`},
		{"K is huge", dense, set("K", "99999999999999999999"), `metadata K is "99999999999999999999"`},
		{"K is long", dense, set("K", strings.Repeat("9", 10000)), `metadata K is "` + strings.Repeat("9", 60) + `", want`},
		{"another T", dense, set("T", "18"), "tensor q has shape [2 17 2 16], want [B, T, Hk, K] = [2 18 2 16]"},
		{"another V", dense, set("V", "8"), "tensor v has shape [2 17 2 16], want [B, T, Hv, V] = [2 17 2 8]"},
		{"another N", dense, set("N", "3"), "metadata N is 3, want B, which is 2, without cu_seqlens"},
		{"heads", dense, set("Hk", "4"), "metadata Hv is 2, want a multiple of Hk, which is 4"},
		{"no scale", dense, drop("scale"), "metadata scale is missing"},
		{"scale NaN", dense, set("scale", "NaN"), `metadata scale is "NaN", want a finite number`},
		{"scale infinite", dense, set("scale", "1e999"), `metadata scale is "1e999"`},
		{"scale 0", dense, set("scale", "0"), "metadata scale is 0"},
		{"flag", dense, set("has_h0", "yes"), `metadata has_h0 is "yes", want 0 or 1`},
		{"no flag", dense, drop("qk_l2norm"), "metadata qk_l2norm is missing"},
		{"no eps", normed, drop("l2norm_eps"), "metadata l2norm_eps is missing"},
		{"eps 0", normed, set("l2norm_eps", "0"), "metadata l2norm_eps is 0"},
		{"eps negative", normed, set("l2norm_eps", "-1"), "metadata l2norm_eps is -1"},
		{"format", dense, set("format", "gdr-2"), `metadata format is "gdr-2", want "gdr-1"`},

		{"no q", dense, drop("q"), "tensor q is missing"},
		{"no do", dense, drop("do"), "tensor do is missing"},
		{"no dbeta", dense, drop("dbeta"), "tensor dbeta is missing"},
		{"no h0", dense, drop("h0"), "tensor h0 is missing, metadata has_h0 is 1"},
		{"no dh0", dense, drop("dh0"), "tensor dh0 is missing, metadata has_h0 is 1"},
		{"no ht", dense, drop("ht"), "tensor ht is missing, metadata output_final_state is 1"},
		{"h0 denied", dense, set("has_h0", "0"), "tensor h0 is there, metadata has_h0 is 0"},
		{"dht denied", dense, set("has_dht", "0"), "tensor dht is there, metadata has_dht is 0"},
		{"integers", dense, put("q", tensor.Zeros(tensor.Int32, 2, 17, 2, 16)), "tensor q is int32, want floating point"},
		{"axes", dense, put("g", zeros(2, 17, 2, 1)), "tensor g has shape [2 17 2 1], want [B, T, Hv] = [2 17 2]"},
		{"turned", dense, put("dk", zeros(2, 2, 17, 16)), "tensor dk has shape [2 2 17 16], want [B, S, Hk, K] = [2 17 2 16]"},
		{"scalar", dense, put("o", tensor.Scalar(float32(1))), "tensor o has shape [], want"},
		{"empty", dense, put("v", zeros(2, 0, 2, 16)), "tensor v has shape [2 0 2 16]"},

		{"sample_t is no list", dense, set("sample_t", "null"), `metadata sample_t is "null", want a JSON list of whole numbers`},
		{"sample_t is broken", dense, set("sample_t", "[1,"), `metadata sample_t is "[1,"`},
		{"sample_t of fractions", dense, set("sample_t", "[1.5]"), `metadata sample_t is "[1.5]"`},
		{"sample_t too large", dense, set("sample_t", "[3, 17]"), "metadata sample_t[1] is 17, want a token from 0 to 16"},
		{"sample_t negative", dense, set("sample_t", "[-1]"), "metadata sample_t[0] is -1"},
		{"sample_t of whole tensors", dense, set("sample_t", "[0, 3]"), "tensor o has shape [2 17 2 16], want [B, S, Hv, V] = [2 2 2 16]"},

		{"cu_seqlens for a batch", dense, set("cu_seqlens", "[0, 5, 17]"), "metadata B is 2, want 1 with cu_seqlens"},
		{"cu_seqlens denied", packed, func(_ tensors, m metadata) { m["cu_seqlens"], m["N"] = "[]", "1" }, "tensor cu_seqlens is there, the metadata has an empty one"},
		{"no cu_seqlens tensor", packed, func(x tensors, _ metadata) { delete(x, "cu_seqlens") }, "tensor cu_seqlens is missing, the metadata has it"},
		{"number of sequences", packed, set("cu_seqlens", "[0, 1, 65, 130, 260]"), "metadata cu_seqlens has 5 numbers, want N+1 = 6"},
		{"first token", packed, set("cu_seqlens", "[1, 1, 1, 65, 130, 260]"), "metadata cu_seqlens goes from 1 to 260, want 0 to at most T = 260"},
		{"last token", packed, set("cu_seqlens", "[0, 0, 1, 65, 130, 261]"), "metadata cu_seqlens goes from 0 to 261"},
		{"falling", packed, set("cu_seqlens", "[0, 0, 66, 65, 130, 260]"), "metadata cu_seqlens falls"},
		{"other sequences", packed, set("cu_seqlens", "[0, 0, 2, 65, 130, 260]"), "tensor cu_seqlens[2] is 1, the metadata has 2"},
		{"cu_seqlens of floats", packed, put("cu_seqlens", zeros(6)), "tensor cu_seqlens is float32, want int32"},
		{"cu_seqlens of other length", packed, put("cu_seqlens", tensor.Zeros(tensor.Int32, 7)), "tensor cu_seqlens has shape [7], want [6]"},
		{"states", packed, put("h0", zeros(1, 2, 16, 16)), "tensor h0 has shape [1 2 16 16], want [N, Hv, K, V] = [5 2 16 16]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := known(t, test.file).with(test.edit).save(t, "case")
			code, out, errOut := start(path)
			if code != 2 || out != "0 passed, 0 failed, 0 skipped\n" {
				t.Errorf("exit code %d, output %q, want 2 and no case", code, out)
			}
			if want := "verify: " + path + ": " + test.want; !strings.HasPrefix(errOut, want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("the error is %q, want %q", errOut, want)
			}
		})
	}
}

// Tensors that the format does not have are mentioned and change nothing.
func TestFixtureStrangers(t *testing.T) {
	path := known(t, "t1_r1").with(func(x map[string]*tensor.Tensor, m map[string]string) {
		x["mask\n"] = tensor.Zeros(tensor.Bool, 2, 1)
		delete(m, "name")
		delete(m, "format")
		m["colour"] = "green"
	}).save(t, "case")
	code, out, errOut := start(path)
	if want := "verify: " + path + `: tensor "mask\n" is not part of the format and not looked at` + "\n"; code != 0 || errOut != want {
		t.Errorf("exit code %d, errors %q, want 0 and %q\n%s", code, errOut, want, out)
	}
}
