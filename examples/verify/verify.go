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
	t := trial{f: f, v: v, judge: j, got: got}
	for _, e := range resultEntries {
		if f.want[e.name] == nil {
			continue
		}
		findings, remarks := t.try(e.name)
		worst, word := worstOf(findings), "ok"
		if !worst.ok() {
			result, word = failed, "FAIL"
		}
		line("%-6s  %8.2e  %-7.2g  %s", e.name, worst.error, worst.bound, word)
		for _, remark := range append(remarks, faults(findings)...) {
			fmt.Fprintf(out, "    %s\n", remark)
		}
	}
	return result, nil
}

// trial compares what a variant got with what a fixture wants.
type trial struct {
	f     *fixture
	v     variant
	judge *judge
	got   map[string][]float64
	moved map[string][]float64 // references for rounded inputs, once they are needed
}

// try compares one result. Remarks say more about it.
func (t *trial) try(name string) (findings []finding, remarks []string) {
	findings = t.judge.judge(name, t.got[name], t.f.want[name])
	if worstOf(findings).ok() || !t.v.half() {
		return findings, nil
	}
	if t.moved == nil {
		moved, err := t.v.movedReferences(t.f)
		if err != nil {
			return findings, []string{"how much rounding the inputs does is unknown: " + err.Error()}
		}
		t.moved = moved
	}
	again := t.judge.judge(name, t.got[name], t.moved[name])
	if !worstOf(again).ok() {
		return findings, nil
	}
	remarks = append(remarks, "for inputs rounded to "+t.v.dtype.String()+"; against the file's reference,")
	return again, append(remarks, faults(findings)...)
}
