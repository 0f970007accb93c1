package doccheck

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tree is what a page can name.
type tree struct {
	tests  map[string]bool     // functions that go test runs
	files  map[string][]string // paths from the root by base names
	fields map[string]bool     // of structs, as in Options.Scan
}

func newTree(t *testing.T) tree {
	t.Helper()
	all := tree{map[string]bool{}, map[string][]string{}, map[string]bool{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && strings.HasPrefix(name, ".") && name != ".github" {
				return filepath.SkipDir
			}
			return nil
		}
		from, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all.files[name] = append(all.files[name], filepath.ToSlash(from))
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if strings.HasSuffix(name, "_test.go") && d.Recv == nil {
					all.tests[d.Name.Name] = true
				}
			case *ast.GenDecl:
				all.addFields(d)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (all tree) addFields(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		s, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		fields, ok := s.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, name := range f.Names {
				all.fields[s.Name.Name+"."+name.Name] = true
			}
		}
	}
}

var (
	code     = regexp.MustCompile("`([^`\n]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)
	field    = regexp.MustCompile(`^(Options|Inputs|Plan)\.\w+$`)
	bareFile = regexp.MustCompile(`^[\w.]+\.(go|md|sh|h|cpp|metal|yml)$`)
)

// fault says what is wrong with a name that stands as code on a page, whose bare names
// of files are those of a folder, or of any one if that is "".
func (all tree) fault(name, folder string) string {
	first, _, nested := strings.Cut(name, "/")
	switch {
	case testName.MatchString(name):
		if !all.tests[name] {
			return "there is no such test"
		}
	case field.MatchString(name):
		if !all.fields[name] {
			return "there is no such field"
		}
	case bareFile.MatchString(name):
		if found := all.files[name]; len(found) == 0 || folder != "" && !slices.Contains(found, folder+"/"+name) {
			return "there is no such file"
		}
	case nested && !strings.ContainsAny(name, " $"):
		if _, err := os.Stat(filepath.Join(root, first)); err != nil || first == "" {
			return "" // of another place
		}
		if found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(name))); err != nil || len(found) == 0 {
			return "there is no such path"
		}
	}
	return ""
}

// Tests, options and files that the pages name are there.
func TestNamesOnPages(t *testing.T) {
	all := newTree(t)
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		page := filepath.Base(path)
		folder := ""
		if page == "flashqla-port.md" {
			folder = "ops/gateddelta"
		}
		tests := 0
		for _, m := range code.FindAllStringSubmatch(read(t, "docs/"+page), -1) {
			if testName.MatchString(m[1]) {
				tests++
			}
			if fault := all.fault(m[1], folder); fault != "" {
				t.Errorf("docs/%s: %s: %s", page, m[1], fault)
			}
		}
		if folder != "" && tests < 60 {
			t.Errorf("docs/%s names only %d tests", page, tests)
		}
	}
}

func TestFaultsOfNames(t *testing.T) {
	all := newTree(t)
	for _, test := range []struct {
		name, folder string
		good         bool
	}{
		{"TestFaultsOfNames", "", true}, {"TestOfNothing", "", false}, {"FuzzOfNothing", "", false}, {"Testing", "", true},
		{"Options.Scan", "", true}, {"Options.Scam", "", false}, {"Plan.Why", "", true},
		{"options.go", "ops/gateddelta", true}, {"options.go", "ops/metal", false}, {"options.go", "", true}, {"optoins.go", "", false},
		{"ops/gateddelta", "", true}, {"ops/gateddelta/*.go", "", true}, {"ops/gatedelta", "", false}, {"ops/metal/kernels/*.mental", "", false},
		{"go test ./ops/nothing", "", true}, {"runs/train", "", true}, {"/etc/nothing", "", true}, {"[B, T]", "", true},
	} {
		if fault := all.fault(test.name, test.folder); (fault == "") != test.good {
			t.Errorf("%s in %q: %q", test.name, test.folder, fault)
		}
	}
}
