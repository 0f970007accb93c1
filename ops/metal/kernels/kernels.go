// Package kernels holds the sources of the GPU kernels: the bodies, *.metal, and
// the headers that they are built with. See docs/kernels.md.
package kernels

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
)

//go:embed *.h *.metal
var files embed.FS

// Source returns the text of a file, or panics if there is none of that name.
func Source(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Names returns the names of all files, in order.
func Names() []string {
	names, err := fs.Glob(files, "*")
	if err != nil {
		panic(err)
	}
	return names
}

// Hash returns a hash of all files.
func Hash() string {
	h := sha256.New()
	for _, name := range Names() {
		h.Write([]byte(name + "\x00" + Source(name) + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil))
}
