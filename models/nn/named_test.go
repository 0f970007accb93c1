package nn_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/tensor"
)

type Shared struct {
	Scale *autograd.Param `param:"scale"`
}

type leaf struct {
	Weight *autograd.Param `param:"weight"`
	Bias   *autograd.Param `param:"bias"`
}

type module interface{ Size() int }

type sized struct{ W *autograd.Param }

func (sized) Size() int { return 1 }

type tree struct {
	Shared                        // embedded: adds nothing to the path
	First   leaf                  // named by its field
	InProj  *leaf                 `param:"model.in_proj"`
	Nothing *leaf                 `param:"nothing"`
	Layers  []*leaf               `param:"layers"`
	Grid    [2][]leaf             // nested slices
	Any     module                `param:"any"`
	Absent  module                `param:"absent"`
	Skipped *leaf                 `param:"-"`
	ByName  map[string]*leaf      // maps have no order
	HTTPKey *autograd.Param       // no tag
	Self    *tree                 // a cycle
	Tied    *autograd.Param       `param:"tied"`
	Numbers []float32             // no modules
	Text    string                // not a module
	Forward func(*autograd.Param) // not a module
	hidden  *leaf
}

func param() *autograd.Param { return autograd.NewParam("p", tensor.Zeros(tensor.Float32, 2, 3)) }

func newTree() *tree {
	full := func() leaf { return leaf{param(), param()} }
	first := full()
	m := &tree{
		Shared:  Shared{param()},
		First:   first,
		InProj:  &leaf{Weight: param()}, // no bias
		Layers:  []*leaf{{Weight: param()}, nil, {Bias: param()}},
		Grid:    [2][]leaf{{full()}, {}},
		Any:     &sized{param()},
		Skipped: &leaf{Weight: param()},
		ByName:  map[string]*leaf{"a": {Weight: param()}},
		HTTPKey: param(),
		Tied:    first.Bias,
		hidden:  &leaf{Weight: param()},
	}
	m.Self = m
	return m
}

func names(module any) []string {
	var list []string
	for name := range nn.Named(module) {
		list = append(list, name)
	}
	return list
}

func TestNamedOrder(t *testing.T) {
	want := []string{
		"scale",
		"first.weight", "first.bias",
		"model.in_proj.weight",
		"layers.0.weight", "layers.2.bias",
		"grid.0.0.weight", "grid.0.0.bias",
		"any.w",
		"http_key",
	}
	m := newTree()
	for _, module := range []any{m, *m} {
		if got := names(module); !slices.Equal(got, want) {
			t.Errorf("Named(%T):\n got %q\nwant %q", module, got, want)
		}
	}
	if got := names([]any{m.First, m.InProj}); !slices.Equal(got, []string{"0.weight", "0.bias", "1.weight"}) {
		t.Errorf("a slice of modules: %q", got)
	}
}

func TestNamedStops(t *testing.T) {
	n := 0
	for range nn.Named(newTree()) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d parameters after a break at 2", n)
	}
}

func TestNamedOfNothing(t *testing.T) {
	for _, module := range []any{nil, (*tree)(nil), 3, "text", []float64{1}} {
		if got := names(module); got != nil {
			t.Errorf("Named(%v) yields %q", module, got)
		}
	}
}

func TestNamedMisuse(t *testing.T) {
	type twice struct {
		A *autograd.Param `param:"w"`
		B *autograd.Param `param:"w"`
	}
	type private struct {
		w *autograd.Param `param:"w"`
	}
	for _, test := range []struct {
		name   string
		module any
		want   string
	}{
		{"two of one name", twice{param(), param()}, `two parameters have the name "w"`},
		{"not exported", private{param()}, "field w of nn_test.private is tagged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := tensor.Try(func() { names(test.module) })
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
