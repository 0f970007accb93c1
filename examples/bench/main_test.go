package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

// start runs the program.
func start(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

// keys are those of an object, in their order.
var keys = []string{
	"impl", "shape", "chunk", "dtype", "device", "pass", "tokens_per_s", "ms_median", "ms_min", "peak_bytes", "extra_bytes",
	"graph_nodes", "launches", "flops", "bytes", "matmul_share",
}

// measured runs the program with -json and reads what it prints.
func measured(t *testing.T, args ...string) []row {
	t.Helper()
	code, out, errOut := start(append(args, "-json", "-device", "cpu")...)
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d, errors %q\n%s", code, errOut, out)
	}
	var rows []row
	for line := range strings.Lines(out) {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		var got []string
		for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(line, -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, keys) {
			t.Fatalf("the keys are %q, want %q", got, keys)
		}
		rows = append(rows, r)
	}
	return rows
}

func TestJSON(t *testing.T) {
	for _, dtype := range []string{"float32", "bfloat16", "float16", "float64"} {
		rows := measured(t, "-shape", "2,40,2,4,16,24", "-impl", "recurrent,chunk", "-chunk", "16", "-pass", "fwd,fwdbwd", "-dtype", dtype, "-runs", "2")
		if len(rows) != 4 {
			t.Fatalf("%d rows, want 4", len(rows))
		}
		for i, r := range rows {
			impl, chunk := "recurrent", 1
			if i%2 == 1 {
				impl, chunk = "chunk", 16
			}
			if r.Impl != impl || r.Chunk != chunk || r.Shape != (shape{2, 40, 2, 4, 16, 24}) || r.Dtype != dtype || r.Device != "cpu" || r.Pass != []string{forward, training}[i/2] {
				t.Errorf("row %d is of %+v", i, r)
			}
			if got := r.TokensPerS * r.MsMedian / 1e3; math.Abs(got-80) > 0.5 || r.MsMin <= 0 || r.MsMin > r.MsMedian {
				t.Errorf("%s: %v tokens/s, median %v ms, least %v ms", impl, r.TokensPerS, r.MsMedian, r.MsMin)
			}
			if r.Launches != 0 || r.MatmulShare <= 0 || r.MatmulShare > 1 {
				t.Errorf("%s: %d launches and a share of %v", impl, r.Launches, r.MatmulShare)
			}
		}
		fwd, all := rows[1], rows[3]
		if fwd.GraphNodes < 50 || all.GraphNodes < 2*fwd.GraphNodes || all.FLOPs < 2*fwd.FLOPs || all.Bytes < 2*fwd.Bytes {
			t.Errorf("%s: forward %+v, forward and backward %+v", dtype, fwd, all)
		}
	}
}

// The formulas of the documentation, and memory that is known.
func TestFigures(t *testing.T) {
	const B, T, Hk, Hv, K, V, C = 1, 128, 2, 4, 32, 16, 32
	r := measured(t, "-shape", "1,128,2,4,32,16", "-impl", "chunk", "-chunk", "32", "-runs", "1")[0]
	perValueHead := 6*K*V + 4*C*V + 2./3*C*C + 16*K*V + 10*C*V + 8*C*K
	if want := B * T * (Hv*perValueHead + Hk*4*C*K); math.Abs(r.FLOPs-want) > 1e-9*want {
		t.Errorf("%v operations, want %v", r.FLOPs, want)
	}
	operands := 4 * (B*T*(2*Hk*K+Hv*V+2*Hv) + B*Hv*K*V)
	results := 4 * (B*T*Hv*V + B*Hv*K*V)
	if want := 3*operands + 2*results; r.Bytes != float64(want) {
		t.Errorf("%v bytes, want %v", r.Bytes, want)
	}
	// Inputs with the gradients of the results, the results, and the gradients.
	if got, want := r.PeakBytes-r.ExtraBytes, int64(2*operands+2*results); got != want {
		t.Errorf("peak less extra is %d bytes, want %d", got, want)
	}
}

