package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/tensor"
)

// shape is B, T, Hk, Hv, K and V.
type shape [6]int

func (s shape) B() int  { return s[0] }
func (s shape) T() int  { return s[1] }
func (s shape) Hk() int { return s[2] }
func (s shape) Hv() int { return s[3] }
func (s shape) K() int  { return s[4] }
func (s shape) V() int  { return s[5] }

// withT returns the shape with another length.
func (s shape) withT(T int) shape {
	s[1] = T
	return s
}

func (s shape) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([6]int(s)), " ", ","), "[]")
}

// parseShape is the inverse of String.
func parseShape(text string) (shape, error) {
	var s shape
	fields := strings.Split(text, ",")
	product := 1.0
	for i, f := range fields {
		n, err := parseCount(f)
		if err != nil || len(fields) != len(s) {
			return s, errors.New("want B,T,Hk,Hv,K,V: six whole numbers from 1")
		}
		s[i] = n
		product *= float64(n)
	}
	if s.Hv()%s.Hk() != 0 {
		return s, errors.Errorf("Hv = %d is not a multiple of Hk = %d", s.Hv(), s.Hk())
	}
	if product > math.MaxInt32*math.MaxInt16 { // so that counts of elements don't overflow
		return s, errors.New("the shape is larger than any machine")
	}
	return s, nil
}

// parseCount parses a whole number from 1.
func parseCount(text string) (int, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, errors.New("want a whole number from 1")
	}
	return int(n), nil
}

// parseChoice is parseCount for numbers that 0 leaves open.
func parseChoice(text string) (int, error) {
	if text == "0" {
		return 0, nil
	}
	return parseCount(text)
}

func parsePass(text string) (string, error) {
	if text != forward && text != training {
		return "", errors.Errorf("want %s or %s, got %q", forward, training, text)
	}
	return text, nil
}

func parseDtype(text string) (tensor.Dtype, error) {
	for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16, tensor.Float16, tensor.Float64} {
		if d.String() == text {
			return d, nil
		}
	}
	return 0, errors.Errorf("want float32, bfloat16, float16 or float64, got %q", text)
}

func parseName(text string) (string, error) {
	if text == "" {
		return "", errors.New("want a name")
	}
	return text, nil
}

// list is a flag with several values, separated by commas or in several flags.
type list[T any] struct {
	values []T
	parse  func(string) (T, error)
	whole  bool // a value holds commas itself
}

// String is called by package flag.
func (l *list[T]) String() string {
	if l == nil {
		return ""
	}
	var parts []string
	for _, v := range l.values {
		parts = append(parts, fmt.Sprint(v))
	}
	return strings.Join(parts, ",")
}

// Set is called by package flag.
func (l *list[T]) Set(text string) error {
	parts := []string{text}
	if !l.whole {
		parts = strings.Split(text, ",")
	}
	for _, p := range parts {
		v, err := l.parse(strings.TrimSpace(p))
		if err != nil {
			return err
		}
		l.values = append(l.values, v)
	}
	return nil
}

// orDefault returns the values, or others if there are none.
func (l *list[T]) orDefault(values ...T) []T {
	if len(l.values) > 0 {
		return l.values
	}
	return values
}

// options are the flags.
type options struct {
	device      program.Device
	shapes      list[shape]
	impls       list[string]
	chunks      list[int]
	scans       list[string]
	threads     list[int]
	passes      list[string]
	dtypes      list[tensor.Dtype]
	lengths     list[int]
	runs        int
	json        bool
	sweep       bool
	compareSDPA bool
	plot        string
}

