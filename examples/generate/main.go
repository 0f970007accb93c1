// Generate continues a prompt with a model that examples/train has trained.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/models/qla"
)

func main() {
	os.Exit(run(program.Interruptible(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const about = `Generate continues a prompt, byte by byte, with a model that examples/train has
saved. The prompt and its continuation go to standard output. With -prompt - the
prompt is read from standard input.

Usage: generate [flags]
`

// options are the flags.
type options struct {
	weights, prompt string
	count           int
	device          program.Device
	sampling        qla.SampleOptions
}

// flags binds flags to the options.
func (o *options) flags(errOut io.Writer) *program.Flags {
	f := program.NewFlags("generate", about, errOut)
	f.StringVar(&o.weights, "weights", "runs/train/model.safetensors", "file that examples/train saved")
	f.StringVar(&o.prompt, "prompt", "func ", "text to continue; - reads standard input")
	f.IntVar(&o.count, "n", 400, "bytes to generate")
	o.device.Var(f)
	f.Float64Var(&o.sampling.Temperature, "temperature", 0.7, "0 takes the likeliest byte each time")
	f.IntVar(&o.sampling.TopK, "top-k", 0, "draw from the k likeliest bytes only; 0 draws from all")
	f.Uint64Var(&o.sampling.Seed, "seed", 1, "the same seed gives the same text")
	return f
}

// validate names all flags that are wrong in one error.
func (o *options) validate() error {
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	check(o.prompt != "", "-prompt is empty, want a byte or more to continue")
	check(o.count >= 0, "-n is %d, want 0 or more", o.count)
	check(o.sampling.Temperature >= 0 && !math.IsInf(o.sampling.Temperature, 1), "-temperature is %v, want a finite number, 0 or more", o.sampling.Temperature)
	check(o.sampling.TopK >= 0, "-top-k is %d, want 0 or more", o.sampling.TopK)
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var o options
	flags := o.flags(errOut)
	if code, ok := flags.Parse(args, o.validate); !ok {
		return code
	}
	return flags.Exit(true, generate(ctx, o, in, out))
}

func generate(ctx context.Context, o options, in io.Reader, out io.Writer) error {
	if err := o.device.Select(); err != nil {
		return err
	}
	model, err := qla.Load(o.weights)
	if err != nil {
		return err
	}
	if vocab := model.Config().Vocab; vocab != 256 {
		return errors.Errorf("%s has a vocabulary of %d tokens, want one of the 256 bytes", o.weights, vocab)
	}
	if o.prompt == "-" {
		text, err := io.ReadAll(in)
		if err != nil {
			return errors.Wrap(err, "read the prompt")
		}
		o.prompt = string(text)
	}
	w := bufio.NewWriter(out)
	w.WriteString(o.prompt)
	for id, err := range model.Generate(ctx, program.ByteIDs(o.prompt), o.count, o.sampling) {
		if err != nil {
			w.WriteByte('\n')
			w.Flush()
			return err
		}
		w.WriteByte(byte(id))
		if err := w.Flush(); err != nil {
			return errors.Wrap(err, "write")
		}
	}
	w.WriteByte('\n')
	return errors.Wrap(w.Flush(), "write")
}