// The scan is told where the flags name one, and nowhere else.
func TestScan(t *testing.T) {
	args := []string{"-device", "cpu", "-shape", "1,128,1,2,16,16", "-impl", "chunk", "-chunk", "16", "-scan", "sequential,two-level,sequential", "-runs", "1"}
	code, out, errOut := start(append(args, "-json")...)
	got := regexp.MustCompile(`"scan":"([^"]*)"}\n`).FindAllStringSubmatch(out, -1)
	if code != 0 || errOut != "" || len(got) != 2 || got[0][1] != "sequential" || got[1][1] != "two-level" {
		t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
	}
	code, out, errOut = start(args...)
	if code != 0 || errOut != "" || !strings.Contains(out, " chunk two-level  ") {
		t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
	}
}

// On the CPU kernels are emulated; what a GPU would launch is told all the same.
func TestLaunches(t *testing.T) {
	rows := measured(t, "-shape", "1,48,1,2,16,16", "-impl", "metal", "-chunk", "16", "-pass", "fwd,fwdbwd", "-runs", "1")
	if len(rows) != 2 || rows[0].Impl != "metal" || rows[0].Launches < 1 || rows[0].Launches > 6 || rows[1].Launches <= rows[0].Launches || rows[1].Launches > 18 {
		t.Errorf("got %+v", rows)
	}
}

func TestCPU(t *testing.T) {
	if tensor.HostOps() != nil {
		code, _, errOut := start("-shape", "1,16,1,1,16,16", "-impl", "cpu", "-device", "cpu")
		if code != 2 || !strings.Contains(errOut, "lacks deltatape's addition") {
			t.Errorf("exit code %d, error %q", code, errOut)
		}
		return
	}
	rows := measured(t, "-shape", "2,70,2,4,16,24", "-impl", "cpu", "-chunk", "32", "-pass", "fwd,fwdbwd", "-dtype", "float32,bfloat16", "-runs", "1")
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4", len(rows))
	}
	for i, r := range rows {
		if r.Impl != "cpu" || r.Chunk != 32 || r.Launches != 0 || r.TokensPerS <= 0 {
			t.Errorf("row %d is %+v", i, r)
		}
		// At least the states [K, V] of a key head's value heads, for one thread.
		if least := int64(4 * 2 * 16 * 24); r.ExtraBytes < least || r.PeakBytes < r.ExtraBytes {
			t.Errorf("%s %s takes %d bytes, %d of them extra, want %d at least", r.Dtype, r.Pass, r.PeakBytes, r.ExtraBytes, least)
		}
	}
}

func TestThreads(t *testing.T) {
	args := []string{"-device", "cpu", "-shape", "1,128,2,2,16,16", "-impl", "chunk", "-threads", "1,2", "-runs", "1"}
	code, out, errOut := start(append(args, "-json")...)
	if code != 0 || errOut != "" || strings.Count(out, `"threads":1}`) != 1 || strings.Count(out, `"threads":2}`) != 1 {
		t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
	}
	code, out, errOut = start(args...)
	if code != 0 || errOut != "" || !strings.Contains(out, " chunk on 1  ") || !strings.Contains(out, " chunk on 2  ") {
		t.Errorf("exit code %d, errors %q\n%s", code, errOut, out)
	}
}

func TestNodes(t *testing.T) {
	args := []string{"-shape", "1,256,1,1,16,16", "-impl", "recurrent", "-runs", "1"}
	short, long := measured(t, append(args, "-lengths", "64")...)[0], measured(t, append(args, "-lengths", "128")...)[0]
	if ratio := float64(long.GraphNodes) / float64(short.GraphNodes); ratio < 1.8 || ratio > 2.2 {
		t.Errorf("%d nodes for 64 tokens and %d for 128", short.GraphNodes, long.GraphNodes)
	}
}

