package outside

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The module in testdata, which replaces deltatape by this clone, builds and
// passes its tests without a network.
func TestOutsideModule(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/module")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module example.com/leaky\n\ngo 1.26\n\nrequire github.com/deltatape/deltatape v0.0.0\n\nreplace github.com/deltatape/deltatape => "+root+"\n")
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.sum"), string(sums))

	test := exec.Command("go", "test", "-count=1", "-v", "./...")
	test.Dir = dir
	test.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := test.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, text := range []string{
		"--- PASS: TestIntegrate", "--- PASS: TestWrongGradientIsFound", "--- PASS: TestMisuse", "--- PASS: TestLayer", "--- PASS: TestTraining",
		`by input 0 [2 4 3], parameter "weight" [3 3], parameter "decay" [3]`,
	} {
		if !strings.Contains(string(out), text) {
			t.Errorf("%q is not in the output\n%s", text, out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
