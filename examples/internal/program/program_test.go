package program

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		name  string
		args  []string
		check error
		code  int
		ok    bool
		want  []string // in the output; none: there is none
	}{
		{"none", nil, nil, OK, true, nil},
		{"good", []string{"-n", "3", "-device", "cpu"}, nil, OK, true, nil},
		{"help", []string{"-h"}, nil, OK, false, []string{"About it.\n", "  -n int\n", "(default 7)", "  -device cpu or gpu\n"}},
		{"help after others", []string{"-n", "3", "-help"}, nil, OK, false, []string{"About it.\n"}},
		{"unknown", []string{"-x"}, nil, Misuse, false, []string{"flag provided but not defined: -x\n", "test -h explains the flags\n"}},
		{"no number", []string{"-n", "many"}, nil, Misuse, false, []string{`invalid value "many" for flag -n`}},
		{"no device", []string{"-device", "tpu"}, nil, Misuse, false, []string{`want cpu or gpu, got "tpu"`}},
		{"an argument", []string{"-n", "3", "more"}, nil, Misuse, false, []string{`test: unexpected argument "more"` + "\n"}},
		{"check", []string{"-n", "3"}, errors.New("-n is 3, want 4"), Misuse, false, []string{"test: -n is 3, want 4\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			f := NewFlags("test", "About it.", &out)
			n := f.Int("n", 7, "number")
			var d Device
			d.Var(f)
			code, ok := f.Parse(test.args, func() error { return test.check })
			if code != test.code || ok != test.ok {
				t.Errorf("got %d, %v, want %d, %v", code, ok, test.code, test.ok)
			}
			for _, part := range test.want {
				if !strings.Contains(out.String(), part) {
					t.Errorf("want %q in the output:\n%s", part, &out)
				}
			}
			if test.want == nil && out.Len() > 0 {
				t.Errorf("unexpected output:\n%s", &out)
			}
			if ok && len(test.args) > 0 && (*n != 3 || d != "cpu") {
				t.Errorf("the flags are %d and %q", *n, d)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	f := NewFlags("test", "", io.Discard)
	f.TakesArguments = true
	if _, ok := f.Parse([]string{"a", "b"}, nil); !ok || !slices.Equal(f.Args(), []string{"a", "b"}) {
		t.Errorf("the arguments are %q (%v), want a and b", f.Args(), ok)
	}
}

func TestExit(t *testing.T) {
	for _, test := range []struct {
		good bool
		err  error
		code int
		want string
	}{
		{true, nil, OK, ""},
		{false, nil, Failed, ""},
		{true, errors.New("100%s bad"), Failed, "test: 100%s bad\n"},
	} {
		var out bytes.Buffer
		if code := NewFlags("test", "", &out).Exit(test.good, test.err); code != test.code || out.String() != test.want {
			t.Errorf("Exit(%v, %v) is %d and prints %q, want %d and %q", test.good, test.err, code, &out, test.code, test.want)
		}
	}
}

func TestDeviceSelect(t *testing.T) {
	before := tensor.DefaultDevice()
	t.Cleanup(func() {
		if err := tensor.SetDevice(before); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []Device{"", "cpu"} {
		if err := d.Select(); err != nil {
			t.Errorf("%q: %v", d, err)
		}
	}
	if got := tensor.DefaultDevice(); got != tensor.CPU {
		t.Errorf("the device is %v, want the CPU", got)
	}
	if err := Device("gpu").Select(); (err == nil) != tensor.Available(tensor.GPU) {
		t.Errorf("gpu: %v", err)
	}
	if err := Device("tpu").Select(); err == nil {
		t.Error("tpu: want an error")
	}
}

func TestByteIDs(t *testing.T) {
	if got, want := ByteIDs("a\x00\xff"), []int32{97, 0, 255}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
