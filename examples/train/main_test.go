package main

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/tensor"
)

// tiny are flags of a run that takes a moment.
var tiny = []string{
	"-steps", "4", "-batch", "2", "-length", "32", "-layers", "1", "-hidden", "32", "-sample", "20",
	"-key-heads", "1", "-value-heads", "2", "-key-dim", "16", "-value-dim", "16", "-chunk", "16",
}

// textFile writes a text to learn from: words in random order.
func textFile(t *testing.T) string {
	t.Helper()
	words := strings.Fields("the quick brown fox jumps over a lazy dog and runs away")
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for text.Len() < 20000 {
		text.WriteString(words[random.IntN(len(words))])
		text.WriteString(" ")
	}
	return write(t, "text", text.String())
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs the program with the tiny flags and more.
func start(ctx context.Context, more ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(ctx, slices.Concat(tiny, more), &o, &e)
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

func TestTrain(t *testing.T) {
	for _, mixer := range []string{"delta", "none"} {
		t.Run(mixer, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "folder")
			code, out, errOut := start(context.Background(), "-data", textFile(t), "-out", dir, "-mixer", mixer, "-device", "cpu")
			if code != 1 || errOut != "" {
				t.Errorf("exit code %d and the error %q, want 1 for a model that knows nothing, and none", code, errOut)
			}
			contains(t, "the output", out,
				"(files: 1), 19.0 kB to learn, 1.00 kB held out", "1 layers of width 32, mixer "+mixer+", device cpu, seed 1\n",
				"step 1/4", "step 4/4", "bits/byte on ", "order-0 n-gram ", "order-1 n-gram ", "order-2 n-gram ", "this model ",
				"  | func ", "trained 4 steps in ", "the model does not beat the order-2 n-gram (")
			if rule := strings.Contains(out, "\nrule    "); rule != (mixer == "delta") {
				t.Errorf("names the implementation of the rule: %v", rule)
			}
			model, err := qla.Load(filepath.Join(dir, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if c := model.Config(); string(c.Mixer) != mixer || c.Layers != 1 || c.Hidden != 32 || c.Vocab != 256 {
				t.Errorf("the saved model is %+v", c)
			}
			plot, err := os.Open(filepath.Join(dir, "loss.png"))
			if err != nil {
				t.Fatal(err)
			}
			defer plot.Close()
			if _, err := png.Decode(plot); err != nil {
				t.Errorf("loss.png: %v", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 2 {
				t.Errorf("the folder holds %v, want two files (%v)", entries, err)
			}
		})
	}
}

// All ways to compute the rule learn the same, but for rounding.
func TestTrainImplementations(t *testing.T) {
	text := textFile(t)
	result := regexp.MustCompile(`this model +(\d\.\d+)`)
	results := map[string]float64{}
	list := []string{"chunk", "recurrent", "metal"}
	if tensor.HostOps() == nil {
		list = append(list, "cpu")
	}
	for _, impl := range list {
		_, out, errOut := start(context.Background(), "-data", text, "-out", t.TempDir(), "-device", "cpu", "-impl", impl)
		m := result.FindStringSubmatch(out)
		if errOut != "" || m == nil {
			t.Fatalf("%s: error %q\n%s", impl, errOut, out)
		}
		results[impl], _ = strconv.ParseFloat(m[1], 64)
		if got, want := results[impl], results["chunk"]; math.Abs(got-want) > 2e-3 {
			t.Errorf("%s ends at %v bits/byte, chunk at %v", impl, got, want)
		}
	}
}

// Kernels are compared with the op graph where that is asked for, and on a GPU unless it
// is refused.
func TestTrainChecksKernels(t *testing.T) {
	text := textFile(t)
	gpu := tensor.Available(tensor.GPU)
	var results []string
	for _, test := range []struct {
		args []string
		want bool
	}{
		{nil, gpu},
		{[]string{"-check-kernels"}, true},
		{[]string{"-check-kernels=false"}, false},
	} {
		_, out, errOut := start(context.Background(), append([]string{"-data", text, "-out", t.TempDir(), "-impl", "metal", "-steps", "2"}, test.args...)...)
		if errOut != "" {
			t.Errorf("%v: error %q", test.args, errOut)
		}
		if got := strings.Contains(out, "its kernels are compared with the op graph first\n"); got != test.want {
			t.Errorf("%v: compared %v, want %v:\n%s", test.args, got, test.want, out)
		}
		results = append(results, regexp.MustCompile(`this model .*`).FindString(out))
	}
	if results[0] == "" || results[1] != results[0] || results[2] != results[0] {
		t.Errorf("the checks make a difference: %q", results)
	}
}

// Of random bytes among eight every model can know no more than that they are
// eight. An order-2 model that has seen each pair a few times does worse.
func TestTrainBeatsOrder2(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	text := make([]byte, 3000)
	for i := range text {
		text[i] = "abcdefgh"[random.IntN(8)]
	}
	code, out, errOut := start(context.Background(), "-data", write(t, "text", string(text)), "-out", t.TempDir(), "-steps", "60", "-lr", "0.02", "-mixer", "none")
	if code != 0 || errOut != "" {
		t.Errorf("exit code %d, error %q", code, errOut)
	}
	contains(t, "the output", out, "the model beats the order-2 n-gram by ")
}

func TestTrainIsDeterministic(t *testing.T) {
	text := textFile(t)
	result := func(seed string) (weights []byte, lines []string) {
		dir := t.TempDir()
		_, out, errOut := start(context.Background(), "-data", text, "-out", dir, "-seed", seed)
		if errOut != "" {
			t.Fatal(errOut)
		}
		weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return weights, lasting(out)
	}
	weights, lines := result("5")
	again, linesAgain := result("5")
	if !bytes.Equal(weights, again) {
		t.Error("the weights of two runs with one seed differ")
	}
	if !slices.Equal(lines, linesAgain) {
		t.Errorf("the lines of two runs with one seed differ:\n%q\n%q", lines, linesAgain)
	}
	other, linesOther := result("6")
	if bytes.Equal(weights, other) || slices.Equal(lines, linesOther) {
		t.Error("another seed makes no difference")
	}
}

var stepLine = regexp.MustCompile(`^step .* bits/byte`)

// lasting returns lines of output without what depends on time and place.
func lasting(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		switch {
		case stepLine.MatchString(line):
			line = stepLine.FindString(line)
		case strings.HasPrefix(line, "trained "):
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

func TestTrainFlags(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"help", []string{"-h"}, 0, []string{"Train trains a small byte-level language model", "Usage: train [flags]", "-mixer string", "-steps int", "-check-kernels", "(default: on a GPU)"}},
		{"check of kernels", []string{"-check-kernels=perhaps"}, 2, []string{"-check-kernels: want true or false"}},
		{"unknown flag", []string{"-stepz", "3"}, 2, []string{"-stepz"}},
		{"argument", []string{"text.txt"}, 2, []string{`train: unexpected argument "text.txt"`}},
		{"NaN rate", []string{"-lr", "NaN"}, 2, []string{"train: -lr is NaN, want a finite number above 0"}},
		{"infinite rate", []string{"-lr", "Inf"}, 2, []string{"-lr is +Inf"}},
		{"unknown device", []string{"-device", "tpu"}, 2, []string{`want cpu or gpu, got "tpu"`}},
		{"unknown mixer", []string{"-mixer", "attention"}, 2, []string{`mixer is "attention", want "delta" or "none"`}},
		{"unknown implementation", []string{"-impl", "magic"}, 2, []string{`implementation is "magic", want "auto", "recurrent", "chunk", "cpu" or "metal"`}},
		{"chunk", []string{"-chunk", "17"}, 2, []string{"chunk_size is 17, want 16, 32, 64"}},
		{"heads", []string{"-key-heads", "2", "-value-heads", "3"}, 2, []string{"value_heads is 3, want a multiple of key_heads, which is 2"}},
		{"empty prompt", []string{"-prompt", ""}, 2, []string{"-prompt is empty"}},
		{"no folder", []string{"-out", ""}, 2, []string{"-out is empty"}},
		{"negative seed", []string{"-seed", "-1"}, 2, []string{"-seed"}},
		{"no sizes", []string{"-layers", "0", "-hidden", "0", "-key-heads", "0", "-value-heads", "0", "-key-dim", "0", "-value-dim", "-1", "-chunk", "0"}, 2,
			[]string{"-layers is 0, want 1 or more", "-hidden is 0", "-key-heads is 0", "-value-heads is 0", "-key-dim is 0", "-value-dim is -1", "-chunk is 0, want 16 or more"}},
		{"all at once", []string{"-steps", "0", "-batch", "-3", "-length", "0", "-sample", "-1", "-lr", "-1", "-layers", "-2"}, 2,
			[]string{"-steps is 0, want 1 or more", "-batch is -3", "-length is 0", "-sample is -1", "-lr is -1", "layers is -2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			code, out, errOut := start(context.Background(), append([]string{"-data", "absent", "-out", dir}, test.args...)...)
			if code != test.code || out != "" {
				t.Errorf("exit code %d and the output %q, want %d and none", code, out, test.code)
			}
			contains(t, "the errors", errOut, test.want...)
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the folder was made: %v", err)
			}
		})
	}
}

func TestTrainData(t *testing.T) {
	binary := filepath.Dir(write(t, "a.out", "\x7fELF\x00\x00\x00"))
	for _, test := range []struct {
		name, path string
		want       []string
	}{
		{"missing", filepath.Join(t.TempDir(), "absent"), []string{"absent", "no such file"}},
		{"empty", write(t, "empty", ""), []string{"no text found in", "1 file skipped as empty"}},
		{"empty folder", t.TempDir(), []string{"no text found in"}},
		{"binary only", binary, []string{"no text found in", "1 file skipped as binary"}},
		{"too short to learn from", write(t, "short", "hello, world\n"), []string{"the text has 12 bytes: a sequence of 32 tokens and the byte after it needs 33"}},
		{"too short to hold out", write(t, "short", strings.Repeat("hello, world\n", 10)), []string{"held-out text: ", "the text has 7 bytes", "needs 33"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			code, out, errOut := start(context.Background(), "-data", test.path, "-out", dir)
			if code != 1 || out != "" {
				t.Errorf("exit code %d and the output %q, want 1 and none", code, out)
			}
			contains(t, "the errors", errOut, append(test.want, "train: ")...)
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the folder was made: %v", err)
			}
		})
	}
}

func TestTrainUnwritable(t *testing.T) {
	file := write(t, "file", "precious")
	occupied, plotless := t.TempDir(), t.TempDir()
	for _, dir := range []string{filepath.Join(occupied, "model.safetensors"), filepath.Join(plotless, "loss.png")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := textFile(t)
	for _, test := range []struct {
		name, dir string
		want      []string
	}{
		{"a file", file, []string{"train: -out: ", "not a directory"}},
		{"below a file", filepath.Join(file, "out"), []string{"train: -out: ", "not a directory"}},
		{"weights are a folder", occupied, []string{"train: -out: ", "model.safetensors: it is a folder"}},
		{"the plot is a folder", plotless, []string{"train: -out: ", "loss.png: it is a folder"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := start(context.Background(), "-data", text, "-out", test.dir)
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			contains(t, "the errors", errOut, test.want...)
			if out != "" {
				t.Errorf("there was more than the error:\n%s", out)
			}
			if content, err := os.ReadFile(file); string(content) != "precious" {
				t.Errorf("the file became %q (%v)", content, err)
			}
		})
	}
}

// A run that diverges leaves no weights, and those of a run before alone.
func TestTrainDiverges(t *testing.T) {
	dir := t.TempDir()
	code, _, errOut := start(context.Background(), "-data", textFile(t), "-out", dir, "-lr", "1e30", "-steps", "20")
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	contains(t, "the errors", errOut, "train: train.Run: step ", "not a finite number")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the folder holds %v, want neither weights nor a plot (%v)", entries, err)
	}
}

// A save that fails leaves the plot of the run before alone, as it does the weights.
func TestTrainSaveFails(t *testing.T) {
	dir := t.TempDir()
	plot := filepath.Join(dir, "loss.png")
	if err := os.WriteFile(plot, []byte("of the run before"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	blocked := interrupter{part: "step 1/4", cancel: func() {
		_ = os.MkdirAll(filepath.Join(dir, "model.safetensors"), 0o755)
	}}
	code := run(context.Background(), slices.Concat(tiny, []string{"-data", textFile(t), "-out", dir}), &blocked, &errOut)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	contains(t, "the errors", errOut.String(), "checkpoint", "it is a folder")
	if content, err := os.ReadFile(plot); string(content) != "of the run before" {
		t.Errorf("the plot was replaced by %d bytes (%v)", len(content), err)
	}
}

// Evaluation takes no more memory than training, whatever the length.
func TestTrainMemory(t *testing.T) {
	text := write(t, "text", strings.Repeat("all work and no play\n", 20000))
	flags := []string{"-data", text, "-device", "cpu", "-batch", "1", "-length", "512", "-sample", "0"}
	peak := func(ctx context.Context, out io.Writer, more ...string) int64 {
		runtime.GC()
		tensor.ResetPeakMemory()
		before := tensor.Memory().Active
		run(ctx, slices.Concat(tiny, flags, more), out, io.Discard)
		return tensor.Memory().Peak - before
	}
	ctx, cancel := context.WithCancel(context.Background())
	training := peak(ctx, &interrupter{part: "step 1/", cancel: cancel}, "-out", t.TempDir())
	if whole := peak(context.Background(), io.Discard, "-out", t.TempDir()); whole > training+training/4 {
		t.Errorf("with evaluation it takes %d bytes, training alone %d", whole, training)
	}
}

// interrupter calls cancel when a part of the output has been written.
type interrupter struct {
	text   strings.Builder
	part   string
	cancel func()
}

func (w *interrupter) Write(p []byte) (int, error) {
	w.text.Write(p)
	if strings.Contains(w.text.String(), w.part) {
		w.cancel()
	}
	return len(p), nil
}

func TestTrainInterrupted(t *testing.T) {
	text := textFile(t)
	for _, test := range []struct {
		part   string
		errOut string
		want   []string
	}{
		{"mixer delta", "train: train.Run: stopped after 0 of 1000000 steps: context canceled\n", nil},
		{"step", "train: train.Run: stopped after 1 of 1000000 steps: context canceled\n", []string{"the weights after step 1 are in "}},
	} {
		t.Run("at "+test.part, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			dir := t.TempDir()
			out, errOut := interrupter{part: test.part, cancel: cancel}, bytes.Buffer{}
			code := run(ctx, slices.Concat(tiny, []string{"-data", text, "-out", dir, "-steps", "1000000"}), &out, &errOut)
			if code != 1 || errOut.String() != test.errOut {
				t.Errorf("exit code %d and the error %q, want 1 and %q", code, &errOut, test.errOut)
			}
			contains(t, "the output", out.text.String(), test.want...)
			_, err := qla.Load(filepath.Join(dir, "model.safetensors"))
			if saved := err == nil; saved != (test.want != nil) {
				t.Errorf("weights saved: %v (%v)", saved, err)
			}
		})
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left") }

func TestTrainOutputFails(t *testing.T) {
	var errOut bytes.Buffer
	code := run(context.Background(), slices.Concat(tiny, []string{"-data", textFile(t), "-out", t.TempDir()}), full{}, &errOut)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	contains(t, "the errors", errOut.String(), "no space left")
}

func TestIndent(t *testing.T) {
	if got, want := indent([]byte("a\tb\n\x00\xff\x1b[1mé")), "  | a\tb\n  | \uFFFD\uFFFD\uFFFD[1mé"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
