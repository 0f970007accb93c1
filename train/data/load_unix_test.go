//go:build unix

package data

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// Opening a pipe without a writer would block for ever.
func TestLoadSpecialFiles(t *testing.T) {
	root := plant(t, map[string]string{"a.txt": "text"})
	pipe := filepath.Join(root, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(pipe)
	wantError(t, err, pipe, "is a named pipe", "want a file or a folder")
	_, err = Load("/dev/zero")
	wantError(t, err, "/dev/zero is a device")

	t.Chdir(root)
	listener, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = Load("socket")
	wantError(t, err, "is a socket")

	link(t, "/dev/zero", filepath.Join(root, "zero"))
	c, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Bytes()) != "text" || c.Skipped() != 2 {
		t.Errorf("got %q, %d skipped: want the text and 2 skipped", c.Bytes(), c.Skipped())
	}
}
