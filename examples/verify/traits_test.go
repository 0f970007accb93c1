package main

import (
	"slices"
	"testing"
)

func TestHeads(t *testing.T) {
	const A16, mild = -21.7, -0.1
	x, y := []float64{1, 0}, []float64{0.6, 0.8}
	minus, long, zero := []float64{-1, 0}, []float64{7, 0}, []float64{0, 0}
	for _, test := range []struct {
		name       string
		keys       [][]float64
		β, g       float64
		cuSeqlens  []int
		want       head
		everyOther bool // β is 0.5 for every other token
	}{
		{"identical", [][]float64{x, x, x}, 1.5, mild, nil, head{parallel: true}, false},
		{"both signs", [][]float64{x, minus, x}, 1.5, mild, nil, head{parallel: true}, false},
		{"lengths, and a zero", [][]float64{zero, x, long}, 1, mild, nil, head{parallel: true}, false},
		{"some β", [][]float64{x, x, x}, 1, A16, nil, head{parallel: true}, true},
		{"small β", [][]float64{x, x, x}, 0.9, mild, nil, head{}, false},
		{"two directions", [][]float64{x, x, y}, 1.5, mild, nil, head{}, false},
		{"zeros", [][]float64{zero, zero}, 1.5, mild, nil, head{}, false},
		{"one token", [][]float64{x}, 1.5, mild, nil, head{}, false},
		{"vanishing", [][]float64{x, minus, x}, 1, A16, nil, head{parallel: true, vanishing: true}, false},
		{"two lengths", [][]float64{x, long, x}, 1, A16, nil, head{parallel: true}, false},
		{"a zero among them", [][]float64{x, zero, x}, 1, A16, nil, head{parallel: true}, false},
		{"nearly one direction", [][]float64{x, {1, 1e-3}, x}, 1, A16, nil, head{parallel: true}, false},
		{"A = 8", [][]float64{x, x, x}, 1, A16 / 2, nil, head{parallel: true}, false},
		{"all -30", [][]float64{x, x, x}, 1, -30, nil, head{parallel: true}, false},
		{"each sequence its direction", [][]float64{x, x, y, y}, 1, A16, []int{0, 2, 2, 4}, head{parallel: true, vanishing: true}, false},
		{"one sequence", [][]float64{x, x, x, y}, 1, A16, []int{0, 2, 4}, head{parallel: true}, false},
		{"sequences of one token", [][]float64{x, x}, 1, A16, []int{0, 1, 2}, head{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			T := len(test.keys)
			f := &fixture{sizes: map[string]int{"B": 1, "T": T, "Hk": 2, "Hv": 4, "K": 2}, cuSeqlens: test.cuSeqlens}
			// The case is in the second key head and its second value head.
			var k, g, β []float64
			for i, key := range test.keys {
				k = append(append(k, float64(i), 1), key...)
				b := test.β
				if test.everyOther && i%2 == 1 {
					b = 0.5
				}
				g, β = append(g, 0, 0, 0, test.g), append(β, 2, 2, 0.5, b)
			}
			want := []head{{}, {}, {}, test.want}
			if got := headsOf(f, k, g, β); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Norms make keys of any length equal, but not those as short as their ε.
func TestNormedHeads(t *testing.T) {
	f := &fixture{sizes: map[string]int{"B": 1, "T": 2, "Hk": 1, "Hv": 1, "K": 2}, l2norm: true, eps: 1e-6}
	for length, want := range map[float64]head{3: {parallel: true, vanishing: true}, 0.003: {parallel: true}} {
		if got := headsOf(f, []float64{2, 0, length, 0}, []float64{-20, -23}, []float64{1, 1}); got[0] != want {
			t.Errorf("length %g: got %v, want %v", length, got[0], want)
		}
	}
}

func TestHeadsOfABatch(t *testing.T) {
	f := &fixture{sizes: map[string]int{"B": 2, "T": 2, "Hk": 1, "Hv": 1, "K": 2}}
	k := []float64{1, 0, 1, 0, 0, 1, 0, 1} // a direction for each sequence
	g, β := []float64{-20, -23, -20, -23}, []float64{1, 1, 1, 1}
	if got, want := headsOf(f, k, g, β), (head{parallel: true, vanishing: true}); got[0] != want {
		t.Errorf("got %v, want %v", got[0], want)
	}
}

func TestZeroRows(t *testing.T) {
	f := &fixture{sizes: map[string]int{"B": 2, "T": 3, "K": 2}}
	x := []float64{1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 3}
	if got, want := zeroRows(f, x), []bool{false, true, false, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	f.sampled = []int{2, 1}
	if got, want := zeroRows(f, x), []bool{false, true, false, true}; !slices.Equal(got, want) {
		t.Errorf("of sampled tokens: got %v, want %v", got, want)
	}
}
