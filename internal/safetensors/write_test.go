package safetensors

import (
	"bytes"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
)

// raw returns a Write function for the given bytes.
func raw(data ...byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func TestWriteFileBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	entries := []Entry{
		{"b", "U8", []int{3}, raw(1, 2, 3)},
		{"w", "F32", []int{1, 2}, raw(0, 0, 128, 63, 0, 0, 0, 64)},
		{"a", "U8", []int{2, 0}, raw()},
		{"s<é>", "F64", nil, raw(1, 2, 3, 4, 5, 6, 7, 8)},
	}
	metadata := map[string]string{"z": "\"%n\"\n", "format": "pt"}
	want := `{"__metadata__":{"format":"pt","z":"\"%n\"\n"},` +
		`"s<é>":{"dtype":"F64","shape":[],"data_offsets":[0,8]},` +
		`"w":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},` +
		`"a":{"dtype":"U8","shape":[2,0],"data_offsets":[16,16]},` +
		`"b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}}`
	want += strings.Repeat(" ", -len(want)&7)
	file := append(image(want, 0), 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 128, 63, 0, 0, 0, 64, 1, 2, 3)

	for range len(entries) {
		if err := WriteFile(path, entries, metadata); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, file) {
			t.Fatalf("got  %q\nwant %q", got, file)
		}
		entries = append(entries[1:], entries[0]) // any order gives the same bytes
	}
}

func TestWriteFileAlignsData(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var entries []Entry
	for i, d := range dtypes {
		entries = append(entries, Entry{strings.Repeat("n", i+1), d.name, []int{3}, raw(make([]byte, 3*d.itemSize)...)})
	}
	if err := WriteFile(path, entries, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors) != len(dtypes) {
		t.Errorf("got %d tensors; want %d", len(f.Tensors), len(dtypes))
	}
	for _, info := range f.Tensors {
		if itemSize := info.Size / 3; info.Offset%itemSize != 0 {
			t.Errorf("%+v is not aligned to %d bytes", info, itemSize)
		}
	}
}

