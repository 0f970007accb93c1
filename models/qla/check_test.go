package qla

import (
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// TestCheckKernels puts checks that find what they are told in place of those of the
// machine.
func TestCheckKernels(t *testing.T) {
	layers, decode := checkLayers, checkDecode
	defer func() { checkLayers, checkDecode = layers, decode }()
	var layersFound, decodeFound error
	var calls []string
	checkLayers = func(d tensor.Dtype, HK, HV, DK, DV, taps int) error {
		if d != tensor.Float32 || HK != 2 || HV != 4 || DK != 8 || DV != 16 || taps != 4 {
			t.Errorf("the check is of %s heads %d/%d, sizes %d and %d, %d taps", d, HK, HV, DK, DV, taps)
		}
		calls = append(calls, "layers")
		return layersFound
	}
	checkDecode = func(k metal.Config, taps int) error {
		if k.DK != 8 || k.DV != 16 || taps != 4 {
			t.Errorf("the check is of %+v, %d taps", k, taps)
		}
		calls = append(calls, "decode")
		return decodeFound
	}
	wrong, short := errors.New("y is upside down"), errors.WithStack(&tensor.MemoryError{})
	for _, test := range []struct {
		name           string
		change         func(*Config)
		layers, decode error
		calls          string // of Forward, and of Step for one token
		forward, step  string // errors
	}{
		{"not asked for", func(c *Config) { c.CheckKernels = false }, wrong, wrong, "", "", ""},
		{"right", func(*Config) {}, nil, nil, "layers layers decode", "", ""},
		{"a norm is wrong", func(*Config) {}, wrong, nil, "layers layers", "kernels of layers are wrong on this device, use another: y is upside down", "kernels of layers"},
		{"the step is wrong", func(*Config) {}, nil, wrong, "layers layers decode", "", `Implementation "metal" is wrong on this device, ask for "chunk": y is upside down`},
		{"short of memory", func(*Config) {}, short, short, "layers layers decode", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, layersFound, decodeFound = nil, test.layers, test.decode
			m := newModel(t, with(served, func(c *Config) { c.Layers, c.CheckKernels = 1, true; test.change(c) }), 1)
			tape, cache := autograd.NoGrad(), m.NewCache()
			defer tape.Close()
			defer cache.Close()
			for _, pass := range []struct {
				run  func()
				want string
			}{
				{func() { m.Forward(tape, tokens(9, 1, 5)) }, test.forward},
				{func() { m.Step(tape, tokens(9, 1, 1), cache) }, test.step},
			} {
				err := tensor.Try(pass.run)
				var misuse *tensor.Error
				if (err != nil) != (pass.want != "") || err != nil && (!errors.As(err, &misuse) || !strings.Contains(err.Error(), pass.want)) {
					t.Errorf("got %v, want %q", err, pass.want)
				}
			}
			if got := strings.Join(calls, " "); got != test.calls {
				t.Errorf("checks of %q, want %q", got, test.calls)
			}
		})
	}
	if tensor.DefaultDevice() == tensor.CPU {
		calls = nil
		m := newModel(t, with(served, func(c *Config) { c.Implementation, c.CheckKernels = gateddelta.Auto, true }), 1)
		tape := autograd.NoGrad()
		defer tape.Close()
		m.Forward(tape, tokens(9, 1, 5))
		if calls != nil {
			t.Errorf("checks of %q without kernels", calls)
		}
	}
}

// TestCheckKernelsRuns trains and steps a model that the emulator's kernels compute,
// with the checks.
func TestCheckKernelsRuns(t *testing.T) {
	m := newModel(t, with(served, func(c *Config) { c.CheckKernels = true }), 1)
	if !m.cfg.ruleOptions(gateddelta.Metal, true).CheckKernels {
		t.Error("the rule is not checked")
	}
	tape, cache := autograd.NewTape(), m.NewCache()
	defer tape.Close()
	defer cache.Close()
	if err := tensor.Eval(m.Forward(tape, tokens(9, 2, 20)).Value()); err != nil {
		t.Error(err)
	}
	if got := generate(t, m, []int32{1, 2}, 3, SampleOptions{}); len(got) != 3 {
		t.Errorf("generates %v", got)
	}
}
