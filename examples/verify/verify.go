package main

import (
	"fmt"
	"io"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// outcome is that of a case.
type outcome int

const (
	passed outcome = iota
	failed
	skipped
)

// verify runs the case of one file and prints its lines. The error says why the
// file cannot be read or is no golden file.
func verify(in file, v variant, out, errOut io.Writer) (outcome, error) {
	line := func(format string, args ...any) {
		fmt.Fprintf(out, "%-20s %s\n", in.name, fmt.Sprintf(format, args...))
	}
	tensors, metadata, err := tensor.Load(in.path)
	if err != nil {
		return failed, err
	}
	defer func() {
		for _, t := range tensors {
			tensor.Free(t)
		}
	}()
	if reason := in.foreign(metadata); reason != "" {
		line("skip    %s", reason)
		return skipped, nil
	}
	f, strangers, err := newFixture(tensors, metadata)
	if err != nil {
		return failed, errors.WithMessage(err, in.path)
	}
	for _, name := range strangers {
		fmt.Fprintf(errOut, "verify: %s: tensor %q is not part of the format and not looked at\n", in.path, name)
	}
	if reason := v.cannotServe(f); reason != "" {
		line("skip    %s", reason)
		return skipped, nil
	}
	j, err := newJudge(f, v)
	if err != nil {
		return failed, errors.WithMessage(err, in.path)
	}
	got, err := v.compute(f)
	if err != nil {
		line("FAIL    %v", err)
		return failed, nil
	}
	result := passed
	for _, e := range resultEntries {
		if f.want[e.name] == nil {
			continue
		}
		findings := j.judge(e.name, got[e.name], f.want[e.name])
		worst, word := worstOf(findings), "ok"
		if !worst.ok() {
			result, word = failed, "FAIL"
		}
		line("%-6s  %8.2e  %-7.2g  %s", e.name, worst.error, worst.bound, word)
		for _, fault := range faults(findings) {
			fmt.Fprintf(out, "    %s\n", fault)
		}
	}
	return result, nil
}
