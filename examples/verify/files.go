package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/pkg/errors"
)

// extension is that of the files that are taken from a folder.
const extension = ".safetensors"

// file is a golden file, and the name of its case.
type file struct{ path, name string }

// filesOf returns the file at root, or all of a folder and the folders in it in
// a fixed order; hidden ones are left out. With an error come the files that
// were found nevertheless.
func filesOf(root string) ([]file, error) {
	stat, err := os.Stat(root)
	if err != nil {
		return nil, errors.WithStack(err)
	}
	if !stat.IsDir() {
		return []file{{root, caseName(filepath.Base(root))}}, nil
	}
	var files []file
	var trouble error
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(path.Base(name), ".")
		switch {
		case err != nil: // an unreadable folder; the others may be good
			trouble = err
		case hidden && entry.IsDir():
			return fs.SkipDir
		case !hidden && !entry.IsDir() && path.Ext(name) == extension:
			files = append(files, file{filepath.Join(root, filepath.FromSlash(name)), caseName(name)})
		}
		return nil
	})
	if err == nil {
		err = trouble
	}
	switch {
	case err != nil:
		return files, errors.Wrap(err, root)
	case len(files) == 0:
		return nil, errors.Errorf("%s: there is no %s file in the folder", root, extension)
	}
	return files, nil
}

// caseName returns the name of a file's case, on one line and in one word.
func caseName(name string) string {
	name = strings.TrimSuffix(name, extension)
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// foreign returns why the file is no case of the gated delta rule alone although
// it is good, or "".
func (f file) foreign(metadata map[string]string) string {
	format := metadata["format"]
	switch base := filepath.Base(f.path); {
	case format == formatName:
		return ""
	case strings.HasPrefix(format, "layer-"), strings.HasPrefix(format, "model-"), base == "golden"+extension:
		return "golden values of layers and models are not verified yet"
	case base == "model"+extension:
		return "the weights of a model, not a case"
	}
	return ""
}
