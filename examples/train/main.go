// Train trains a byte-level language model with gated-delta-rule layers, on the
// sources of Go's standard library unless told otherwise, and compares it with
// n-gram models that were fitted on the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/tensor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // a second signal ends the process at once
		<-ctx.Done()
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

const about = `Train trains a small byte-level language model with gated-delta-rule layers on
the sources of Go's standard library (or -data), and compares its bits per byte
on held-out files with n-gram models of orders 0, 1 and 2 that were fitted on
the very bytes the model has seen. It leaves weights, a plot of the loss and a
sample of text in the folder of -out.

The exit code is 0 if the model beats the order-2 model, 1 if it does not or if
something failed, and 2 if the flags are wrong. Ctrl-C finishes the step that is
under way, saves the weights and exits with 1.

Usage: train [flags]

`

// options are the flags.
type options struct {
	data, out, device string
	seed              uint64
	steps, batch      int
	length            int
	rate              float64
	sample            int
	prompt            string
	model             qla.Config
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("train", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() { fmt.Fprint(errOut, about); flags.PrintDefaults() }
	flags.StringVar(&o.data, "data", "", "text file or folder to learn from (default: the sources of Go's standard library)")
	flags.StringVar(&o.out, "out", "runs/train", "folder for model.safetensors and loss.png")
	flags.StringVar(&o.device, "device", "", "cpu or gpu (default: the GPU if there is one)")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of weights and batches; runs with one seed are bit-equal")
	flags.IntVar(&o.steps, "steps", 450, "optimiser steps")
	flags.IntVar(&o.batch, "batch", 16, "sequences in a batch")
	flags.IntVar(&o.length, "length", 128, "bytes in a sequence")
	flags.Float64Var(&o.rate, "lr", 4e-3, "peak learning rate")
	flags.IntVar(&o.sample, "sample", 400, "bytes of sample text to print at the end")
	flags.StringVar(&o.prompt, "prompt", "func ", "text that the sample continues")
	flags.StringVar((*string)(&o.model.Mixer), "mixer", string(qla.MixerDelta), "delta, or none for the same model without the delta rule")
	flags.IntVar(&o.model.Layers, "layers", 3, "layers")
	flags.IntVar(&o.model.Hidden, "hidden", 128, "width of the model")
	flags.IntVar(&o.model.KeyHeads, "key-heads", 2, "heads of queries and keys")
	flags.IntVar(&o.model.ValueHeads, "value-heads", 4, "heads of values, a multiple of -key-heads")
	flags.IntVar(&o.model.KeyDim, "key-dim", 32, "width of a key head")
	flags.IntVar(&o.model.ValueDim, "value-dim", 32, "width of a value head")
	flags.IntVar(&o.model.ChunkSize, "chunk", 32, "chunk size of the delta rule: 16, 32, 64 or 128")
	o.model.Vocab = 256
	o.model.TieEmbeddings = true
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		err := errors.Errorf("unexpected argument %q", flags.Arg(0))
		fmt.Fprintf(errOut, "train: %v\n", err)
		return o, err
	}
	if err := o.validate(); err != nil {
		fmt.Fprintf(errOut, "train: %v\n", err)
		return o, err
	}
	return o, nil
}

// validate checks the flags that nothing else checks before text is read.
func (o options) validate() error {
	var wrong []string
	for _, f := range []struct {
		name       string
		value, min int
	}{{"steps", o.steps, 1}, {"batch", o.batch, 1}, {"length", o.length, 1}, {"sample", o.sample, 0}} {
		if f.value < f.min {
			wrong = append(wrong, fmt.Sprintf("-%s is %d, want %d or more", f.name, f.value, f.min))
		}
	}
	if !(o.rate > 0) || math.IsInf(o.rate, 0) {
		wrong = append(wrong, fmt.Sprintf("-lr is %v, want a finite number above 0", o.rate))
	}
	if o.sample > 0 && o.prompt == "" {
		wrong = append(wrong, "-prompt is empty, want a byte or more for the sample to continue")
	}
	if o.device != "" {
		if _, err := tensor.ParseDevice(o.device); err != nil {
			wrong = append(wrong, "-"+err.Error())
		}
	}
	if err := o.model.Validate(); err != nil {
		wrong = append(wrong, err.Error())
	}
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o, err := parse(args, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	better, err := trainModel(ctx, o, out)
	switch {
	case err != nil:
		fmt.Fprintf(errOut, "train: %v\n", err)
		return 1
	case !better:
		return 1
	}
	return 0
}

// prepareFolder makes the output folder and finds out that it can be written
// to before anything is trained.
func prepareFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errors.Wrap(err, "-out")
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return errors.Wrap(err, "-out: the folder can't be written to")
	}
	f.Close()
	return errors.Wrap(os.Remove(f.Name()), "-out")
}

func (o options) weights() string { return filepath.Join(o.out, "model.safetensors") }
func (o options) plot() string    { return filepath.Join(o.out, "loss.png") }

func selectDevice(name string) error {
	if name == "" {
		_, err := tensor.Versions()
		return err
	}
	d, err := tensor.ParseDevice(name)
	if err != nil {
		return err
	}
	return tensor.SetDevice(d)
}