func TestWriteFileRoundTripsText(t *testing.T) {
	texts := []string{"", " ", "%s%n%100d", `"`, `\`, `\u0041`, "\n\t\r\b\f\x01\x1f\x7f", "<&>'/", "é", "日本語", "😀", "\u2028\u2029", "\ufffd", "\ufeff",
		"__metadata", strings.Repeat("x", 10_000)}
	metadata := map[string]string{"NUL": "a\x00b", "NUL\x00": ""}
	var entries []Entry
	for _, s := range texts {
		metadata["key "+s] = "value " + s
		metadata[s] = s
		entries = append(entries, Entry{s, "U8", []int{1}, raw(byte(len(s)))})
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := WriteFile(path, entries, metadata); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !maps.Equal(f.Metadata, metadata) {
		t.Errorf("got  %q\nwant %q", f.Metadata, metadata)
	}
	var buf [1]byte
	for _, s := range texts {
		info, ok := f.Lookup(s)
		if !ok {
			t.Errorf("no tensor %q", s)
		} else if err := f.ReadTensor(info, buf[:]); err != nil || buf[0] != byte(len(s)) {
			t.Errorf("tensor %q: read %d, %v", s, buf[0], err)
		}
	}
}

// TestRewriteGolden writes the tensors of files of the Python library again.
// The Python library orders metadata at random, so the header is compared as
// a value and the data as bytes.
func TestRewriteGolden(t *testing.T) {
	for _, name := range []string{"t1_r1", "varlen_noh0"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".safetensors")
			golden, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer golden.Close()
			if got := golden.Metadata["name"]; got != name {
				t.Errorf("metadata name is %q", got)
			}
			if info, ok := golden.Lookup("dq"); !ok || info.Dtype != "F64" || len(info.Shape) != 4 {
				t.Errorf("dq is %+v", info)
			}
			var entries []Entry
			for _, info := range slices.Backward(golden.Tensors) {
				entries = append(entries, Entry{info.Name, info.Dtype, info.Shape, func(w io.Writer) error {
					buf := make([]byte, info.Size)
					if err := golden.ReadTensor(info, buf); err != nil {
						return err
					}
					_, err := w.Write(buf)
					return err
				}})
			}
			again := filepath.Join(t.TempDir(), "again.safetensors")
			if err := WriteFile(again, entries, golden.Metadata); err != nil {
				t.Fatal(err)
			}
			got, err := Open(again)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if !reflect.DeepEqual(got.Header, golden.Header) {
				t.Errorf("got  %+v\nwant %+v", got.Header, golden.Header)
			}
			if a, b := readFile(t, again), readFile(t, path); !bytes.Equal(a[got.DataStart:], b[golden.DataStart:]) {
				t.Error("the data differ")
			}
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWriteFileRefuses(t *testing.T) {
	entry := func(name, dtype string, shape ...int) []Entry {
		return []Entry{{name, dtype, shape, raw()}}
	}
	cause := errors.New("no such luck")
	for _, c := range []struct {
		name     string
		entries  []Entry
		metadata map[string]string
		want     []string
	}{
		{"too few bytes", []Entry{{"w%d", "F32", []int{2}, raw(1, 2, 3)}}, nil, []string{`tensor "w%d"`, "wrote 3 bytes; expected 8"}},
		{"no bytes", entry("w", "F32"), nil, []string{"wrote 0 bytes; expected 4"}},
		{"too many bytes", []Entry{{"w", "U8", []int{2}, raw(1, 2, 3)}}, nil, []string{`tensor "w"`, "wrote 3 bytes; expected 2"}},
		{"too many bytes, error ignored", []Entry{{"w", "U8", []int{2}, func(w io.Writer) error {
			for range 3 {
				_, _ = w.Write([]byte{1})
			}
			return nil
		}}}, nil, []string{"wrote 3 bytes; expected 2"}},
		{"bytes for an empty tensor", []Entry{{"w", "U8", []int{0}, raw(1)}}, nil, []string{"wrote 1 bytes; expected 0"}},
		{"error", []Entry{{"w", "U8", []int{2}, func(io.Writer) error { return cause }}}, nil, []string{`tensor "w"`, "no such luck"}},
		{"nil Write", []Entry{{"w", "U8", []int{0}, nil}}, nil, []string{`tensor "w"`, "Write is nil"}},
		{"name twice", append(entry("w", "U8", 0), entry("w", "F32", 0)...), nil, []string{`tensor "w"`, "twice"}},
		{"reserved name", entry("__metadata__", "U8", 0), nil, []string{"reserved"}},
		{"NUL in the name", entry("a\x00", "U8", 0), nil, []string{`"a\x00"`, "NUL"}},
		{"invalid UTF-8 in the name", entry("\xff", "U8", 0), nil, []string{`"\xff"`, "not valid UTF-8"}},
		{"invalid UTF-8 in a metadata key", nil, map[string]string{"\xff": ""}, []string{`"\xff"`, "not valid UTF-8"}},
		{"invalid UTF-8 in a metadata value", nil, map[string]string{"k": "\xff"}, []string{`"k"`, "not valid UTF-8"}},
		{"unknown dtype", entry("w", "float32", 0), nil, []string{`tensor "w"`, `unknown dtype "float32"`}},
		{"no dtype", entry("w", "", 0), nil, []string{`unknown dtype ""`}},
		{"F8", entry("w", "F8_E5M2", 0), nil, []string{"F8_E5M2 (8-bit floats) is not supported"}},
		{"negative dim", entry("w", "U8", 2, -1), nil, []string{"shape [2 -1] has the dimension -1"}},
		{"huge dim", entry("w", "U8", math.MaxInt32+1), nil, []string{"has the dimension 2147483648"}},
		{"too many dims", entry("w", "U8", make([]int, 65)...), nil, []string{"65 dimensions; expected at most 64"}},
		{"huge product", entry("w", "U8", math.MaxInt32, math.MaxInt32, math.MaxInt32), nil, []string{"more than 9223372036854775807 bytes"}},
		{"huge sum", append(entry("v", "I16", math.MaxInt32, math.MaxInt32), entry("w", "I8", math.MaxInt32, math.MaxInt32)...), nil,
			[]string{`tensor "w"`, "all tensors together"}},
		{"huge header", nil, map[string]string{"k": strings.Repeat("x", maxHeader)}, []string{"the header has 100000", "expected at most 100000000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "100%s.safetensors")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := WriteFile(path, c.entries, c.metadata)
			checkError(t, err, append(c.want, "safetensors: write "+path)...)
			if c.name == "error" && !errors.Is(err, cause) {
				t.Errorf("the cause is lost: %+v", err)
			}
			if got := string(readFile(t, path)); got != "old" {
				t.Errorf("the old file now holds %q", got)
			}
			checkFolder(t, dir, filepath.Base(path))
		})
	}
}

// checkFolder checks the names of the files in a folder.
func checkFolder(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the folder holds %q; want %q", got, want)
	}
}
