package safetensors

import (
	"cmp"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/pkg/errors"
)

const (
	// lengthSize is the size of the header's length, which opens the file.
	lengthSize = 8

	// maxHeader is the limit of the reference library on the header's length.
	maxHeader = 100_000_000

	metadataKey = "__metadata__"
)

// Info describes one tensor of a file.
type Info struct {
	Name string
	// Dtype is one of F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16,
	// U8 and BOOL.
	Dtype string
	// Shape is empty, not nil, for a scalar.
	Shape []int
	// Offset is the position of the first byte in the file, Size the number
	// of bytes.
	Offset, Size int64
}

// Header is the checked header of a file.
type Header struct {
	// Tensors is sorted by name.
	Tensors []Info
	// Metadata is nil if the file has none.
	Metadata map[string]string
	// DataStart is the position in the file of the first byte after the header.
	DataStart int64
}

// Lookup returns the tensor of the given name, and whether there is one.
func (h *Header) Lookup(name string) (Info, bool) {
	i, ok := slices.BinarySearchFunc(h.Tensors, name, func(t Info, name string) int {
		return strings.Compare(t.Name, name)
	})
	if !ok {
		return Info{}, false
	}
	return h.Tensors[i], true
}

// ReadHeader reads and checks the header of a file of size bytes. It reads no
// tensor data, and it allocates memory in proportion to the header's true
// length only.
func ReadHeader(r io.ReaderAt, size int64) (*Header, error) {
	h, err := readHeader(r, size)
	return h, errors.WithMessage(err, "safetensors")
}

func readHeader(r io.ReaderAt, size int64) (*Header, error) {
	const shortest = lengthSize + int64(len("{}"))
	if size < shortest {
		return nil, errors.Errorf("the file has %d bytes; expected at least %d", size, shortest)
	}
	var start [lengthSize + 1]byte
	if err := readFull(r, start[:], 0); err != nil {
		return nil, errors.WithMessage(err, "header length")
	}
	n := binary.LittleEndian.Uint64(start[:])
	if n > maxHeader {
		return nil, errors.Errorf("the header length is %d bytes; expected at most %d", n, maxHeader)
	}
	length := int64(n)
	if length > size-lengthSize {
		return nil, errors.Errorf("the header length is %d bytes, but only %d follow: the file is truncated or not safetensors",
			length, size-lengthSize)
	}
	if start[lengthSize] != '{' {
		return nil, errors.Errorf("the header starts with %q; expected '{'", start[lengthSize])
	}
	text := make([]byte, length)
	if err := readFull(r, text, lengthSize); err != nil {
		return nil, errors.WithMessage(err, "header")
	}
	h, err := parseHeader(text)
	if err != nil {
		return nil, errors.WithMessage(err, "header")
	}
	h.DataStart = lengthSize + length
	if err := checkLayout(h.Tensors, size-h.DataStart); err != nil {
		return nil, err
	}
	for i := range h.Tensors {
		h.Tensors[i].Offset += h.DataStart
	}
	slices.SortFunc(h.Tensors, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return h, nil
}

// readFull fills buf from r at the offset off.
func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return errors.Wrapf(err, "read %d of %d bytes at offset %d", n, len(buf), off)
}

// checkLayout sorts tensors by offset, which counts from the start of the
// data, and checks that they cover dataSize bytes, each byte once.
func checkLayout(tensors []Info, dataSize int64) error {
	slices.SortFunc(tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), strings.Compare(a.Name, b.Name))
	})
	var end int64
	before := "the start of the data"
	for _, t := range tensors {
		if t.Offset != end {
			fault := "a gap"
			if t.Offset < end {
				fault = "an overlap"
			}
			return errors.Errorf("tensor %s: data_offsets start at %d; expected %d, where %s is: %s",
				quote(t.Name), t.Offset, end, before, fault)
		}
		end += t.Size
		before = "the end of tensor " + quote(t.Name)
	}
	switch {
	case end > dataSize:
		return errors.Errorf("the file has %d bytes of tensor data; expected %d: it is truncated", dataSize, end)
	case end < dataSize:
		return errors.Errorf("the file has %d bytes of tensor data; expected %d: no tensor covers the rest", dataSize, end)
	}
	return nil
}
