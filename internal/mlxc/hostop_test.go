package mlxc

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestWithoutHostOp wants a library that lacks what set-up adds to serve all else.
func TestWithoutHostOp(t *testing.T) {
	const name = "deltatape_host_op\x00"
	if os.Getenv(childVariable) != "" {
		if _, err := Load(); err != nil || HasHostOp() {
			t.Errorf("HasHostOp is %v, with %v", HasHostOp(), err)
		}
		os.Stdout.WriteString("<<done>>")
		return
	}
	if runtime.GOOS == "darwin" {
		return // a library that was changed has lost its signature there
	}
	dir := fakeInstall(t, "mlxc="+WantMLXC+"\n")
	library := filepath.Join(dir, "lib", libraryName())
	text, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	if HasHostOp() != bytes.Contains(text, []byte(name)) {
		t.Errorf("HasHostOp is %v", HasHostOp())
	}
	if err := os.Remove(filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(name), []byte("deltatape_gone_op\x00"))
	if err := os.WriteFile(library, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := inChild(t, dir, t.Name()); out != "done" {
		t.Errorf("the process printed %q", out)
	}
}
