package data

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
)

func newTestSampler(t *testing.T, text []byte, rows, length int, seed uint64) *Sampler {
	t.Helper()
	s, err := NewSampler(text, rows, length, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSamplerNext(t *testing.T) {
	s := newTestSampler(t, counting(256), 5, 7, 1)
	for range 100 {
		checkBatch(t, s.Next(), 5, 7)
	}
}

// A change of these values breaks the exact resume of runs saved before it.
func TestSamplerGolden(t *testing.T) {
	s := newTestSampler(t, counting(256), 4, 2, 42)
	var got []int32
	for range 3 {
		b := s.Next()
		for row := range b.Rows {
			got = append(got, b.Tokens[row*b.Length])
		}
	}
	if want := []int32{87, 242, 123, 17, 171, 17, 49, 186, 28, 182, 162, 44}; !slices.Equal(got, want) {
		t.Errorf("windows begin at %v, want %v", got, want)
	}
}

func TestSamplerSeeds(t *testing.T) {
	text := counting(256)
	first := newTestSampler(t, text, 16, 4, 1).Next()
	if again := newTestSampler(t, text, 16, 4, 1).Next(); !reflect.DeepEqual(first, again) {
		t.Error("the same seed gives other batches")
	}
	for _, seed := range []uint64{0, 2, math.MaxUint64} {
		if other := newTestSampler(t, text, 16, 4, seed).Next(); reflect.DeepEqual(first, other) {
			t.Errorf("seed %d gives the batches of seed 1", seed)
		}
	}
}

// All places, the first and the last included, have to be equally likely.
func TestSamplerUniform(t *testing.T) {
	const places, length, draws = 50, 3, 100_000
	s := newTestSampler(t, counting(places+length), 10, length, 7)
	var count [places]float64
	for range draws / 10 {
		b := s.Next()
		for row := range b.Rows {
			count[b.Tokens[row*length]]++
		}
	}
	chi2 := 0.0
	for _, n := range count {
		const want = draws / places
		chi2 += (n - want) * (n - want) / want
	}
	// Of 49 degrees of freedom: more than 94 comes once in 10,000 seeds.
	if chi2 > 94 {
		t.Errorf("chi² = %.1f of %v", chi2, count)
	}
}

func TestSamplerAll(t *testing.T) {
	text := counting(100)
	s, same := newTestSampler(t, text, 2, 8, 3), newTestSampler(t, text, 2, 8, 3)
	for range 2 { // Iterating again goes on.
		n := 0
		for b, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			if want := same.Next(); !reflect.DeepEqual(b, want) {
				t.Fatalf("got %v, want %v", b, want)
			}
			if n++; n == 3 {
				break
			}
		}
	}
	if got := s.State().Batches; got != 6 {
		t.Errorf("%d batches drawn, want 6", got)
	}
}

func TestSamplerRestore(t *testing.T) {
	text := counting(200)
	s := newTestSampler(t, text, 3, 5, math.MaxUint64)
	for range 10 {
		s.Next()
	}
	saved, err := json.Marshal(s.State())
	if err != nil {
		t.Fatal(err)
	}
	var state SamplerState
	if err := json.Unmarshal(saved, &state); err != nil {
		t.Fatal(err)
	}
	resumed := newTestSampler(t, text, 3, 5, 0)
	if err := resumed.Restore(state); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got, want := resumed.Next(), s.Next(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if !reflect.DeepEqual(resumed.Seen(), s.Seen()) {
		t.Error("the restored sampler has not seen what was seen before")
	}
}

func TestSamplerRestoreErrors(t *testing.T) {
	state := newTestSampler(t, counting(200), 3, 5, 1).State()
	cases := []struct {
		name  string
		other *Sampler
		want  []string
	}{
		{"rows", newTestSampler(t, counting(200), 4, 5, 1), []string{"[3, 5]", "[4, 5]"}},
		{"length", newTestSampler(t, counting(200), 3, 6, 1), []string{"[3, 5]", "[3, 6]"}},
		{"size", newTestSampler(t, counting(201), 3, 5, 1), []string{"200 bytes", "201 bytes"}},
		{"text", newTestSampler(t, make([]byte, 200), 3, 5, 1), []string{"another text", "checksum"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			before := tc.other.State()
			wantError(t, tc.other.Restore(state), tc.want...)
			if tc.other.State() != before {
				t.Error("the failed Restore changed the sampler")
			}
		})
	}
}

func TestNewSamplerErrors(t *testing.T) {
	for _, tc := range []struct {
		name               string
		size, rows, length int
		want               string
	}{
		{"too short", 4, 1, 4, "the text has 4 bytes: a sequence of 4 tokens and the byte after it needs 5"},
		{"no rows", 4, 0, 1, "0 rows of 1 tokens"},
		{"no length", 4, 1, 0, "1 rows of 0 tokens"},
		{"too large", 4, 1 << 31, 1, "want at most"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewSampler(counting(tc.size), tc.rows, tc.length, 1)
			wantError(t, err, "data.NewSampler: ", tc.want)
		})
	}
	s := newTestSampler(t, counting(5), 2, 4, 1) // Room for one window.
	if b := s.Next(); b.Tokens[0] != 0 || b.Tokens[4] != 0 {
		t.Errorf("got %v", b)
	}
}

// Seen against a map of the positions of the batches.
func TestSamplerSeen(t *testing.T) {
	for _, tc := range []struct {
		name                        string
		size, rows, length, batches int
	}{
		{"nothing", 100, 2, 4, 0},
		{"one window", 200, 1, 4, 1},
		{"gaps", 250, 2, 4, 10},
		{"dense", 130, 4, 8, 40},
		{"all", 64, 8, 3, 500},
		{"one place", 5, 2, 4, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := counting(tc.size)
			s := newTestSampler(t, text, tc.rows, tc.length, 11)
			shown := make([]bool, tc.size)
			for range tc.batches {
				b := s.Next()
				for i := range b.Tokens {
					shown[b.Tokens[i]], shown[b.Targets[i]] = true, true
				}
			}
			var want [][]byte
			for i := range shown {
				switch {
				case !shown[i]:
				case i > 0 && shown[i-1]:
					want[len(want)-1] = append(want[len(want)-1], text[i])
				default:
					want = append(want, []byte{text[i]})
				}
			}
			if got := s.Seen(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// A state read from a damaged file is refused or works: no panic, no endless
// loop.
func FuzzSamplerRestore(f *testing.F) {
	text := counting(100)
	s, err := NewSampler(text, 2, 8, 1)
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(s.State())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"batches": -1}`))
	f.Add(slices.Concat(good[:len(good)-1], []byte(`,"batches":18446744073709551615}`)))
	f.Fuzz(func(t *testing.T, saved []byte) {
		var state SamplerState
		if json.Unmarshal(saved, &state) != nil {
			return
		}
		s, err := NewSampler(text, 2, 8, 1)
		if err != nil {
			t.Fatal(err)
		}
		if s.Restore(state) != nil {
			return
		}
		if s.Seen(); s.State() != state {
			t.Errorf("state %v was restored as %v", state, s.State())
		}
		checkBatch(t, s.Next(), 2, 8)
	})
}

func BenchmarkSampler(b *testing.B) {
	s, err := NewSampler(make([]byte, 1<<24), 16, 256, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(16 * 256)
	for b.Loop() {
		s.Next()
	}
}