// flags binds flags to the options.
func (o *options) flags(errOut io.Writer) *program.Flags {
	o.shapes = list[shape]{parse: parseShape, whole: true}
	o.impls.parse, o.scans.parse, o.passes.parse = parseName, parseName, parsePass
	o.dtypes.parse, o.chunks.parse, o.threads.parse, o.lengths.parse = parseDtype, parseChoice, parseChoice, parseCount
	f := program.NewFlags("bench", about, errOut)
	o.device.Var(f)
	f.Var(&o.shapes, "shape", "`B,T,Hk,Hv,K,V`: batch, length, key heads, value heads and their sizes; may be repeated (default 4,128,2,4,32,32, 1,1024,4,8,64,64, 1,512,8,32,128,128 and 1,2048,8,32,128,128, or where lengths vary the second)")
	f.Var(&o.impls, "impl", "`implementations`: auto, recurrent, chunk, cpu, metal or sdpa, separated by commas (default auto)")
	f.Var(&o.chunks, "chunk", "chunk `sizes`: 16, 32, 64 or 128, or 0 to choose, separated by commas (default 0, with -sweep all)")
	f.Var(&o.scans, "scan", "`ways` from chunk to chunk: auto, sequential, transition or two-level, separated by commas; each result then has the key scan")
	f.Var(&o.threads, "threads", "`numbers` of processor cores for the rule to work on, 1 or 2, separated by commas; each result then has the key threads")
	f.Var(&o.passes, "pass", "`passes`: fwd, fwdbwd or both (default fwdbwd)")
	f.Var(&o.dtypes, "dtype", "`dtypes` of q, k and v: float32, bfloat16, float16 or float64 (default float32)")
	f.Var(&o.lengths, "lengths", "`lengths` T to take in place of that of each shape, separated by commas")
	f.IntVar(&o.runs, "runs", 10, "`number` of runs of each case that count, after two that do not")
	f.BoolVar(&o.json, "json", false, "print a line of JSON for each case and nothing else")
	f.BoolVar(&o.sweep, "sweep", false, "go through lengths and chunk sizes (see -lengths and -chunk)")
	f.BoolVar(&o.compareSDPA, "compare-sdpa", false, "put MLX's causal attention beside the rule, and tell from which length on the rule is faster")
	f.StringVar(&o.plot, "plot", "", "write a diagram of tokens/s by length to this PNG `file`")
	return f
}

// sweepLengths are those of -sweep and -compare-sdpa.
var sweepLengths = []int{128, 256, 512, 1024, 2048, 4096}

// complete checks the flags together and fills in what they leave open.
func (o *options) complete() error {
	if o.runs < 1 || o.runs > 1e6 {
		return errors.Errorf("-runs is %d, want 1 to 1000000", o.runs)
	}
	if o.plot != "" && !folderExists(o.plot) {
		return errors.Errorf("-plot is %s, want a file in a folder that exists", o.plot)
	}
	o.impls.values = o.impls.orDefault("auto")
	if o.compareSDPA && !slices.Contains(o.impls.values, sdpa) {
		o.impls.values = append(o.impls.values, sdpa)
	}
	if o.sweep {
		o.chunks.values = o.chunks.orDefault(16, 32, 64, 128)
	}
	o.chunks.values = o.chunks.orDefault(0)
	o.passes.values = o.passes.orDefault(training)
	o.dtypes.values = o.dtypes.orDefault(tensor.Float32)
	if o.sweep || o.compareSDPA {
		o.lengths.values = o.lengths.orDefault(sweepLengths...)
	}
	small, medium, large := shape{4, 128, 2, 4, 32, 32}, shape{1, 1024, 4, 8, 64, 64}, shape{1, 512, 8, 32, 128, 128}
	if len(o.lengths.values) == 0 {
		o.shapes.values = o.shapes.orDefault(small, medium, large, large.withT(2048))
		return nil
	}
	var shapes []shape
	for _, s := range o.shapes.orDefault(medium) {
		for _, T := range o.lengths.values {
			if s, err := parseShape(s.withT(T).String()); err != nil {
				return errors.Wrapf(err, "-lengths %d", T)
			} else if !slices.Contains(shapes, s) {
				shapes = append(shapes, s)
			}
		}
	}
	o.shapes.values = shapes
	return nil
}
