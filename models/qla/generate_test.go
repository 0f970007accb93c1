package qla

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/models/internal/layertest"
	"github.com/deltatape/deltatape/tensor"
)

func generate(t *testing.T, m *Model, prompt []int32, n int, opt SampleOptions) []int32 {
	t.Helper()
	var list []int32
	for id, err := range m.Generate(context.Background(), prompt, n, opt) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, id)
	}
	return list
}

// TestGenerateGreedy compares with a full forward pass over all tokens for each
// new one, for a prompt that is read in several pieces as well.
func TestGenerateGreedy(t *testing.T) {
	m := newModel(t, tiny, 1)
	for _, length := range []int{1, 5, prefill + 3} {
		prompt, err := tensor.Data[int32](tokens(9, 1, length))
		if err != nil {
			t.Fatal(err)
		}
		ids := slices.Clone(prompt)
		for range 6 {
			all := layertest.Floats(t, logits(t, m, tensor.FromSlice(ids, 1, len(ids))))
			last := all[len(all)-9:]
			ids = append(ids, int32(slices.Index(last, slices.Max(last))))
		}
		if got, want := generate(t, m, prompt, 6, SampleOptions{}), ids[length:]; !slices.Equal(got, want) {
			t.Errorf("after %d tokens: got %v, want %v", length, got, want)
		}
	}
}

func TestGenerateBySeed(t *testing.T) {
	m := newModel(t, tiny, 1)
	opt := SampleOptions{Temperature: 1, TopK: 7, Seed: 5}
	a := generate(t, m, []int32{1, 2}, 40, opt)
	if b := generate(t, m, []int32{1, 2}, 40, opt); !slices.Equal(a, b) {
		t.Errorf("one seed gives %v and %v", a, b)
	}
	opt.Seed++
	if c := generate(t, m, []int32{1, 2}, 40, opt); slices.Equal(a, c) {
		t.Errorf("two seeds give %v", a)
	}
}

func TestGenerateHandlesReturn(t *testing.T) {
	m := newModel(t, tiny, 1)
	generate(t, m, []int32{1}, 3, SampleOptions{})
	before := tensor.Live()
	generate(t, m, []int32{1, 2, 3}, 10, SampleOptions{})
	for range m.Generate(context.Background(), []int32{1}, 10, SampleOptions{}) {
		break
	}
	if after := tensor.Live(); after > before {
		t.Errorf("%d handles before, %d after", before, after)
	}
}

func TestGenerateErrors(t *testing.T) {
	m := newModel(t, tiny, 1)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name   string
		ctx    context.Context
		prompt []int32
		n      int
		opt    SampleOptions
		want   string
	}{
		{"empty prompt", context.Background(), nil, 1, SampleOptions{}, "the prompt is empty"},
		{"id too great", context.Background(), []int32{0, 9}, 1, SampleOptions{}, "token 1 of the prompt is 9, want 0 to 8"},
		{"negative id", context.Background(), []int32{-1}, 1, SampleOptions{}, "token 0 of the prompt is -1"},
		{"negative count", context.Background(), []int32{1}, -1, SampleOptions{}, "got -1"},
		{"options", context.Background(), []int32{1}, 1, SampleOptions{TopK: -1}, "TopK is -1"},
		{"cancelled", cancelled, []int32{1}, 1, SampleOptions{}, "canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			for _, err := range m.Generate(test.ctx, test.prompt, test.n, test.opt) {
				if n++; err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want an error with %q", err, test.want)
				}
				if test.ctx == cancelled && !errors.Is(err, context.Canceled) {
					t.Errorf("%v is not context.Canceled", err)
				}
			}
			if n != 1 {
				t.Errorf("%d results, want one error", n)
			}
		})
	}
	if got := generate(t, m, []int32{1}, 0, SampleOptions{}); got != nil {
		t.Errorf("0 tokens are %v", got)
	}
}

// TestGenerateCancelled ends the context between two tokens.
func TestGenerateCancelled(t *testing.T) {
	m := newModel(t, tiny, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, last = range m.Generate(ctx, []int32{1}, 10, SampleOptions{}) {
		if n++; n == 3 {
			cancel()
		}
	}
	if n != 4 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d results, the last with error %v; want 3 tokens and one error", n, last)
	}
}
