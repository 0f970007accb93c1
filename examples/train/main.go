// Train trains a byte-level language model with gated-delta-rule layers, on the
// sources of Go's standard library unless told otherwise, and compares it with
// n-gram models that were fitted on the same bytes.
package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/ops/gateddelta"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a closed output is an error of each write and no more
	os.Exit(run(program.Interruptible(), os.Args[1:], os.Stdout, os.Stderr))
}

const about = `Train trains a small byte-level language model with gated-delta-rule layers on
the sources of Go's standard library (or -data), and compares its bits per byte
on held-out files with n-gram models of orders 0, 1 and 2 that were fitted on
the very bytes the model has seen. It leaves weights and a plot of the loss in
the folder of -out and prints a sample of text.

The exit code is 0 if the model beats the order-2 model, 1 if it does not or if
something failed, and 2 if the flags are wrong. Ctrl-C, SIGTERM and a terminal
that is closed finish the step that is under way, save weights and plot and exit
with 1. A standard output that is closed or full ends nothing: training goes on,
weights and plot are saved, and the exit code is 1.

Usage: train [flags]
`

// options are the flags.
type options struct {
	data, out    string
	device       program.Device
	seed         uint64
	steps, batch int
	length       int
	rate         float64
	sample       int
	prompt       string
	checkKernels *bool // nil: on a GPU
	model        qla.Config
}

// flags binds flags to the options.
func (o *options) flags(errOut io.Writer) *program.Flags {
	f := program.NewFlags("train", about, errOut)
	f.StringVar(&o.data, "data", "", "text file or folder to learn from (default: the sources of Go's standard library)")
	f.StringVar(&o.out, "out", "runs/train", "folder for model.safetensors and loss.png")
	o.device.Var(f)
	f.Uint64Var(&o.seed, "seed", 1, "seed of weights and batches; runs with one seed are bit-equal")
	f.IntVar(&o.steps, "steps", 1200, "optimiser steps")
	f.IntVar(&o.batch, "batch", 8, "sequences in a batch")
	f.IntVar(&o.length, "length", 128, "bytes in a sequence")
	f.Float64Var(&o.rate, "lr", 4e-3, "peak learning rate")
	f.IntVar(&o.sample, "sample", 400, "bytes of sample text to print at the end")
	f.StringVar(&o.prompt, "prompt", "func ", "text that the sample continues")
	f.StringVar((*string)(&o.model.Mixer), "mixer", string(qla.MixerDelta), "delta, or none for the same model without the delta rule")
	f.IntVar(&o.model.Layers, "layers", 2, "layers")
	f.IntVar(&o.model.Hidden, "hidden", 128, "width of the model")
	f.IntVar(&o.model.KeyHeads, "key-heads", 2, "heads of queries and keys")
	f.IntVar(&o.model.ValueHeads, "value-heads", 4, "heads of values, a multiple of -key-heads")
	f.IntVar(&o.model.KeyDim, "key-dim", 32, "width of a key head")
	f.IntVar(&o.model.ValueDim, "value-dim", 32, "width of a value head")
	f.IntVar(&o.model.ChunkSize, "chunk", 32, "chunk size of the delta rule: 16, 32, 64 or 128")
	f.StringVar((*string)(&o.model.Implementation), "impl", string(gateddelta.Auto), "implementation of the delta rule: auto, recurrent, chunk, cpu or metal")
	f.BoolFunc("check-kernels", "compare fused kernels with other operations before their first use, and fail where they differ (default: on a GPU)", o.setCheckKernels)
	o.model.Vocab = 256
	o.model.TieEmbeddings = true
	return f
}

func (o *options) setCheckKernels(text string) error {
	on, err := strconv.ParseBool(text)
	o.checkKernels = &on
	return errors.Wrap(err, "want true or false")
}

// validate checks the flags that nothing else checks before text is read.
func (o *options) validate() error {
	var wrong []string
	for _, f := range []struct {
		name       string
		value, min int
	}{
		{"steps", o.steps, 1}, {"batch", o.batch, 1}, {"length", o.length, 1}, {"sample", o.sample, 0},
		{"layers", o.model.Layers, 1}, {"hidden", o.model.Hidden, 1}, {"chunk", o.model.ChunkSize, 16},
		{"key-heads", o.model.KeyHeads, 1}, {"value-heads", o.model.ValueHeads, 1}, {"key-dim", o.model.KeyDim, 1}, {"value-dim", o.model.ValueDim, 1},
	} {
		if f.value < f.min {
			wrong = append(wrong, fmt.Sprintf("-%s is %d, want %d or more", f.name, f.value, f.min))
		}
	}
	if !(o.rate > 0) || math.IsInf(o.rate, 0) {
		wrong = append(wrong, fmt.Sprintf("-lr is %v, want a finite number above 0", o.rate))
	}
	if o.out == "" {
		wrong = append(wrong, "-out is empty, want a folder")
	}
	if o.sample > 0 && o.prompt == "" {
		wrong = append(wrong, "-prompt is empty, want a byte or more for the sample to continue")
	}
	if wrong == nil { // zeros would be defaults
		if err := o.model.Validate(); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var o options
	flags := o.flags(errOut)
	if code, ok := flags.Parse(args, o.validate); !ok {
		return code
	}
	better, err := trainModel(ctx, o, out)
	return flags.Exit(better, err)
}

func (o options) weights() string { return filepath.Join(o.out, "model.safetensors") }
func (o options) plot() string    { return filepath.Join(o.out, "loss.png") }
