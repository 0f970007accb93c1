package data

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pkg/errors"
)

// GoStandardLibrary reads the sources of the Go standard library: a text of
// some 17 MB that every user of Go has.
//
// It takes the installation that $GOROOT names, else the one that the go
// command in $PATH reports, and from its src folder, in lexical order, the .go
// files that people wrote: tests (_test.go and testdata), the sources of the go
// command (cmd), copies of other modules (vendor) and generated files are left
// out. So the text depends only on the version of Go.
//
// It is an error if no installation is found or it comes without sources.
func GoStandardLibrary() (*Corpus, error) {
	root, err := goRoot()
	if err != nil {
		return nil, errors.Wrap(err, "data.GoStandardLibrary")
	}
	l := &loader{limit: MaxBytes, skip: skipGo, omit: isGenerated}
	c, err := l.load(filepath.Join(root, "src"))
	if err != nil {
		return nil, errors.Wrapf(err, "data.GoStandardLibrary: sources of Go in GOROOT=%s", root)
	}
	c.Name = "Go standard library"
	if version := goVersion(root); version != "" {
		c.Name += " " + version
	}
	return c, nil
}

// goRoot returns the folder of the Go installation.
func goRoot() (string, error) {
	if root := os.Getenv("GOROOT"); root != "" {
		return root, nil
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	var failed *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("no Go installation found: the go command is not in $PATH and $GOROOT is not set")
	case errors.As(err, &failed):
		return "", errors.Wrapf(err, "go env GOROOT: %s", bytes.TrimSpace(failed.Stderr))
	case err != nil:
		return "", errors.Wrap(err, "go env GOROOT")
	}
	root := strings.TrimSpace(string(out))
	if root == "" {
		return "", errors.New("go env GOROOT printed nothing: set $GOROOT to the folder of the Go installation")
	}
	return root, nil
}

// goVersion returns the version of the installation in root, such as go1.26.0,
// or "" if it does not say.
func goVersion(root string) string {
	text, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// skipGo reports whether an entry of the source tree is no part of the library.
func skipGo(entry fs.DirEntry) bool {
	name := entry.Name()
	if entry.IsDir() {
		return name == "testdata" || name == "vendor" || name == "cmd"
	}
	return !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go")
}

// isGenerated reports whether a Go source carries the comment that marks
// generated files, which stands on a line of its own before the package clause.
func isGenerated(source []byte) bool {
	for line := range bytes.Lines(source) {
		line = bytes.TrimRight(line, "\r\n")
		if bytes.HasPrefix(line, []byte("// Code generated ")) && bytes.HasSuffix(line, []byte(" DO NOT EDIT.")) {
			return true
		}
		if bytes.HasPrefix(line, []byte("package ")) {
			return false
		}
	}
	return false
}
