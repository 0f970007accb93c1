package safetensors

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pkg/errors"
)

// Entry is a tensor to write.
type Entry struct {
	Name  string
	Dtype string // as in Info
	Shape []int  // empty or nil for a scalar
	// Write writes the data: little-endian, row-major, exactly as many bytes
	// as dtype and shape say. It is called once.
	Write func(w io.Writer) error
}

// WriteFile writes a file of the given tensors and metadata, as AtomicWrite
// does. The same arguments in any order give the same bytes: tensors are
// stored by dtype, the widest ones first, then by name, so that each is
// aligned to its item size. Empty metadata are left out.
func WriteFile(path string, entries []Entry, metadata map[string]string) error {
	return errors.WithMessage(writeFile(path, entries, metadata), "safetensors")
}

func writeFile(path string, entries []Entry, metadata map[string]string) error {
	header, ordered, err := plan(entries, metadata)
	if err != nil {
		return errors.WithMessage(err, "write "+path)
	}
	return AtomicWrite(path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return errors.WithStack(err)
		}
		for _, e := range ordered {
			if err := e.writeTo(w); err != nil {
				return errors.WithMessagef(err, "tensor %s", quote(e.Name))
			}
		}
		return nil
	})
}

// sizedEntry is an entry with the number of its bytes.
type sizedEntry struct {
	Entry
	rank int
	size int64
}

// plan checks what is to be written and returns the header and the tensors in
// the order of their data.
func plan(entries []Entry, metadata map[string]string) (header []byte, ordered []sizedEntry, err error) {
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		s, err := sized(e)
		if err == nil && seen[e.Name] {
			err = errors.New("the name is there twice")
		}
		if err != nil {
			return nil, nil, errors.WithMessagef(err, "tensor %s", quote(e.Name))
		}
		seen[e.Name] = true
		ordered = append(ordered, s)
	}
	slices.SortFunc(ordered, func(a, b sizedEntry) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), strings.Compare(a.Name, b.Name))
	})
	for k, v := range metadata {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, nil, errors.Errorf("metadata: key %s or its value is not valid UTF-8", quote(k))
		}
	}

	infos := make([]Info, len(ordered))
	var end int64
	for i, e := range ordered {
		if e.size > math.MaxInt64-end {
			return nil, nil, errors.Errorf("tensor %s: all tensors together have more than %d bytes", quote(e.Name), int64(math.MaxInt64))
		}
		// Never nil: a scalar's shape is [] in JSON.
		shape := append([]int{}, e.Shape...)
		infos[i] = Info{Name: e.Name, Dtype: e.Dtype, Shape: shape, Offset: end, Size: e.size}
		end += e.size
	}
	header = encodeHeader(infos, 0, metadata)
	if n := len(header) - lengthSize; n > maxHeader {
		return nil, nil, errors.Errorf("the header has %d bytes; expected at most %d", n, maxHeader)
	}
	return header, ordered, nil
}

// sized checks an entry by itself.
func sized(e Entry) (sizedEntry, error) {
	if err := checkName(e.Name); err != nil {
		return sizedEntry{}, err
	}
	if e.Write == nil {
		return sizedEntry{}, errors.New("Entry.Write is nil")
	}
	size, err := byteSize(e.Dtype, e.Shape)
	if err != nil {
		return sizedEntry{}, err
	}
	rank, err := dtypeRank(e.Dtype)
	return sizedEntry{Entry: e, rank: rank, size: size}, err
}

// writeTo calls Write and checks the number of bytes.
func (e sizedEntry) writeTo(w io.Writer) error {
	c := &counter{w: w, limit: e.size}
	if err := e.Write(c); err != nil {
		return errors.WithStack(err)
	}
	if c.n != e.size {
		return c.mismatch()
	}
	return nil
}

// counter counts the bytes that are asked to be written, and lets at most
// limit of them through.
type counter struct {
	w        io.Writer
	n, limit int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	if c.n > c.limit {
		return 0, c.mismatch()
	}
	return c.w.Write(p)
}

func (c *counter) mismatch() error {
	return errors.Errorf("Entry.Write wrote %d bytes; expected %d", c.n, c.limit)
}
