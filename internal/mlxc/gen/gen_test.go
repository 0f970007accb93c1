package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// The generated files are what the generator makes of the headers of the
// library that the tests run with.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	info, err := mlxc.Load()
	if err != nil {
		t.Fatal(err)
	}
	library, err := filepath.EvalSymlinks(info.Path)
	if err != nil {
		t.Fatal(err)
	}
	headers := filepath.Join(filepath.Dir(filepath.Dir(library)), "include")
	out := t.TempDir()
	list, err := os.ReadFile("../functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "functions.txt"), list, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(headers, "../../../scripts", out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api_gen.h", "api_gen.c", "api_gen.go"} {
		want, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join("..", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not up to date: run go generate ./internal/mlxc (%v)", name, err)
		}
	}
}

func TestRunErrors(t *testing.T) {
	headers := filepath.Join(t.TempDir(), "include", "mlx", "c")
	if err := os.MkdirAll(headers, 0o755); err != nil {
		t.Fatal(err)
	}
	header := "typedef struct mlx_array_ {\n  void* ctx; /* its */\n} mlx_array;\n" +
		"#define X \\\n  1\nint mlx_one(mlx_array* res, const mlx_array a); // comment\nint mlx_odd(mlx_array* res, const mlx_strange a);\n"
	own := t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "own.h"), []byte("int mlx_own(mlx_array* res);\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ header, list, text string }{
		{"", "op mlx_one\n", "no headers in "},
		{header, "op mlx_two\n", "the headers declare no function mlx_two"},
		{header, "mlx_one\n", `want NAME after one of ["op" "raw" "optional"], got "mlx_one"`},
		{header, "op mlx_odd\n", `mlx_odd: no wrapper for a parameter of type "const mlx_strange"`},
		{header, "raw mlx_odd\n", "mlx_odd: the headers define no type mlx_strange"},
		{header, "optional mlx_own\n", ""},
		{header, "op mlx_one # good\n\n", ""},
	} {
		out := t.TempDir()
		if err := os.WriteFile(filepath.Join(out, "functions.txt"), []byte(c.list), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			if err := os.WriteFile(filepath.Join(headers, "a.h"), []byte(c.header), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := run(filepath.Dir(filepath.Dir(headers)), own, out)
		if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%q: got %v, want an error about %q", c.list, err, c.text)
		}
	}
}
