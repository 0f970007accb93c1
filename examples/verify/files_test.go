package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFiles(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b.safetensors", "a.safetensors", "README.md", "x/y/c.safetensors", ".hidden.safetensors", "._a.safetensors", ".git/d.safetensors", "a.safetensors.part"} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{root, link, root + string(filepath.Separator)} {
		files, err := filesOf(folder)
		if err != nil {
			t.Errorf("%s: %v", folder, err)
		}
		var want []file
		for _, name := range []string{"a", "b", "x/y/c"} {
			want = append(want, file{filepath.Join(folder, filepath.FromSlash(name)+extension), name})
		}
		if !slices.Equal(files, want) {
			t.Errorf("%s: got %q, want %q", folder, files, want)
		}
	}
	for path, name := range map[string]string{"b.safetensors": "b", "README.md": "README.md", ".hidden.safetensors": ".hidden"} {
		path = filepath.Join(root, path)
		files, err := filesOf(path)
		if want := []file{{path, name}}; err != nil || !slices.Equal(files, want) {
			t.Errorf("%s: got %q, %v, want %q", path, files, err, want)
		}
	}
}

func TestCaseName(t *testing.T) {
	for name, want := range map[string]string{
		"t1_r1.safetensors":                             "t1_r1",
		"gdr/β.safetensors":                             "gdr/β",
		"two words.safetensors":                         `"two words"`,
		"x\n16 passed, 0 failed, 0 skipped.safetensors": `"x\n16 passed, 0 failed, 0 skipped"`,
		"\x1b[1m.safetensors":                           `"\x1b[1m"`,
	} {
		if got := caseName(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}
