// Verify holds the gated delta rule against golden files.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const about = `Verify runs the gated delta rule, forward and backward, on golden files and
compares outputs and gradients with those in the files. A PATH is a file, or a
folder, of which every .safetensors file is taken.

It prints a line for each case and tensor: the relative L2 error, the tolerance,
and ok or FAIL. Where a part is judged alone, such as dg of each value head, the
line is that of the worst part. A reference of zeros must be met by zeros; the
error is then the largest magnitude. Lines that start with a space explain the one
above. A case that the implementation cannot serve is a skip. The last line counts
cases.

The exit code is 0 if no case failed, 1 if one did, and 2 if a file cannot be
read or is no golden file, if the device is missing, or if the flags are wrong.

Usage: verify [flags] PATH...
`

// unreadable is the exit code where not all could be judged.
const unreadable = program.Misuse

// options are the flags and arguments.
type options struct {
	device program.Device
	variant
	dtypeName string
	paths     []string
}

// flags binds flags to the options.
func (o *options) flags(errOut io.Writer) *program.Flags {
	f := program.NewFlags("verify", about, errOut)
	f.TakesArguments = true
	o.device.Var(f)
	f.StringVar(&o.implementation, "impl", "auto", "implementation: "+strings.Join(implementationNames, ", "))
	f.IntVar(&o.chunk, "chunk", 64, "chunk size: 16, 32, 64 or 128; for metal not 128, and 32 if not given")
	f.StringVar(&o.scan, "scan", "auto", "how states go from chunk to chunk: "+strings.Join(scanNames, ", "))
	f.StringVar(&o.dtypeName, "dtype", "float32", "dtype of q, k, v and do: float32, float64, bfloat16 or float16; the rest is float32, or float64 beside it")
	return f
}

// validate names all that is wrong with flags and arguments in one error.
func (o *options) validate() error {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if !slices.Contains(implementationNames, o.implementation) {
		bad("-impl is %q, want one of %s", o.implementation, strings.Join(implementationNames, ", "))
	}
	if !slices.Contains([]int{16, 32, 64, 128}, o.chunk) {
		bad("-chunk is %d, want 16, 32, 64 or 128", o.chunk)
	}
	switch chunks := o.implementation == string(gateddelta.Auto) || o.implementation == string(gateddelta.Chunk); {
	case !slices.Contains(scanNames, o.scan):
		bad("-scan is %q, want one of %s", o.scan, strings.Join(scanNames, ", "))
	case o.scan != string(gateddelta.ScanAuto) && !chunks:
		bad("-scan is %s, which is for -impl chunk", o.scan)
	}
	dtypes := []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.BFloat16, tensor.Float16}
	if i := slices.IndexFunc(dtypes, func(d tensor.Dtype) bool { return d.String() == o.dtypeName }); i >= 0 {
		o.dtype = dtypes[i]
	} else {
		bad("-dtype is %q, want float32, float64, bfloat16 or float16", o.dtypeName)
	}
	if len(o.paths) == 0 {
		bad("there is no PATH, want a golden file or a folder of them")
	}
	for _, path := range o.paths {
		if strings.HasPrefix(path, "-") {
			bad("%s comes after a PATH, want flags before it (a file of that name is ./%s)", path, path)
			break
		}
	}
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// run is the program; it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	var o options
	flags := o.flags(errOut)
	check := func() error {
		o.paths = flags.Args()
		given := false
		flags.Visit(func(f *flag.Flag) { given = given || f.Name == "chunk" })
		if !given {
			o.chunk = defaultChunk(o.implementation)
		}
		return o.validate()
	}
	if code, ok := flags.Parse(args, check); !ok {
		return code
	}
	var sum tally
	err := o.device.Select()
	if err == nil {
		w := bufio.NewWriter(out)
		sum, err = verifyAll(o, w, errOut)
	}
	code := flags.Exit(sum.failed == 0, err)
	if err != nil || sum.unread > 0 {
		return unreadable
	}
	return code
}

// tally counts cases, and what could not be read.
type tally struct{ passed, failed, skipped, unread int }

// verifyAll verifies all files. Those that cannot be read are named on errOut
// and counted. The error is that of writing to w.
func verifyAll(o options, w *bufio.Writer, errOut io.Writer) (tally, error) {
	var sum tally
	complain := func(err error) {
		sum.unread++
		fmt.Fprintf(errOut, "verify: %v\n", err)
	}
	for _, path := range o.paths {
		files, err := filesOf(path)
		if err != nil {
			complain(err)
		}
		for _, f := range files {
			outcome, err := verify(f, o.variant, w, errOut)
			switch {
			case err != nil:
				complain(err)
			case outcome == passed:
				sum.passed++
			case outcome == failed:
				sum.failed++
			default:
				sum.skipped++
			}
			if err := w.Flush(); err != nil {
				return sum, errors.Wrap(err, "write")
			}
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	return sum, errors.Wrap(w.Flush(), "write")
}
