package data

import (
	"math"
	"slices"
	"testing"
)

// counting returns n bytes that count up, so that a byte tells its position.
func counting(n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(i)
	}
	return text
}

func TestWindows(t *testing.T) {
	cases := []struct {
		name                      string
		size, rows, length, limit int
		starts                    [][]int
	}{
		{"one window", 4, 2, 3, 0, [][]int{{0}}},
		{"all", 13, 2, 3, 0, [][]int{{0, 3}, {6, 9}}},
		{"rest left out", 15, 2, 3, 0, [][]int{{0, 3}, {6, 9}}},
		{"small last batch", 16, 2, 3, 0, [][]int{{0, 3}, {6, 9}, {12}}},
		{"limit above", 13, 2, 3, 9, [][]int{{0, 3}, {6, 9}}},
		{"limit spread", 31, 2, 3, 3, [][]int{{0, 9}, {18}}},
		{"limit one", 31, 2, 3, 1, [][]int{{0}}},
		{"length one", 4, 4, 1, 0, [][]int{{0, 1, 2}}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			batches, err := Windows(counting(tc.size), tc.rows, tc.length, tc.limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(batches) != len(tc.starts) {
				t.Fatalf("got %d batches, want %d", len(batches), len(tc.starts))
			}
			for i, b := range batches {
				checkBatch(t, b, len(tc.starts[i]), tc.length)
				var starts []int
				for row := range b.Rows {
					starts = append(starts, int(b.Tokens[row*b.Length]))
				}
				if !slices.Equal(starts, tc.starts[i]) {
					t.Errorf("batch %d begins at %v, want %v", i, starts, tc.starts[i])
				}
			}
		})
	}
}

// checkBatch checks shape and order of a batch from a counting text.
func checkBatch(t *testing.T, b Batch, rows, length int) {
	t.Helper()
	if b.Rows != rows || b.Length != length || len(b.Tokens) != rows*length || len(b.Targets) != rows*length {
		t.Fatalf("batch [%d, %d] with %d tokens and %d targets, want [%d, %d]",
			b.Rows, b.Length, len(b.Tokens), len(b.Targets), rows, length)
	}
	for i, token := range b.Tokens {
		if b.Targets[i] != (token+1)%256 {
			t.Fatalf("the target of token %d is %d", token, b.Targets[i])
		}
		if i%length > 0 && token != b.Targets[i-1] {
			t.Fatalf("token %d of a row is %d after target %d", i%length, token, b.Targets[i-1])
		}
	}
}

func TestWindowsErrors(t *testing.T) {
	cases := []struct {
		name                      string
		size, rows, length, limit int
		want                      []string
	}{
		{"too short", 128, 1, 128, 0, []string{"the text has 128 bytes", "needs 129"}},
		{"empty", 0, 1, 1, 0, []string{"the text has 0 bytes"}},
		{"no rows", 10, 0, 2, 0, []string{"0 rows of 2 tokens"}},
		{"negative length", 10, 1, -2, 0, []string{"1 rows of -2 tokens"}},
		{"too large", 10, math.MaxInt, math.MaxInt, 0, []string{"want at most"}},
		{"longest length", 10, 1, math.MaxInt, 0, []string{"want at most"}},
		{"negative limit", 10, 1, 2, -1, []string{"limit is -1"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Windows(counting(tc.size), tc.rows, tc.length, tc.limit)
			wantError(t, err, append(tc.want, "data.Windows: ")...)
		})
	}
}
