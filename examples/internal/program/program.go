// Package program holds what the example programs share: flags and exit codes,
// the choice of a device, and Ctrl-C.
package program

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// Exit codes.
const (
	OK     = 0
	Failed = 1 // something went wrong, or the result is not what was hoped for
	Misuse = 2 // the flags are wrong
)

// Flags are the flags of a program. -h prints about and the flags; a wrong flag
// prints one line.
type Flags struct {
	*flag.FlagSet
	TakesArguments bool // arguments may follow the flags

	about string
}

// NewFlags returns flags that write help and errors to errOut.
func NewFlags(name, about string, errOut io.Writer) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), about: about}
	f.SetOutput(errOut)
	f.Usage = func() {}
	return f
}

// Parse sets the flags from args and calls check, unless it is nil, on what they
// set. If it returns false the program has to end with code: help was asked for
// and is printed, or something is wrong, and it is said what.
func (f *Flags) Parse(args []string, check func() error) (code int, ok bool) {
	err := f.FlagSet.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(f.Output(), "%s\n", f.about)
		f.PrintDefaults()
		return OK, false
	case err != nil: // printed already
		fmt.Fprintf(f.Output(), "%s -h explains the flags\n", f.Name())
		return Misuse, false
	case f.NArg() > 0 && !f.TakesArguments:
		err = errors.Errorf("unexpected argument %q", f.Arg(0))
	case check != nil:
		err = check()
	}
	if err != nil {
		fmt.Fprintf(f.Output(), "%s: %v\n", f.Name(), err)
		return Misuse, false
	}
	return OK, true
}

// Exit prints the error, if there is one, and returns the exit code: Failed after
// an error or if the program says of itself that it is not good.
func (f *Flags) Exit(good bool, err error) int {
	if err != nil {
		fmt.Fprintf(f.Output(), "%s: %v\n", f.Name(), err)
	}
	if err != nil || !good {
		return Failed
	}
	return OK
}

// Device is a flag's value: cpu, gpu, or "" for the GPU if there is one.
type Device string

// Var adds -device to flags.
func (d *Device) Var(f *Flags) {
	f.FlagSet.Var(d, "device", "where to run, `cpu or gpu` (default: the GPU if there is one)")
}

// String returns the name of the device.
func (d *Device) String() string { return string(*d) }

// Set is called by package flag.
func (d *Device) Set(name string) error {
	_, err := tensor.ParseDevice(name)
	*d = Device(name)
	return err
}

// Select loads the engine and makes d the default device. It is an error if this
// machine does not have it.
func (d Device) Select() error {
	if d == "" {
		_, err := tensor.Versions()
		return err
	}
	device, err := tensor.ParseDevice(string(d))
	if err != nil {
		return err
	}
	return tensor.SetDevice(device)
}

// Interruptible returns a context that ends with the first Ctrl-C or SIGTERM, after
// which another one ends the process, or with the SIGHUP of a terminal that is
// closed, unless that signal is ignored, as nohup has it. There may be any number
// of those: the shell and the system send one each.
func Interruptible() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	calls, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(calls, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(hangups, syscall.SIGHUP)
	}
	go func() {
		select {
		case <-calls:
		case <-hangups:
		}
		signal.Stop(calls)
		cancel()
	}()
	return ctx
}

// ByteIDs returns the bytes of a text as token ids.
func ByteIDs(text string) []int32 {
	ids := make([]int32, len(text))
	for i := range ids {
		ids[i] = int32(text[i])
	}
	return ids
}
