package safetensors

import (
	"bufio"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/pkg/errors"
)

// AtomicWrite writes a file so that, at any moment and whatever fails, path
// holds either what it held before or all of what write has written. The data
// go to a new file named ".deltatape-*.tmp" in the same folder, which is synced
// to the disk and renamed; any error or panic removes it. The old file is not
// modified: who has it open or mapped keeps its content.
//
// A new file gets the mode 0644 less the umask, a replaced one keeps its mode.
// A symbolic link stays, and the file it points to is written. Anything but a
// regular file is refused, as is a file that may not be written.
func AtomicWrite(path string, write func(w io.Writer) error) error {
	return errors.WithMessage(atomicWrite(path, write), "write "+path)
}

// Writable returns the error with which AtomicWrite would refuse path now. It leaves
// everything as it was.
func Writable(path string) error {
	return errors.WithMessage(writable(path), "write "+path)
}

func writable(path string) error {
	target, _, err := resolve(path)
	if err != nil {
		return err
	}
	temp, err := createTemp(folder(target))
	if err != nil {
		return err
	}
	err = temp.Close()
	if removeErr := os.Remove(temp.Name()); err == nil {
		err = removeErr
	}
	return errors.WithStack(err)
}

// folder returns the folder of a file, with a separator at its end.
func folder(target string) string {
	dir, _ := filepath.Split(target)
	if dir == "" {
		return "." + string(filepath.Separator)
	}
	return dir
}

func atomicWrite(path string, write func(w io.Writer) error) error {
	target, old, err := resolve(path)
	if err != nil {
		return err
	}
	dir := folder(target)
	temp, err := createTemp(dir)
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		if !renamed {
			temp.Close()
			os.Remove(temp.Name())
		}
	}()
	if err := fill(temp, old, write); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), target); err != nil {
		return errors.WithStack(err)
	}
	renamed = true
	return syncFolder(dir)
}

// resolve follows symbolic links to the file that is to be written and checks
// that it may be. The target need not exist; old is nil then.
func resolve(path string) (target string, old fs.FileInfo, err error) {
	const maxLinks = 40 // as Linux
	for range maxLinks {
		dir, base := filepath.Split(path)
		if base == "" {
			return "", nil, errors.New("the path names no file")
		}
		stat, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil, nil
		case err != nil:
			return "", nil, errors.WithStack(bare(err))
		case stat.Mode()&fs.ModeSymlink == 0:
			return path, stat, checkWritable(path, stat)
		}
		link, err := os.Readlink(path)
		if err != nil {
			return "", nil, errors.WithStack(err)
		}
		if filepath.IsAbs(link) {
			path = link
		} else {
			// Not filepath.Join: "a/.." need not be "." where a is a link.
			path = dir + link
		}
	}
	return "", nil, errors.Errorf("more than %d symbolic links", maxLinks)
}

// checkWritable returns an error unless path is a regular file that may be
// written. Renaming alone would replace a file that its owner has protected.
func checkWritable(path string, stat fs.FileInfo) error {
	if err := checkRegular(stat); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return errors.WithStack(bare(err))
	}
	return errors.WithStack(f.Close())
}

// createTemp creates a new file in a folder, given with a separator at its end
// and not cleaned. Unlike os.CreateTemp it leaves the mode to the umask.
func createTemp(dir string) (*os.File, error) {
	const attempts = 100
	var err error
	for range attempts {
		name := ".deltatape-" + strconv.FormatUint(rand.Uint64(), 36) + ".tmp"
		var f *os.File
		f, err = os.OpenFile(dir+name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return nil, errors.Wrap(bare(err), "cannot create a file in the folder "+dir)
}

// fill writes the content, syncs it and closes the file.
func fill(temp *os.File, old fs.FileInfo, write func(w io.Writer) error) error {
	w := bufio.NewWriterSize(temp, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return errors.WithStack(err)
	}
	if old != nil {
		if err := temp.Chmod(old.Mode().Perm()); err != nil {
			return errors.WithStack(err)
		}
	}
	if err := temp.Sync(); err != nil {
		return errors.WithStack(err)
	}
	return errors.WithStack(temp.Close())
}

// syncFolder makes a rename in a folder last.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		defer f.Close()
		err = f.Sync()
	}
	// Some file systems do not sync folders.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return errors.Wrap(err, "the file is written, but its folder cannot be synced")
}
