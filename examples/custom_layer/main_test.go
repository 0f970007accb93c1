package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestCustomLayer(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run(nil, &out, &errOut); code != 0 || errOut.Len() > 0 {
		t.Errorf("exit code %d, error %q", code, &errOut)
	}
	var first, last float64
	const format = "the gradient of squaredReLU is right\nstep 1: mean squared error %f\nstep 300: mean squared error %f\n"
	if _, err := fmt.Sscanf(out.String(), format, &first, &last); err != nil {
		t.Fatalf("%v in the output\n%s", err, &out)
	}
	if !(last < first/100) {
		t.Errorf("the error fell from %v to %v, want it a hundred times smaller", first, last)
	}
}

func TestCustomLayerFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Custom_layer checks the gradient of an operation of its own"},
		{[]string{"-steps", "-1"}, 2, "-steps"},
		{[]string{"-steps", "many"}, 2, `invalid value "many" for flag -steps`},
		{[]string{"more"}, 2, `custom_layer: unexpected argument "more"`},
	} {
		var out, errOut bytes.Buffer
		if code := run(test.args, &out, &errOut); code != test.code || out.Len() > 0 || !strings.Contains(errOut.String(), test.want) {
			t.Errorf("%q: exit code %d, output %q, errors %q; want %d and %q", test.args, code, &out, &errOut, test.code, test.want)
		}
	}
}

// The point of the example is that it is short.
func TestUnder100Lines(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte("\n")); n >= 100 {
		t.Errorf("main.go has %d lines, want fewer than 100", n)
	}
}
