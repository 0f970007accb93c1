package doccheck

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/deltatape/deltatape"
)

// folder holds the parsed files of one package.
type folder struct {
	path  string
	fset  *token.FileSet
	code  []*ast.File // of the package itself
	tests []*ast.File // of the package and of its external tests
}

// folders parses every package of the module that is not internal.
func folders(t *testing.T) []folder {
	t.Helper()
	var list []folder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "internal") {
			return filepath.SkipDir
		}
		f, err := parse(path)
		if err == nil && len(f.code) > 0 {
			list = append(list, f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 15 {
		t.Fatalf("found only %d packages", len(list))
	}
	return list
}

func parse(dir string) (folder, error) {
	path, err := filepath.Rel(root, dir)
	if err != nil {
		return folder{}, err
	}
	f := folder{path: filepath.ToSlash(path), fset: token.NewFileSet()}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, err
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".go" {
			continue
		}
		file, err := parser.ParseFile(f.fset, filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			return f, err
		}
		if strings.HasSuffix(e.Name(), "_test.go") {
			f.tests = append(f.tests, file)
		} else {
			f.code = append(f.code, file)
		}
	}
	return f, nil
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range folders(t) {
		p, err := doc.NewFromFiles(f.fset, f.code, module+"/"+f.path)
		if err != nil {
			t.Fatal(err)
		}
		undocumented := func(kind, name, text string) {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %s %s has no comment", f.path, kind, name)
			}
		}
		starts := func(name, text string) {
			text = strings.TrimPrefix(strings.TrimPrefix(text, "A "), "An ")
			if text != "" && !strings.HasPrefix(text, name) {
				t.Errorf("%s: the comment of %s begins %.40q", f.path, name, text)
			}
		}
		undocumented("package", p.Name, p.Doc)
		if p.Name == "main" {
			continue
		}
		if !strings.HasPrefix(p.Doc, "Package "+p.Name+" ") {
			t.Errorf("%s: the overview begins %.40q", f.path, p.Doc)
		}
		funcs := p.Funcs
		values := append(p.Consts, p.Vars...)
		for _, typ := range p.Types {
			undocumented("type", typ.Name, typ.Doc)
			starts(typ.Name, typ.Doc)
			funcs = append(append(funcs, typ.Funcs...), typ.Methods...)
			values = append(append(values, typ.Consts...), typ.Vars...)
			documentedMethods(t, f.path, typ)
		}
		for _, fn := range funcs {
			if fn.Recv != "" && (fn.Name == "String" || fn.Name == "Error") && fn.Doc == "" {
				continue // their meaning is fixed
			}
			undocumented("func", fn.Recv+" "+fn.Name, fn.Doc)
			starts(fn.Name, fn.Doc)
		}
		for _, v := range values {
			documentedSpecs(t, f.path, v)
		}
	}
}

// documentedMethods wants a comment at each exported method of an interface; that
// of the type is enough for an only one.
func documentedMethods(t *testing.T, path string, typ *doc.Type) {
	for _, spec := range typ.Decl.Specs {
		list, ok := spec.(*ast.TypeSpec).Type.(*ast.InterfaceType)
		if !ok || list.Methods.NumFields() < 2 {
			continue
		}
		for _, method := range list.Methods.List {
			for _, name := range method.Names {
				if name.IsExported() && method.Doc == nil && method.Comment == nil {
					t.Errorf("%s: method %s.%s has no comment", path, typ.Name, name.Name)
				}
			}
		}
	}
}

// documentedSpecs wants a comment at each exported constant or variable, or one
// for its group.
func documentedSpecs(t *testing.T, path string, v *doc.Value) {
	if strings.TrimSpace(v.Doc) != "" {
		return
	}
	for _, spec := range v.Decl.Specs {
		s := spec.(*ast.ValueSpec)
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil {
				t.Errorf("%s: %s has no comment", path, name.Name)
			}
		}
	}
}

// data are packages that hold files for another package, and no more.
var data = map[string]bool{"ops/metal/kernels": true}

// Every package that is to be imported has an overview in doc.go and an example
// whose output is checked.
func TestPackagesHaveOverviewAndExample(t *testing.T) {
	for _, f := range folders(t) {
		if f.code[0].Name.Name == "main" || data[f.path] {
			continue
		}
		overview := false
		for _, file := range f.code {
			if filepath.Base(f.fset.File(file.Pos()).Name()) == "doc.go" && file.Doc != nil {
				overview = true
			}
		}
		if !overview {
			t.Errorf("%s has no doc.go with an overview", f.path)
		}
		if f.path == "examples" {
			continue // it has no code
		}
		checked := 0
		for _, example := range doc.Examples(f.tests...) {
			if example.Output != "" {
				checked++
			}
		}
		if checked == 0 {
			t.Errorf("%s has no example with an output", f.path)
		}
	}
}
