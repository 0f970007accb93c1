package data

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func newTestNGram(t *testing.T, order int, texts ...string) *NGram {
	t.Helper()
	m, err := NewNGram(order)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		m.Fit([]byte(text))
	}
	return m
}

func bitsPerByte(t *testing.T, m *NGram, batches ...Batch) float64 {
	t.Helper()
	bits, err := m.BitsPerByte(batches)
	if err != nil {
		t.Fatal(err)
	}
	return bits
}

// window returns a batch of one row.
func window(text string) Batch { return newBatch([]byte(text), len(text)-1, 0) }

func TestNGramByHand(t *testing.T) {
	cases := []struct {
		name  string
		order int
		texts []string
		eval  string
		want  []float64 // Counts of the byte and of its context for each target.
	}{
		{"order 0", 0, []string{"abab", "c"}, "xabz", []float64{2, 5, 2, 5, 0, 5}},
		{"order 1", 1, []string{"abac"}, "abacx", []float64{1, 2, 1, 1, 1, 2, 0, 0}},
		// The first target has one byte of context only: order 1 predicts it.
		{"order 2", 2, []string{"abcabd"}, "abcd", []float64{2, 2, 1, 2, 0, 1}},
		// No context reaches from a text into the next: "ab" is never followed.
		{"gap", 2, []string{"ab", "cab"}, "abc", []float64{2, 2, 0, 0}},
		{"gap at order 1", 1, []string{"a", "b"}, "ab", []float64{0, 0}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			want := 0.0
			for i := 0; i < len(tc.want); i += 2 {
				want -= math.Log2((tc.want[i] + 0.1) / (tc.want[i+1] + 25.6))
			}
			want /= float64(len(tc.want) / 2)
			m := newTestNGram(t, tc.order, tc.texts...)
			if m.Order() != tc.order {
				t.Errorf("order is %d", m.Order())
			}
			if got := bitsPerByte(t, m, window(tc.eval)); math.Abs(got-want) > 1e-12 {
				t.Errorf("got %.15f bits, want %.15f", got, want)
			}
		})
	}
}

// A second implementation, by counting substrings.
func TestNGramAgainstStrings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = "ab\x00\xff"[r.IntN(4)]
		}
		return string(text)
	}
	train, held := random(500), random(61)
	batches, err := Windows([]byte(held), 3, 6, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Unlike strings.Count, with overlaps.
	occurrences := func(text, sub string) (n float64) {
		for i := range len(text) - len(sub) + 1 {
			if strings.HasPrefix(text[i:], sub) {
				n++
			}
		}
		return n
	}
	for order := range MaxOrder + 1 {
		want, n := 0.0, 0.0
		for i := 1; i < len(held); i++ {
			k := min(order, (i-1)%6+1)
			context := held[i-k : i]
			count := occurrences(train, held[i-k:i+1])
			total := occurrences(train[:len(train)-1], context) // At its end nothing follows.
			want -= math.Log2((count + 0.1) / (total + 25.6))
			n++
		}
		want /= n
		got := bitsPerByte(t, newTestNGram(t, order, train), batches...)
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("order %d: got %.15f bits, want %.15f", order, got, want)
		}
	}
}

func TestNGramUnfitted(t *testing.T) {
	for order := range MaxOrder + 1 {
		m := newTestNGram(t, order, "", "")
		if got := bitsPerByte(t, m, window("any text")); math.Abs(got-8) > 1e-12 {
			t.Errorf("order %d: got %v bits, want 8", order, got)
		}
	}
}

func TestNGramProbabilities(t *testing.T) {
	m := newTestNGram(t, 2, "the quick brown fox jumps over the lazy dog")
	for _, context := range []int{'t'<<8 | 'h', 'x'<<8 | 'x'} {
		sum := 0.0
		for b := range int32(vocabulary) {
			sum += m.probability(2, context, b)
		}
		if math.Abs(sum-1) > 1e-12 {
			t.Errorf("the probabilities after %x sum to %v", context, sum)
		}
	}
}

// Higher orders predict a text that repeats itself better.
func TestNGramOrders(t *testing.T) {
	text := strings.Repeat("for i := range n { sum += x[i] }\n", 200)
	batches, err := Windows([]byte(text), 8, 64, 0)
	if err != nil {
		t.Fatal(err)
	}
	last := 8.0
	for order := range MaxOrder + 1 {
		bits := bitsPerByte(t, newTestNGram(t, order, text), batches...)
		if bits >= last {
			t.Errorf("order %d: %v bits, not fewer than %v", order, bits, last)
		}
		last = bits
	}
}

func TestNGramErrors(t *testing.T) {
	for _, order := range []int{-1, 3, math.MaxInt} {
		_, err := NewNGram(order)
		wantError(t, err, "want 0 to 2")
	}
	ok := window("text")
	for _, tc := range []struct {
		name    string
		batches []Batch
		want    []string
	}{
		{"none", nil, []string{"no targets"}},
		{"empty", []Batch{{}}, []string{"no targets"}},
		{"few tokens", []Batch{ok, {Tokens: []int32{1}, Targets: []int32{1, 2}, Rows: 1, Length: 2}}, []string{"batch 1 of shape [1, 2]", "1 tokens and 2 targets"}},
		{"few targets", []Batch{{Tokens: []int32{1, 2}, Targets: []int32{1}, Rows: 1, Length: 2}}, []string{"2 tokens and 1 targets"}},
		{"negative shape", []Batch{{Tokens: []int32{1}, Targets: []int32{1}, Rows: -1, Length: -1}}, []string{"shape [-1, -1]"}},
		{"large token", []Batch{{Tokens: []int32{256}, Targets: []int32{1}, Rows: 1, Length: 1}}, []string{"token 256", "0 to 255"}},
		{"negative target", []Batch{{Tokens: []int32{0}, Targets: []int32{-1}, Rows: 1, Length: 1}}, []string{"target -1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := newTestNGram(t, 2).BitsPerByte(tc.batches)
			wantError(t, err, append(tc.want, "data.NGram.BitsPerByte")...)
		})
	}
}

func BenchmarkNGram(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte(32 + r.IntN(64))
	}
	batches, err := Windows(text, 16, 256, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m, err := NewNGram(2)
		if err != nil {
			b.Fatal(err)
		}
		m.Fit(text)
		if _, err := m.BitsPerByte(batches); err != nil {
			b.Fatal(err)
		}
	}
}
