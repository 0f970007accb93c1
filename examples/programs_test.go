package examples_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build builds all programs and returns their folder.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// command runs a program and returns its exit code and what it printed.
func command(t *testing.T, path string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &o, &e
	return exitCode(t, c.Run()), o.String(), e.String()
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// What the programs have in common, and what only processes can show.
func TestPrograms(t *testing.T) {
	bin := build(t)
	mains, err := filepath.Glob("*/main.go")
	if err != nil || len(mains) < 4 {
		t.Fatalf("%d programs (%v)", len(mains), err)
	}
	for _, main := range mains {
		name := filepath.Dir(main)
		path := filepath.Join(bin, name)
		t.Run(name+" -h", func(t *testing.T) {
			code, out, errOut := command(t, path, "-h")
			help := out + errOut
			if code != 0 || !strings.Contains(help, "Usage: "+name) || !strings.Contains(help, "\n  -") || len(help) < 150 {
				t.Errorf("exit code %d and the help\n%s", code, help)
			}
		})
		t.Run(name+" -nonsense", func(t *testing.T) {
			if code, out, errOut := command(t, path, "-nonsense"); code != 2 || out != "" || !strings.Contains(errOut, "-nonsense") {
				t.Errorf("exit code %d, output %q, errors %q, want 2 and the flag's name", code, out, errOut)
			}
		})
	}
	t.Run("train, interrupt, generate", func(t *testing.T) { trainAndGenerate(t, bin) })
}

// trainAndGenerate stops a training by Ctrl-C and continues text with its
// weights.
func trainAndGenerate(t *testing.T, bin string) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("all work and no play makes jack a dull boy\n", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(bin, "train"), "-data", text, "-out", dir, "-steps", "1000000",
		"-batch", "2", "-length", "32", "-layers", "1", "-hidden", "32", "-key-heads", "1", "-value-heads", "2", "-key-dim", "16", "-value-dim", "16")
	var errOut bytes.Buffer
	c.Stderr = &errOut
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	last, interrupted := "", false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		last = lines.Text()
		if strings.HasPrefix(last, "step") && !interrupted {
			interrupted = true // a second time would end the process
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	code := exitCode(t, c.Wait())
	weights := filepath.Join(dir, "model.safetensors")
	if code != 1 || !strings.HasSuffix(last, "are in "+weights) || !strings.Contains(errOut.String(), "context canceled") {
		t.Errorf("exit code %d, last line %q, errors %q", code, last, &errOut)
	}
	generate := func(more ...string) string {
		code, out, errOut := command(t, filepath.Join(bin, "generate"), append([]string{"-weights", weights, "-prompt", "all work", "-n", "20"}, more...)...)
		if code != 0 || errOut != "" || !strings.HasPrefix(out, "all work") || len(out) != len("all work")+21 {
			t.Errorf("exit code %d, output %q, errors %q", code, out, errOut)
		}
		return out
	}
	first := generate()
	if generate() != first {
		t.Error("the same seed gives another text")
	}
	if generate("-seed", "2") == first {
		t.Error("another seed gives the same text")
	}
}
