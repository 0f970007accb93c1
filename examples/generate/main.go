// Generate continues a prompt with a model that examples/train has trained.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/tensor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const about = `Generate continues a prompt, byte by byte, with a model that examples/train has
saved. The prompt and its continuation go to standard output. With -prompt - the
prompt is read from standard input.

Usage: generate [-weights FILE] [flags]

`

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() { fmt.Fprint(errOut, about); flags.PrintDefaults() }
	weights := flags.String("weights", "runs/train/model.safetensors", "file that examples/train saved")
	prompt := flags.String("prompt", "func ", "text to continue; - reads standard input")
	count := flags.Int("n", 400, "bytes to generate")
	device := flags.String("device", "", "cpu or gpu (default: the GPU if there is one)")
	var opt qla.SampleOptions
	flags.Float64Var(&opt.Temperature, "temperature", 0.7, "0 takes the likeliest byte each time")
	flags.IntVar(&opt.TopK, "top-k", 0, "draw from the k likeliest bytes only; 0 draws from all")
	flags.Uint64Var(&opt.Seed, "seed", 1, "the same seed gives the same text")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = errors.Errorf("unexpected argument %q", flags.Arg(0))
		fmt.Fprintf(errOut, "generate: %v\n", err)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if err := generate(ctx, *weights, *prompt, *device, *count, opt, in, out); err != nil {
		fmt.Fprintf(errOut, "generate: %v\n", err)
		return 1
	}
	return 0
}

func generate(ctx context.Context, weights, prompt, device string, count int, opt qla.SampleOptions, in io.Reader, out io.Writer) error {
	if device != "" {
		d, err := tensor.ParseDevice(device)
		if err == nil {
			err = tensor.SetDevice(d)
		}
		if err != nil {
			return err
		}
	}
	if prompt == "-" {
		text, err := io.ReadAll(in)
		if err != nil {
			return errors.Wrap(err, "read the prompt")
		}
		prompt = string(text)
	}
	model, err := qla.Load(weights)
	if err != nil {
		return err
	}
	ids := make([]int32, len(prompt))
	for i := range ids {
		ids[i] = int32(prompt[i])
	}
	w := bufio.NewWriter(out)
	defer w.Flush()
	w.WriteString(prompt)
	for id, err := range model.Generate(ctx, ids, count, opt) {
		if err != nil {
			return err
		}
		w.WriteByte(byte(id))
		if err := w.Flush(); err != nil {
			return errors.Wrap(err, "write")
		}
	}
	return errors.Wrap(w.WriteByte('\n'), "write")
}
