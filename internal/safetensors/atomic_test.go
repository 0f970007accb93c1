package safetensors

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pkg/errors"
)

func writeText(path, text string) error {
	return AtomicWrite(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func mustWrite(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestAtomicWrite(t *testing.T) {
	for _, name := range []string{"plain", "100%s%n.txt", " ", "日本", "-rf", ".hidden", strings.Repeat("x", 255)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			for _, text := range []string{"first", "", strings.Repeat("long", 100_000)} {
				if err := writeText(path, text); err != nil {
					t.Fatal(err)
				}
				if got := string(readFile(t, path)); got != text {
					t.Errorf("the file holds %d bytes; want %d", len(got), len(text))
				}
			}
			checkFolder(t, dir, name)
		})
	}
}

func TestAtomicWriteInWorkingFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := writeText("x", "text"); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir, "x")
}

func TestAtomicWriteMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	path := filepath.Join(t.TempDir(), "x")
	check := func(want fs.FileMode) {
		t.Helper()
		if err := writeText(path, "text"); err != nil {
			t.Fatal(err)
		}
		stat, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := stat.Mode(); got != want {
			t.Errorf("the mode is %v; want %v", got, want)
		}
	}
	check(0o640)
	for _, mode := range []fs.FileMode{0o600, 0o666, 0o755, 0o200} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		check(mode)
	}
}

func TestAtomicWriteKeepsOldFileOnError(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"error at once", func(io.Writer) error { return cause }},
		{"error after a little", func(w io.Writer) error {
			_, _ = io.WriteString(w, "new")
			return cause
		}},
		{"error after a lot", func(w io.Writer) error {
			_, _ = io.WriteString(w, strings.Repeat("new", 100_000))
			return cause
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x")
			mustWrite(t, path, "old", 0o644)
			for _, p := range []string{path, filepath.Join(dir, "new")} {
				err := AtomicWrite(p, c.write)
				checkError(t, err, "write "+p+": cause")
				if !errors.Is(err, cause) {
					t.Errorf("the cause is lost: %+v", err)
				}
			}
			if got := string(readFile(t, path)); got != "old" {
				t.Errorf("the old file holds %q", got)
			}
			checkFolder(t, dir, "x")
		})
	}
}

// TestFillReportsIgnoredErrors writes to a file that is open for reading only,
// as a full disk would fail, through functions that ignore their errors.
func TestFillReportsIgnoredErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	mustWrite(t, path, "", 0o644)
	for _, size := range []int{1, 1 << 20} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		err = fill(f, nil, func(w io.Writer) error {
			for range 2 {
				_, _ = io.WriteString(w, strings.Repeat("x", size))
			}
			return nil
		})
		if !errors.Is(err, syscall.EBADF) {
			t.Errorf("%d bytes: got %v; want %v", size, err, syscall.EBADF)
		}
	}
}

func TestAtomicWriteCleansUpAfterPanic(t *testing.T) {
	dir := t.TempDir()
	func() {
		defer func() { recover() }()
		_ = AtomicWrite(filepath.Join(dir, "x"), func(io.Writer) error { panic("in write") })
	}()
	checkFolder(t, dir)
}

func TestAtomicWriteLeavesOpenFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	const old = "old and rather long"
	mustWrite(t, path, old, 0o644)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := syscall.Mmap(int(f.Fd()), 0, len(old), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	err = AtomicWrite(path, func(w io.Writer) error {
		if got := string(readFile(t, path)); got != old {
			t.Errorf("while writing, the path holds %q", got)
		}
		_, err := io.WriteString(w, "new")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if string(mapped) != old {
		t.Errorf("the map holds %q", mapped)
	}
	if got, err := io.ReadAll(f); string(got) != old || err != nil {
		t.Errorf("the open file holds %q, %v", got, err)
	}
	if got := string(readFile(t, path)); got != "new" {
		t.Errorf("the path holds %q", got)
	}
}

func TestAtomicWriteFollowsLinks(t *testing.T) {
	for _, c := range []struct {
		name string
		link func(dir string) string // the link's text
		to   string                  // the file that is to be written
	}{
		{"relative", func(string) string { return "real/file" }, "real/file"},
		{"absolute", func(dir string) string { return filepath.Join(dir, "real/file") }, "real/file"},
		{"to a new file", func(string) string { return "real/new" }, "real/new"},
		{"to a link", func(string) string { return "second" }, "real/file"},
		{"up out of a linked folder", func(string) string { return "shortcut/../file" }, "real/file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "real/deep"), 0o755); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, filepath.Join(dir, "real/file"), "old", 0o644)
			for name, text := range map[string]string{"link": c.link(dir), "second": "./real/file", "shortcut": "real/deep"} {
				if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := writeText(filepath.Join(dir, "link"), "new"); err != nil {
				t.Fatal(err)
			}
			if got := string(readFile(t, filepath.Join(dir, c.to))); got != "new" {
				t.Errorf("%s holds %q", c.to, got)
			}
			checkFolder(t, dir, "link", "real", "second", "shortcut")
			if text, err := os.Readlink(filepath.Join(dir, "link")); text != c.link(dir) {
				t.Errorf("the link is now %q, %v", text, err)
			}
		})
	}
}

func TestAtomicWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "file"), "old", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"loop": "loop", "tofolder": "folder"} {
		if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, path string
		want       string
		is         error
	}{
		{"empty path", "", "names no file", nil},
		{"folder", dir + "/folder", "it is a folder; expected a regular file", nil},
		{"folder with slash", dir + "/folder/", "names no file", nil},
		{"dot", dir + "/.", "it is a folder", nil},
		{"new name with slash", dir + "/none/", "names no file", nil},
		{"link to a folder", dir + "/tofolder", "it is a folder", nil},
		{"loop of links", dir + "/loop", "more than 40 symbolic links", nil},
		{"named pipe", dir + "/pipe", "it is a named pipe; expected a regular file", nil},
		{"device", "/dev/null", "it is a device; expected a regular file", nil},
		{"missing folder", dir + "/100%s/x", "cannot create a file in the folder " + dir + "/100%s/: no such file", fs.ErrNotExist},
		{"file as folder", dir + "/file/x", "not a directory", syscall.ENOTDIR},
		{"name too long", dir + "/" + strings.Repeat("x", 256), "file name too long", syscall.ENAMETOOLONG},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := AtomicWrite(c.path, func(io.Writer) error {
				t.Error("write was called")
				return nil
			})
			checkError(t, err, "write "+c.path, c.want)
			if check := Writable(c.path); check == nil || check.Error() != err.Error() {
				t.Errorf("Writable says %v, AtomicWrite %v", check, err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			checkFolder(t, dir, "file", "folder", "loop", "pipe", "tofolder")
		})
	}
}

func TestAtomicWriteNeedsPermission(t *testing.T) {
	dir := t.TempDir()
	open, shut := filepath.Join(dir, "open"), filepath.Join(dir, "shut")
	for _, d := range []string{open, shut} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(d, "file"), "old", 0o666)
		mustWrite(t, filepath.Join(d, "locked"), "old", 0o444)
	}
	for path, mode := range map[string]fs.FileMode{filepath.Dir(dir): 0o755, dir: 0o755, open: 0o777, shut: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(shut, 0o755) // so that the folder can be removed
	for _, c := range []struct{ path, want string }{
		{filepath.Join(shut, "new"), "cannot create a file in the folder " + shut + "/: permission denied"},
		{filepath.Join(shut, "file"), "cannot create a file in the folder " + shut + "/: permission denied"},
		{filepath.Join(open, "locked"), "permission denied"},
	} {
		var err error
		asOrdinaryUser(t, func() { err = Writable(c.path) })
		checkError(t, err, "write "+c.path+": "+c.want)
		asOrdinaryUser(t, func() { err = writeText(c.path, "new") })
		checkError(t, err, "write "+c.path+": "+c.want)
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v is not %v", err, fs.ErrPermission)
		}
	}
	checkFolder(t, open, "file", "locked")
	checkFolder(t, shut, "file", "locked")
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "file"), "old", 0o640)
	for name, text := range map[string]string{"link": "file", "dangling": "new"} {
		if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file", "link", "dangling", "none"} {
		if err := Writable(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	checkFolder(t, dir, "dangling", "file", "link")
}

func TestAtomicWriteAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := writeText(path, strings.Repeat(fmt.Sprint(i), 100_000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := readFile(t, path)
	if string(got) != strings.Repeat(string(got[:1]), 100_000) {
		t.Error("the file mixes two writes")
	}
	checkFolder(t, dir, "x")
}
