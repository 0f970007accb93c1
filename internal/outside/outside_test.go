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
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/module")); err != nil {
		t.Fatal(err)
	}
	command := module(t, dir, "example.com/leaky")
	out, err := command("test", "-count=1", "-v", "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, text := range []string{
		"--- PASS: TestIntegrate", "--- PASS: TestWrongGradientIsFound", "--- PASS: TestMisuse", "--- PASS: TestLayer", "--- PASS: TestTraining",
		`by input 0 [2 4 3], parameter "weight" #1 [3 3], parameter "decay" [3]`,
	} {
		if !strings.Contains(string(out), text) {
			t.Errorf("%q is not in the output\n%s", text, out)
		}
	}

	// Without cgo there is one error, which names the cause.
	for _, verb := range []string{"build", "vet"} {
		c := command(verb, "./...")
		c.Env = append(c.Env, "CGO_ENABLED=0")
		out, err := c.CombinedOutput()
		const cause = ": undefined: deltatape_needs_cgo_and_a_C_compiler__set_CGO_ENABLED_1"
		if lines := strings.Count(string(out), "\n"); err == nil || lines != 2 || !strings.Contains(string(out), cause) {
			t.Errorf("go %s without cgo: %v, want one error %q\n%s", verb, err, cause, out)
		}
	}
}

const root = "../.."

// module makes a module of the folder, which replaces deltatape by this clone. The
// go command that it returns runs there without a network.
func module(t *testing.T, dir, path string) (command func(args ...string) *exec.Cmd) {
	t.Helper()
	clone, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module "+path+"\n\ngo 1.26\n\nrequire github.com/deltatape/deltatape v0.0.0\n\nreplace github.com/deltatape/deltatape => "+clone+"\n")
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
	return func(args ...string) *exec.Cmd {
		c := exec.Command("go", args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		return c
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
