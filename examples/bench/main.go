// Bench measures the gated delta rule: time, memory, graph and operations.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

const about = `Bench measures the gated delta rule, forward or forward and backward with the
gradients of q, k, v, g, β and the initial state, on random inputs with keys of
unit length. Cases that are measured together take turns, run by run, so that
what disturbs the machine disturbs all of them.

It prints a table, or with -json a line for each case with an object of

  impl, shape, chunk     what ran: auto is resolved, shape is [B,T,Hk,Hv,K,V]
  dtype, device, pass    dtype is that of q, k and v
  tokens_per_s           B·T by the median time
  ms_median, ms_min      of -runs runs, the building of the graph included
  peak_bytes             the engine's most memory at a time, inputs included
  extra_bytes            the same without inputs, outputs and gradients
  graph_nodes            primitives of the engine in the graph of one run, without
                         what is evaluated while it is built: metal's kernels in
                         the emulator, and its segments but the last
  launches               kernels of this project that one run launches on a GPU, or
                         in the emulator
  flops                  multiplications and additions of the formulas' products,
                         see gateddelta.Explain; for sdpa those a causal order needs
  bytes                  the fewest bytes that must move: operands, results and
                         gradients, each once
  matmul_share           flops by the median time, as a share of the sgemm peak:
                         the fastest of one float32 product each round, of
                         1024x1024 matrices on the CPU and 4096x4096 on a GPU; or
                         of two side by side where the rule works on two cores, of
                         which more cores are taken to do as many times as much

The table also has the share of the roofline: the time that the operations take at
the sgemm peak, or the bytes at the speed of negating a long vector, whichever is
more. Operations and bytes are those above, but for metal those of the kernels' cost
model: half of each triangle, what is computed again, padding, and all that goes from
one to the next.

The implementation sdpa is MLX's own causal attention, with a query head for
each value head, that shares keys and values in groups as the rule shares keys.

The exit code is 1 if a measurement fails and 2 if the flags are wrong.

Usage: bench [flags]
`

// run is the program; it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	var o options
	flags := o.flags(errOut)
	if code, ok := flags.Parse(args, o.complete); !ok {
		return code
	}
	if err := o.device.Select(); err != nil {
		return flags.Exit(false, err)
	}
	cases, err := o.cases()
	if err != nil {
		flags.Exit(false, err)
		return program.Misuse
	}
	return flags.Exit(true, bench(program.Interruptible(), o, cases, out))
}

// bench measures the cases and writes the results.
func bench(ctx context.Context, o options, cases []*benchmark, out io.Writer) error {
	limits, err := measure(ctx, cases, o.runs)
	if err != nil {
		return err
	}
	rows := make([]row, len(cases))
	for i, c := range cases {
		rows[i] = c.row(limits)
	}
	if o.plot != "" {
		if err := plotRows(o.plot, rows); err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(out, rows)
	}
	machine, err := program.Machine()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s\n%s; %d runs\n\n", machine, limits, o.runs) + table(rows)
	if o.compareSDPA {
		text += "\n" + crossovers(rows)
	}
	_, err = io.WriteString(out, text)
	return errors.Wrap(err, "write")
}

// folderExists checks that a file can be made at path.
func folderExists(path string) bool {
	info, err := os.Stat(filepath.Dir(path))
	return err == nil && info.IsDir()
}
