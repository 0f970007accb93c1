package data

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plant writes files, by their paths relative to a new folder, and returns the
// folder.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// link makes a symbolic link.
func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestLoadFolder(t *testing.T) {
	root := plant(t, map[string]string{
		"b.txt":        "B\n",
		"a/z.txt":      "Z\n",
		"a/y/deep.md":  "deep\n",
		"c.bin":        "\x00\x01\x02",
		"empty.txt":    "",
		".hidden":      "hidden",
		".git/config":  "hidden",
		"long.txt":     strings.Repeat("long ", sniffLen),
		"late-nul.dat": strings.Repeat("late ", sniffLen) + "\x00",
	})
	c, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	want := "deep\nZ\nB\n" + strings.Repeat("long ", sniffLen)
	if got := string(c.Bytes()); got != want {
		t.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
	}
	if c.Files() != 4 || c.Skipped() != 3 || c.Name != root {
		t.Errorf("got %d files, %d skipped, name %q", c.Files(), c.Skipped(), c.Name)
	}
	again, err := Load(root)
	if err != nil || !bytes.Equal(again.Bytes(), c.Bytes()) {
		t.Errorf("a second load differs: %v", err)
	}
}

func TestLoadFile(t *testing.T) {
	root := plant(t, map[string]string{
		".hidden.txt": "named, so wanted",
		"utf8.txt":    "Füße, Ёлка, 日本語",
		"latin1.txt":  "caf\xe9 cr\xe8me, s'il vous pla\xeet",
		"ansi.log":    "\x1b[31mred\x1b[0m\tx\r\n\f\v\b",
		"max.txt":     strings.Repeat("x", sniffLen),
	})
	for _, name := range []string{".hidden.txt", "utf8.txt", "latin1.txt", "ansi.log", "max.txt"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(root, name)
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Bytes(), want) || c.Files() != 1 {
				t.Errorf("got %q in %d files, want %q", c.Bytes(), c.Files(), want)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	root := plant(t, map[string]string{
		"empty":           "",
		"nul.bin":         "text\x00text",
		"noise.bin":       "\xff\xfe\xfd\x01\x02\x03 text",
		"binaries/1":      "\x00",
		"binaries/2/x":    "\x00",
		"binaries/2/y":    "\x00",
		"mixed/1":         "\x00",
		"mixed/2":         "",
		"hidden/.profile": "text",
	})
	if err := os.Mkdir(filepath.Join(root, "bare"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, "loop", filepath.Join(root, "loop"))
	cases := []struct {
		path string
		want []string
	}{
		{"missing", []string{"no such file"}},
		{"empty", []string{"no text found in", "empty: 1 file skipped as empty"}},
		{"nul.bin", []string{"no text found in", "nul.bin: 1 file skipped as binary"}},
		{"noise.bin", []string{"noise.bin: 1 file skipped as binary"}},
		{"binaries", []string{"binaries: 3 files skipped as binary"}},
		{"mixed", []string{"mixed: 1 file skipped as binary, 1 file skipped as empty"}},
		{"hidden", []string{"no text found in", "no files but hidden ones"}},
		{"bare", []string{"no text found in"}},
		{"loop", []string{"loop", "symbolic links"}},
		{"nul.bin/below", []string{"not a directory"}},
		{strings.Repeat("x", 300), []string{"name too long"}},
		{"nul\x00", []string{"invalid argument"}},
	}
	for _, tc := range cases {
		t.Run(tc.path[:min(len(tc.path), 12)], func(t *testing.T) {
			c, err := Load(filepath.Join(root, tc.path))
			wantError(t, err, append(tc.want, "data.Load: ")...)
			if c != nil {
				t.Errorf("a corpus of %d bytes came with the error", len(c.Bytes()))
			}
		})
	}
	_, err := Load("")
	wantError(t, err, "path is empty")
	if _, err := Load(filepath.Join(root, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestLoadLimit(t *testing.T) {
	root := plant(t, map[string]string{"a": "12345", "b": "67890", "c.bin": "\x00" + strings.Repeat("x", 100)})
	c, err := (&loader{limit: 10}).load(root)
	if err != nil || len(c.Bytes()) != 10 {
		t.Errorf("text of the size of the limit: %v", err)
	}
	_, err = (&loader{limit: 9}).load(root)
	wantError(t, err, "more than 9 bytes of text", filepath.Join(root, "b"))
	_, err = (&loader{limit: 4}).load(filepath.Join(root, "a"))
	wantError(t, err, "more than 4 bytes of text")
}

func TestLoadLinks(t *testing.T) {
	outside := plant(t, map[string]string{"blob": "blob\n", "folder/x": "not followed"})
	root := plant(t, map[string]string{"a": "A\n", "sub/b": "B\n", "only/.keep": ""})
	link(t, filepath.Join(outside, "blob"), filepath.Join(root, "linked"))
	link(t, filepath.Join(outside, "folder"), filepath.Join(root, "folder"))
	link(t, "a", filepath.Join(root, "again"))
	link(t, "..", filepath.Join(root, "sub", "up"))
	link(t, ".", filepath.Join(root, "self"))
	link(t, "nowhere", filepath.Join(root, "broken"))
	link(t, "circle", filepath.Join(root, "circle"))

	const want = "A\nblob\nB\n"
	alias := filepath.Join(t.TempDir(), "alias")
	link(t, root, alias)
	t.Chdir(alias)
	for _, path := range []string{root, alias, alias + "/", "."} {
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.Bytes()); got != want {
			t.Errorf("Load(%s) = %q, want %q", path, got, want)
		}
	}
	c, err := Load(filepath.Join(root, "linked"))
	if err != nil || string(c.Bytes()) != "blob\n" {
		t.Errorf("a named link: %v", err)
	}
}
