package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/models/qla"
)

// sample prints text that the model writes after the prompt.
func sample(ctx context.Context, o options, model *qla.Model, out io.Writer) error {
	if o.sample == 0 {
		return nil
	}
	text := []byte(o.prompt)
	opt := qla.SampleOptions{Temperature: sampleTemperature, Seed: o.seed}
	for id, err := range model.Generate(ctx, byteIDs(text), o.sample, opt) {
		if err != nil {
			return errors.Wrap(err, "sample")
		}
		text = append(text, byte(id))
	}
	_, err := fmt.Fprintf(out, "a sample:\n%s\n", indent(text))
	return err
}

func byteIDs(text []byte) []int32 {
	ids := make([]int32, len(text))
	for i, b := range text {
		ids[i] = int32(b)
	}
	return ids
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
