package data

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// numbered returns n different files of size bytes each.
func numbered(n, size int) [][]byte {
	files := make([][]byte, n)
	for i := range files {
		files[i] = bytes.Repeat(fmt.Appendf(nil, "%03d ", i), size/4)
	}
	return files
}

func TestNewCorpus(t *testing.T) {
	first := []byte("one\n")
	c := NewCorpus("three", first, nil, []byte("two"), []byte{}, []byte("three"))
	first[0] = 'X'
	if got, want := string(c.Bytes()), "one\ntwothree"; got != want {
		t.Errorf("Bytes() = %q, want %q", got, want)
	}
	if c.Files() != 3 || c.Name != "three" || c.Skipped() != 0 {
		t.Errorf("got %d files, name %q, %d skipped", c.Files(), c.Name, c.Skipped())
	}
}

func TestSplitShares(t *testing.T) {
	uneven := numbered(40, 40)
	for i := range uneven {
		uneven[i] = bytes.Repeat(uneven[i], 1+i*i/10)
	}
	cases := []struct {
		name  string
		files [][]byte
		share float64
	}{
		{"many files", numbered(1000, 100), 0.05},
		{"uneven files", uneven, 0.05},
		{"half", numbered(9, 100), 0.5},
		{"most", numbered(100, 100), 0.95},
		{"one file", numbered(1, 1000), 0.1},
		{"two files", numbered(2, 1000), 0.1},
		{"one giant file", append(numbered(5, 8), bytes.Repeat([]byte("x"), 10000)), 0.1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := NewCorpus("c", tc.files...)
			train, held, err := c.Split(tc.share)
			if err != nil {
				t.Fatal(err)
			}
			total := len(c.Bytes())
			if got := len(train.Bytes()) + len(held.Bytes()); got != total {
				t.Errorf("the parts have %d bytes, the corpus %d", got, total)
			}
			share := float64(len(held.Bytes())) / float64(total)
			if share < tc.share/2 || share > 1.5*tc.share || len(train.Bytes()) == 0 {
				t.Errorf("held-out share is %v, want about %v", share, tc.share)
			}
			again, _, err := c.Split(tc.share)
			if err != nil || !bytes.Equal(again.Bytes(), train.Bytes()) {
				t.Errorf("a second split differs: %v", err)
			}
		})
	}
}

func TestSplitWholeFiles(t *testing.T) {
	files := numbered(200, 40)
	c := NewCorpus("c", files...)
	train, held, err := c.Split(0.1)
	if err != nil {
		t.Fatal(err)
	}
	if train.Files()+held.Files() != len(files) {
		t.Errorf("%d and %d files, want %d together", train.Files(), held.Files(), len(files))
	}
	var numbers []int
	for i, file := range files {
		inTrain, inHeld := bytes.Contains(train.Bytes(), file), bytes.Contains(held.Bytes(), file)
		if inTrain == inHeld {
			t.Errorf("file %d: in training part %t, in held-out part %t", i, inTrain, inHeld)
		}
		if inHeld {
			numbers = append(numbers, i)
		}
	}
	// Spread over the corpus: 20 files out of 200 leave no half without any.
	if numbers[0] >= 100 || numbers[len(numbers)-1] < 100 {
		t.Errorf("held-out files are %v: want them from all over", numbers)
	}
	// The choice is by contents: the reverse order holds out the same files.
	slices.Reverse(files)
	_, reversed, err := NewCorpus("c", files...).Split(0.1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range held.Files() {
		if !bytes.Contains(reversed.Bytes(), held.file(i)) {
			t.Errorf("held-out file %q is not held out in another order", held.file(i))
		}
	}
}

func TestSplitKeepsCopiesTogether(t *testing.T) {
	var files [][]byte
	for _, file := range numbered(100, 40) {
		files = append(files, file, file, file)
	}
	train, held, err := NewCorpus("c", files...).Split(0.1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range held.Files() {
		if bytes.Contains(train.Bytes(), held.file(i)) {
			t.Errorf("%q is on both sides", held.file(i))
		}
	}
}

func TestSplitOneFileByTail(t *testing.T) {
	text := strings.Repeat("a", 90) + strings.Repeat("b", 10)
	train, held, err := NewCorpus("c", []byte(text)).Split(0.1)
	if err != nil {
		t.Fatal(err)
	}
	if string(train.Bytes()) != text[:90] || string(held.Bytes()) != text[90:] {
		t.Errorf("got %q and %q", train.Bytes(), held.Bytes())
	}
}

func TestSplitErrors(t *testing.T) {
	big := NewCorpus("big", []byte("some text"))
	for _, share := range []float64{0, 1, -0.1, 1.5, math.NaN(), math.Inf(1)} {
		_, _, err := big.Split(share)
		wantError(t, err, "held-out share", fmt.Sprint(share))
	}
	for _, text := range []string{"", "a"} {
		_, _, err := NewCorpus("tiny", []byte(text)).Split(0.5)
		wantError(t, err, `"tiny"`, "want at least 2")
	}
	train, held, err := NewCorpus("two", []byte("ab")).Split(0.001)
	if err != nil || string(train.Bytes()) != "a" || string(held.Bytes()) != "b" {
		t.Errorf("two bytes: %v %v %v", train, held, err)
	}
}

// wantError checks that there is an error and that its text has all the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error is %q, want it to contain %q", err, part)
		}
	}
}
