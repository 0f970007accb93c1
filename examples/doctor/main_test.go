package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/tensor"
)

func TestDoctor(t *testing.T) {
	device := tensor.DefaultDevice()
	t.Cleanup(func() {
		if err := tensor.SetDevice(device); err != nil {
			t.Error(err)
		}
	})
	var out, errOut bytes.Buffer
	code := run([]string{"-device", "cpu"}, &out, &errOut)
	if errOut.Len() > 0 {
		t.Errorf("error %q", &errOut)
	}
	for _, line := range []string{
		`go +go1\.\d+.* \w+/\w+, \d+ processors`,
		`mlx +\d+\.\d+\.\d+`,
		`mlx-c +\d+\.\d+\.\d+`,
		`backend +\w+`,
		`library +\S+`,
		`device +cpu`,
		`blas +.+, \d+ GFLOP/s \(.*64x64x64\)`,
		`kernels +agree with the op graph \(float32, float16 and bfloat16\)`,
		`memory +\S+ \w?B in use, \S+ \w?B at most, \S+ \w?B kept for later`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(out.String()) {
			t.Errorf("want a line %q in:\n%s", line, &out)
		}
	}
	// How fast the machine is at the moment is not for this test to judge.
	well, slow := strings.HasSuffix(out.String(), "\nall is well\n"), strings.Contains(out.String(), "slow: ")
	if code == 0 && !well || code == 1 && !slow || code > 1 {
		t.Errorf("exit code %d after\n%s", code, &out)
	}
}

func TestDoctorFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, "Doctor prints the versions of MLX and mlx-c"},
		{[]string{"-device", "tpu"}, 2, `want cpu or gpu, got "tpu"`},
		{[]string{"all"}, 2, `doctor: unexpected argument "all"`},
	} {
		var out, errOut bytes.Buffer
		if code := run(test.args, &out, &errOut); code != test.code || out.Len() > 0 || !strings.Contains(errOut.String(), test.want) {
			t.Errorf("%q: exit code %d, output %q, errors %q; want %d and %q", test.args, code, &out, &errOut, test.code, test.want)
		}
	}
}

func TestDoctorWithoutGPU(t *testing.T) {
	if tensor.Available(tensor.GPU) {
		return // nothing to complain about
	}
	var out, errOut bytes.Buffer
	code := run([]string{"-device", "gpu"}, &out, &errOut)
	if want := "doctor: tensor.SetDevice: MLX finds no GPU on this machine that it can use; use the device cpu\n"; code != 1 || errOut.String() != want {
		t.Errorf("exit code %d, error %q, want 1 and %q", code, &errOut, want)
	}
	if !strings.Contains(out.String(), "mlx-c ") || strings.Contains(out.String(), "all is well") {
		t.Errorf("the output is\n%s", &out)
	}
}