// What makes no difference is measured once.
func TestCases(t *testing.T) {
	for _, test := range []struct {
		args string
		want []string
	}{
		{"-dtype float64 -shape 1,64,1,2,16,16 -shape 1,1,1,2,16,16", []string{"chunk 16 64 fwdbwd", "recurrent 1 1 fwdbwd"}},
		{"-shape 1,64,1,2,16,16 -impl chunk,chunk -impl recurrent -chunk 16 -chunk 32,16", []string{"chunk 16 64 fwdbwd", "chunk 32 64 fwdbwd", "recurrent 1 64 fwdbwd"}},
		{"-dtype float64 -shape 1,64,1,2,16,16 -impl auto,chunk", []string{"chunk 16 64 fwdbwd", "chunk 16 64 fwdbwd"}}, // not one curve in a plot
		{"-shape 1,64,1,2,16,16 -impl chunk -sweep -lengths 32,64 -pass fwd", []string{
			"chunk 16 32 fwd", "chunk 32 32 fwd", "chunk 64 32 fwd", "chunk 128 32 fwd",
			"chunk 16 64 fwd", "chunk 32 64 fwd", "chunk 64 64 fwd", "chunk 128 64 fwd"}},
		{"-shape 1,64,1,2,16,16 -sweep -lengths 16 -chunk 16 -impl sdpa -pass fwd,fwdbwd", []string{"sdpa 0 16 fwd", "sdpa 0 16 fwdbwd"}},
		{"-compare-sdpa -lengths 64 -shape 1,1,1,2,16,8 -impl chunk -chunk 64 -pass fwd", []string{"chunk 64 64 fwd", "sdpa 0 64 fwd"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			var got []string
			for _, r := range measured(t, append(strings.Fields(test.args), "-runs", "1")...) {
				got = append(got, fmt.Sprintf("%s %d %d %s", r.Impl, r.Chunk, r.Shape.T(), r.Pass))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	var o options
	flags := o.flags(os.Stderr)
	if _, ok := flags.Parse(nil, o.complete); !ok || len(o.shapes.values) != 4 || o.runs < 5 {
		t.Errorf("the defaults are %+v", o)
	}
	o = options{}
	flags = o.flags(os.Stderr)
	if _, ok := flags.Parse([]string{"-sweep"}, o.complete); !ok || len(o.shapes.values) != len(sweepLengths) || !slices.Equal(o.chunks.values, []int{16, 32, 64, 128}) {
		t.Errorf("the defaults of -sweep are %+v", o)
	}
}

func TestTable(t *testing.T) {
	code, out, errOut := start("-device", "cpu", "-shape", "1,64,2,4,16,16", "-lengths", "32,64", "-compare-sdpa", "-pass", "fwd,fwdbwd", "-runs", "2")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d, errors %q", code, errOut)
	}
	for _, pattern := range []string{
		`^\S.* cores, \w+/\w+, go\S+, MLX \d.*\non 1: sgemm \S+ GFLOP/s, memory \S+ GB/s; 2 runs\n\n`,
		`(?m)^ *B,T,Hk,Hv,K,V +impl +chunk .* launches$`,
		`(?m)^ *1,32,2,4,16,16 +(chunk +16|cpu +32) +float32 +fwd +\d+ `,
		`(?m)^ *1,64,2,4,16,16 +sdpa +0 +float32 +fwdbwd +\d+ `,
		`(?m)^auto fwd at 1,T,2,4,16,16 float32 against sdpa: \S+x at T=32, \S+x at T=64, (not )?faster`,
		`(?m)^auto fwdbwd at .*\n$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(out) {
			t.Errorf("no %q in\n%s", pattern, out)
		}
	}
	if got := strings.Count(out, "\n"); got != 3+1+8+1+2 {
		t.Errorf("%d lines\n%s", got, out)
	}
}

func TestPlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "speed.png")
	measured(t, "-shape", "1,1,1,1,16,16", "-shape", "1,1,1,2,16,16", "-lengths", "16,64", "-sweep", "-runs", "1", "-plot", path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if image, err := png.Decode(f); err != nil || image.Bounds().Dx() != 800 || image.Bounds().Dy() != 500 {
		t.Errorf("the plot is no PNG of 800 by 500: %v", err)
	}
	if err := plotRows(filepath.Join(path, "inside a file"), []row{{Shape: shape{1, 1, 1, 1, 1, 1}, TokensPerS: 1}}); err == nil {
		t.Error("a plot appears inside a file")
	}
}

func TestMisuse(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-shape 1,2,3", "want B,T,Hk,Hv,K,V: six whole numbers from 1"},
		{"-shape 1,2,3,4,5,6,7", "six whole numbers"},
		{"-shape 1,0,1,1,16,16", "six whole numbers"},
		{"-shape 1,1,1,1,16,many", "six whole numbers"},
		{"-shape 1,1,2,3,16,16", "Hv = 3 is not a multiple of Hk = 2"},
		{"-shape 2000000000,2000000000,1,1,1,1", "larger than any machine"},
		{"-shape 999,1,9,9,999,999 -lengths 2000000000", "-lengths 2000000000: the shape is larger than any machine"},
		{"-shape 1,1000000000,1,1,64,64", "more than this machine's memory"},
		{"-shape 1,1000000,1,1,64,64 -impl recurrent", "recurrent fwdbwd at 1,1000000,1,1,64,64 takes about"},
		{"-shape 1,1000000,8,8,64,64 -impl sdpa", "sdpa fwdbwd at 1,1000000,8,8,64,64 takes about"},
		{"-impl cuda", `-impl cuda, -chunk 0: gateddelta.Apply: there is no implementation "cuda", want`},
		{"-impl ,", "want a name"},
		{"-threads 99", "Threads is 99, want 1 or 2"},
		{"-impl cpu -dtype float64", "-impl cpu, -chunk 0: gateddelta.Apply: Implementation is \"cpu\", but the kernels take float32, bfloat16 and float16, not float64"},
		{"-scan zigzag", `"zigzag"`},
		{"-chunk 48", "ChunkSize is 48, want one of [16 32 64 128]"},
		{"-chunk 16,x", "want a whole number"},
		{"-pass bwd", `want fwd or fwdbwd, got "bwd"`},
		{"-dtype int32", `want float32, bfloat16, float16 or float64, got "int32"`},
		{"-lengths 16,0", "want a whole number from 1"},
		{"-runs 0", "-runs is 0, want 1"},
		{"-runs few", `invalid value "few"`},
		{"-plot /no/such/folder/x.png", "want a file in a folder that exists"},
		{"-device tpu", `want cpu or gpu, got "tpu"`},
		{"more", `unexpected argument "more"`},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, out, errOut := start(strings.Fields(test.args)...)
			if code != 2 || out != "" || !strings.Contains(errOut, test.want) {
				t.Errorf("exit code %d, output %q, errors %q, want 2, none and %q", code, out, errOut, test.want)
			}
		})
	}
}

func TestNoGPU(t *testing.T) {
	if tensor.Available(tensor.GPU) {
		return
	}
	if code, out, errOut := start("-device", "gpu"); code != 1 || out != "" || !strings.Contains(errOut, "no GPU") {
		t.Errorf("exit code %d, output %q, errors %q", code, out, errOut)
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, fmt.Errorf("no space left") }

func TestOutputFails(t *testing.T) {
	for _, more := range [][]string{nil, {"-json"}} {
		var errOut bytes.Buffer
		if code := run(append(more, "-shape", "1,1,1,1,1,1", "-runs", "1"), full{}, &errOut); code != 1 || errOut.String() != "bench: write: no space left\n" {
			t.Errorf("exit code %d, errors %q", code, &errOut)
		}
	}
}
