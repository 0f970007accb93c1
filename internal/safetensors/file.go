package safetensors

import (
	"io/fs"
	"os"

	"github.com/pkg/errors"
)

// File is an open safetensors file. Its methods may be called at the same time.
type File struct {
	Header
	file *os.File
	path string
}

// Open opens a file and reads and checks its header. It refuses anything but
// a regular file, or a symbolic link to one, without waiting for it.
func Open(path string) (*File, error) {
	f, err := open(path)
	return f, errors.WithMessage(err, "safetensors: "+path)
}

func open(path string) (*File, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, errors.WithStack(bare(err))
	}
	// Before opening: that could block on a FIFO or act on a device.
	if err := checkRegular(stat); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.WithStack(bare(err))
	}
	h, err := headerOf(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return &File{Header: *h, file: file, path: path}, nil
}

func headerOf(file *os.File) (*Header, error) {
	stat, err := file.Stat()
	if err != nil {
		return nil, errors.WithStack(bare(err))
	}
	if err := checkRegular(stat); err != nil {
		return nil, err
	}
	return readHeader(file, stat.Size())
}

// ReadTensor reads the data of a tensor of f into buf, whose length must be
// info.Size. A file that was truncated after Open is an error.
func (f *File) ReadTensor(info Info, buf []byte) error {
	own, ok := f.Lookup(info.Name)
	switch {
	case !ok:
		return errors.Errorf("safetensors: %s: no tensor %s", f.path, quote(info.Name))
	case own.Offset != info.Offset || own.Size != info.Size:
		return errors.Errorf("safetensors: %s: tensor %s: asked for %d bytes at %d; expected %d at %d",
			f.path, quote(info.Name), info.Size, info.Offset, own.Size, own.Offset)
	case int64(len(buf)) != info.Size:
		return errors.Errorf("safetensors: %s: tensor %s: the buffer has %d bytes; expected %d",
			f.path, quote(info.Name), len(buf), info.Size)
	}
	return errors.WithMessagef(readFull(f.file, buf, info.Offset), "safetensors: %s: tensor %s", f.path, quote(info.Name))
}

// Fd returns the descriptor of the open file, for a reader outside Go that
// must see the very file that was checked, whatever has the path by now. It is
// valid until Close; duplicate it to keep it longer.
func (f *File) Fd() uintptr {
	return f.file.Fd()
}

// Close closes the file. The header stays valid.
func (f *File) Close() error {
	return errors.WithMessage(errors.WithStack(bare(f.file.Close())), "safetensors: close "+f.path)
}

// checkRegular returns an error that says what a file is, unless it is a
// regular one.
func checkRegular(stat fs.FileInfo) error {
	kind := ""
	switch mode := stat.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	default:
		kind = "of mode " + mode.String()
	}
	return errors.Errorf("it is %s; expected a regular file", kind)
}

// bare takes the path off an error of package os, for messages that name a
// better one.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
