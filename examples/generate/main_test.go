package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// weights saves a small model with random weights.
func weights(t *testing.T, change func(*qla.Config)) string {
	t.Helper()
	cfg := qla.Config{Layers: 1, Hidden: 16, Vocab: 256, KeyHeads: 1, ValueHeads: 2, KeyDim: 8, ValueDim: 8, ChunkSize: 16, TieEmbeddings: true}
	if change != nil {
		change(&cfg)
	}
	m, err := qla.New(cfg, tensor.Key(1))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(in io.Reader, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, in, &o, &e)
	return code, o.String(), e.String()
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("want %q in %s:\n%s", part, what, text)
		}
	}
}

func TestGenerate(t *testing.T) {
	path := weights(t, nil)
	texts := map[string]string{}
	for _, test := range []struct {
		name string
		in   string
		args []string
		n    int // bytes generated
		like string
	}{
		{name: "default", n: 400},
		{name: "seed 1", args: []string{"-seed", "1"}, n: 400, like: "default"},
		{name: "likeliest", args: []string{"-n", "30", "-temperature", "0"}, n: 30},
		{name: "likeliest of one", args: []string{"-n", "30", "-top-k", "1", "-seed", "9"}, n: 30, like: "likeliest"},
		{name: "from standard input", in: "func ", args: []string{"-n", "30", "-temperature", "0", "-prompt", "-"}, n: 30, like: "likeliest"},
		{name: "nothing", args: []string{"-n", "0", "-device", "cpu"}, n: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := start(strings.NewReader(test.in), append([]string{"-weights", path}, test.args...)...)
			if code != 0 || errOut != "" {
				t.Fatalf("exit code %d, error %q", code, errOut)
			}
			texts[test.name] = out
			if !strings.HasPrefix(out, "func ") || !strings.HasSuffix(out, "\n") || len(out) != len("func \n")+test.n {
				t.Errorf("got %q, want the prompt, %d bytes and a newline", out, test.n)
			}
			if test.like != "" && out != texts[test.like] {
				t.Errorf("got  %q\nwant %q", out, texts[test.like])
			}
		})
	}
	if _, other, _ := start(nil, "-weights", path, "-seed", "2"); other == texts["default"] {
		t.Error("another seed makes no difference")
	}
}

// What computed the rule in training is not saved with the model.
func TestGenerateImplementations(t *testing.T) {
	var texts []string
	for _, impl := range []gateddelta.Implementation{gateddelta.Chunk, gateddelta.Recurrent, gateddelta.Metal} {
		path := weights(t, func(c *qla.Config) { c.Implementation = impl })
		code, out, errOut := start(nil, "-weights", path, "-n", "20", "-temperature", "0", "-device", "cpu")
		if texts = append(texts, out); code != 0 || errOut != "" || out != texts[0] {
			t.Errorf("%s: exit code %d, error %q, text %q, want %q", impl, code, errOut, out, texts[0])
		}
	}
}

func TestGenerateFlags(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"help", []string{"-h"}, 0, []string{"Generate continues a prompt", "Usage: generate [flags]", "-weights string", "-top-k int"}},
		{"unknown flag", []string{"-temp", "1"}, 2, []string{"-temp"}},
		{"argument", []string{"func main"}, 2, []string{`generate: unexpected argument "func main"`}},
		{"unknown device", []string{"-device", "tpu"}, 2, []string{`want cpu or gpu, got "tpu"`}},
		{"all at once", []string{"-prompt", "", "-n", "-1", "-temperature", "NaN", "-top-k", "-2"}, 2,
			[]string{"-prompt is empty", "-n is -1", "-temperature is NaN", "-top-k is -2"}},
		{"infinite temperature", []string{"-temperature", "Inf"}, 2, []string{"-temperature is +Inf"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := start(nil, append([]string{"-weights", "absent"}, test.args...)...)
			if code != test.code || out != "" {
				t.Errorf("exit code %d and the output %q, want %d and none", code, out, test.code)
			}
			contains(t, "the errors", errOut, test.want...)
		})
	}
}

func TestGenerateWeights(t *testing.T) {
	whole, err := os.ReadFile(weights(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	file := func(content []byte) string {
		path := filepath.Join(t.TempDir(), "model%s.safetensors")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	edited := func(from, to string) string {
		if !bytes.Contains(whole, []byte(from)) || len(from) != len(to) {
			t.Fatalf("can't replace %s", from)
		}
		return file(bytes.Replace(whole, []byte(from), []byte(to), 1))
	}
	huge := append([]byte{0, 0, 0, 0, 0, 0, 0, 0x7f}, whole[8:]...) // the header's length
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"missing", filepath.Join(t.TempDir(), "absent"), []string{"absent", "no such file"}},
		{"a folder", t.TempDir(), []string{"qla.Load"}},
		{"empty", file(nil), []string{"qla.Load", "model%s.safetensors"}},
		{"text", file([]byte("package main // %n%s")), []string{"qla.Load"}},
		{"cut short", file(whole[:len(whole)-5]), []string{"qla.Load"}},
		{"cut in the header", file(whole[:100]), []string{"qla.Load"}},
		{"a header of many bytes", file(huge), []string{"qla.Load"}},
		{"another size", edited(`\"hidden\":16`, `\"hidden\":17`), []string{"qla.Load", "want shape [256 17], got [256 16]"}},
		{"absurd size", edited(`\"layers\":1,`, `\"layers\":-,`), []string{"qla.Load", "configuration"}},
		{"no vocabulary of bytes", weights(t, func(c *qla.Config) { c.Vocab = 300 }), []string{"has a vocabulary of 300 tokens, want one of the 256 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := start(nil, "-weights", test.path)
			if code != 1 || out != "" {
				t.Errorf("exit code %d and the output %q, want 1 and none", code, out)
			}
			contains(t, "the errors", errOut, append(test.want, "generate: ")...)
		})
	}
}

func TestGenerateInputAndOutput(t *testing.T) {
	path := weights(t, nil)
	t.Run("an empty prompt", func(t *testing.T) {
		code, _, errOut := start(strings.NewReader(""), "-weights", path, "-prompt", "-")
		if code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		contains(t, "the errors", errOut, "generate: ", "the prompt is empty")
	})
	t.Run("input fails", func(t *testing.T) {
		code, _, errOut := start(iotest.ErrReader(errors.New("broken pipe")), "-weights", path, "-prompt", "-")
		if code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		contains(t, "the errors", errOut, "generate: read the prompt: broken pipe")
	})
	for _, n := range []string{"0", "5"} {
		t.Run("output fails after "+n, func(t *testing.T) {
			out, in := io.Pipe()
			out.CloseWithError(errors.New("no space left"))
			var errOut bytes.Buffer
			if code := run(context.Background(), []string{"-weights", path, "-n", n}, nil, in, &errOut); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			contains(t, "the errors", errOut.String(), "generate: write: no space left")
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		var out, errOut bytes.Buffer
		if code := run(ctx, []string{"-weights", path}, nil, &out, &errOut); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		contains(t, "the errors", errOut.String(), "context canceled")
		if out.String() != "func \n" {
			t.Errorf("the output is %q, want the prompt", &out)
		}
	})
}
