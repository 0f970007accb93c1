package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestTrainSignals runs the program in a child: whatever becomes of its terminal, it
// saves what it has learned.
func TestTrainSignals(t *testing.T) {
	const mark = "DELTATAPE_TEST_FLAGS"
	if flags := os.Getenv(mark); flags != "" {
		os.Args = append([]string{"train"}, strings.Split(flags, "\n")...)
		main()
	}
	text := textFile(t)
	for _, test := range []struct {
		name, steps string
		act         func(t *testing.T, child *os.Process, out io.ReadCloser)
		errOut      string
	}{
		{"a closed terminal", "1000000", func(t *testing.T, child *os.Process, out io.ReadCloser) {
			for lines := bufio.NewScanner(out); lines.Scan() && !strings.HasPrefix(lines.Text(), "step "); {
			}
			for range 2 { // by the system and by the shell
				if err := child.Signal(syscall.SIGHUP); err != nil {
					t.Error(err)
				}
			}
			_, _ = io.Copy(io.Discard, out)
		}, " of 1000000 steps: context canceled"},
		{"a closed output", "10", func(t *testing.T, _ *os.Process, out io.ReadCloser) {
			if err := out.Close(); err != nil {
				t.Error(err)
			}
		}, "broken pipe"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			child := exec.Command(os.Args[0], "-test.run=^TestTrainSignals$")
			child.Env = append(os.Environ(), mark+"="+strings.Join(slices.Concat(tiny, []string{"-data", text, "-out", dir, "-steps", test.steps}), "\n"))
			var errOut bytes.Buffer
			child.Stderr = &errOut
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			test.act(t, child.Process, out)
			_ = child.Wait()
			if code := child.ProcessState.ExitCode(); code != 1 || !strings.Contains(errOut.String(), test.errOut) {
				t.Errorf("the program ended with %v and the error %q, want exit code 1 and %q", child.ProcessState, &errOut, test.errOut)
			}
			for _, name := range []string{"model.safetensors", "loss.png"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
