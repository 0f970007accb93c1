package data

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pkg/errors"
)

// MaxBytes is the largest text that [Load] takes, as it is held in memory as a
// whole: 1 GiB.
const MaxBytes = 1 << 30

// sniffLen is how much of a file is read before it is taken for text.
const sniffLen = 32 << 10

// Load reads the text of a file, or of all files in a folder and its
// sub-folders in lexical order.
//
// Left out of a folder are: hidden files and folders (their names begin with a
// dot), empty files, files that are not text, and what is no file, such as
// pipes and devices. Links to folders are not followed; a link to a file is
// when the file lies outside the folder. A file is text if it contains no NUL
// byte and at most 30 % of its first 32 KiB is not UTF-8 or is control
// characters.
//
// It is an error if the path does not exist, is neither file nor folder, holds
// no text, cannot be read, or has more than [MaxBytes] of text. A file in a
// folder that cannot be read is an error too. Pipes and devices are refused
// without opening them, so Load never waits for one.
func Load(path string) (*Corpus, error) {
	c, err := (&loader{limit: MaxBytes}).load(path)
	return c, errors.Wrap(err, "data.Load")
}

// A loader collects the text files under one path.
type loader struct {
	limit int
	// skip reports by name that an entry of a folder is not wanted, and omit by
	// contents that a text is not; either may be nil.
	skip func(entry fs.DirEntry) bool
	omit func(text []byte) bool

	corpus Corpus
	tally  tally
}

// A tally counts the files that were met and left out.
type tally struct{ binary, empty, special, omitted int }

func (t tally) total() int { return t.binary + t.empty + t.special + t.omitted }

// String lists the counts that are not zero.
func (t tally) String() string {
	var parts []string
	note := func(n int, what string) {
		switch {
		case n == 1:
			parts = append(parts, "1 file skipped as "+what)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d files skipped as %s", n, what))
		}
	}
	note(t.binary, "binary")
	note(t.empty, "empty")
	note(t.special, "a pipe, socket or device")
	note(t.omitted, "generated")
	if parts == nil {
		return "no files but hidden ones and links"
	}
	return strings.Join(parts, ", ")
}

func (l *loader) load(path string) (*Corpus, error) {
	if path == "" {
		return nil, errors.New("the path is empty: want a file or a folder")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.WithStack(err)
	}
	switch {
	case info.IsDir():
		err = l.readFolder(path)
	case info.Mode().IsRegular():
		err = l.readFile(path)
	default:
		return nil, errors.Errorf("%s is %s: want a file or a folder", path, kind(info.Mode()))
	}
	if err != nil {
		return nil, err
	}
	if l.corpus.Files() == 0 {
		return nil, errors.Errorf("no text found in %s: %s", path, l.tally)
	}
	l.corpus.Name = path
	l.corpus.skipped = l.tally.total()
	return &l.corpus, nil
}

// readFolder adds the files under root.
func (l *loader) readFolder(root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return errors.WithStack(err)
	}
	// WalkDir does not descend into a root that is a link, and readLink
	// compares resolved paths.
	root, err = filepath.EvalSymlinks(root)
	if err != nil {
		return errors.WithStack(err)
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return errors.WithStack(err)
		}
		if path == root {
			return nil
		}
		if strings.HasPrefix(entry.Name(), ".") || l.skip != nil && l.skip(entry) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		switch kind := entry.Type(); {
		case kind.IsDir():
			return nil
		case kind.IsRegular():
			return l.readFile(path)
		case kind&fs.ModeSymlink != 0:
			return l.readLink(root, path)
		default:
			l.tally.special++
			return nil
		}
	})
}

// readLink adds the file that the link at path leads to, if it is one and lies
// outside root. Broken and circular links are passed over.
func (l *loader) readLink(root, path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	info, err := os.Stat(target)
	if err != nil || !info.Mode().IsRegular() || within(root, target) {
		return nil
	}
	return l.readFile(path)
}

// within reports whether path lies in the folder root, both being absolute.
func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

// readFile appends the file at path to the corpus if it is text.
func (l *loader) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.WithStack(err)
	}
	defer f.Close()

	c := &l.corpus
	start := len(c.text)
	if err := l.appendUpTo(f, start+sniffLen); err != nil {
		return err
	}
	head := c.text[start:]
	switch {
	case len(head) == 0:
		l.tally.empty++
		return nil
	case isBinary(head):
		l.tally.binary++
		c.text = c.text[:start]
		return nil
	}
	// One byte more than allowed tells a text that fits from one that does not.
	if err := l.appendUpTo(f, l.limit+1); err != nil {
		return err
	}
	text := c.text[start:]
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		l.tally.binary++
		c.text = c.text[:start]
	case len(c.text) > l.limit:
		return errors.Errorf("more than %d bytes of text up to %s: want a smaller file or folder", l.limit, path)
	case l.omit != nil && l.omit(text):
		l.tally.omitted++
		c.text = c.text[:start]
	default:
		c.endFile()
	}
	return nil
}

// appendUpTo reads r into the text until the end of r, or until the text has
// size bytes.
func (l *loader) appendUpTo(r io.Reader, size int) error {
	c := &l.corpus
	for len(c.text) < size {
		c.text = slices.Grow(c.text, 512)
		n, err := r.Read(c.text[len(c.text):min(cap(c.text), size)])
		c.text = c.text[:len(c.text)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.WithStack(err)
		}
	}
	return nil
}

// isBinary reports whether the beginning of a file is not the beginning of a
// text.
func isBinary(head []byte) bool {
	odd := 0
	for rest := head; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == 0:
			return true
		case r == utf8.RuneError && size == 1, r < ' ' && !strings.ContainsRune("\t\n\v\f\r\b\x1b", r), r == 0x7f:
			odd++
		}
		rest = rest[size:]
	}
	return odd*10 > len(head)*3
}

// kind names what is neither a file nor a folder.
func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}
