package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/examples/internal/program"
	"github.com/deltatape/deltatape/models/qla"
)

// sample prints text that the model writes after the prompt.
func sample(ctx context.Context, o options, model *qla.Model, out io.Writer) error {
	if o.sample == 0 {
		return nil
	}
	text := []byte(o.prompt)
	opt := qla.SampleOptions{Temperature: sampleTemperature, Seed: o.seed}
	for id, err := range model.Generate(ctx, program.ByteIDs(o.prompt), o.sample, opt) {
		if err != nil {
			return errors.Wrap(err, "sample")
		}
		text = append(text, byte(id))
	}
	_, err := fmt.Fprintf(out, "a sample:\n%s\n", indent(text))
	return err
}

// indent sets text off from the program's own lines; bytes that are no text
// show as the replacement character.
func indent(text []byte) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(string(text), "\uFFFD"))
	return "  | " + strings.ReplaceAll(clean, "\n", "\n  | ")
}
