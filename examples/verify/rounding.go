package main

import (
	"maps"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
)

// In a dtype that cannot hold the inputs, another problem is solved than the
// file's. Mostly the tolerances leave room for the difference. They do not where
// gates are so strong that a head's dg is made of few tokens, or where keys of one
// direction erase each other and dg depends on how near to 1 their length is:
// there no implementation, however exact, keeps them.

// half reports whether the dtype has fewer digits than float32.
func (v variant) half() bool { return v.dtype == tensor.BFloat16 || v.dtype == tensor.Float16 }

// movedReferences returns the references moved by what rounding q, k, v and do to
// the dtype does to them. Both sides of that difference are float64.
func (v variant) movedReferences(f *fixture) (map[string][]float64, error) {
	exact := variant{string(gateddelta.Chunk), v.chunk, tensor.Float64}
	if reason := exact.cannotServe(f); reason != "" {
		return nil, errors.New(reason)
	}
	rounded := *f
	rounded.inputs = maps.Clone(f.inputs)
	for _, name := range []string{"q", "k", "v", "do"} {
		rounded.inputs[name] = tensor.AsType(f.inputs[name], v.dtype)
	}
	before, err := exact.compute(f)
	if err != nil {
		return nil, err
	}
	moved, err := exact.compute(&rounded)
	if err != nil {
		return nil, err
	}
	for name, x := range moved {
		floats.Sub(x, before[name])
		floats.Add(x, f.want[name])
	}
	return moved, nil
}
