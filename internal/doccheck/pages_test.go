package doccheck

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var block = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// The Go code on a page stands word for word in files that are compiled and
// tested. That it makes a whole is tested in package outside.
func TestCodeOfPages(t *testing.T) {
	for _, page := range []struct {
		name   string
		files  []string
		blocks int // at least
	}{
		{"docs/custom-ops.md", []string{
			"autograd/example_test.go", "autograd/example_op_test.go",
			"examples/custom_layer/main.go", "examples/custom_layer/kernel.go", "examples/custom_layer/kernel_test.go",
		}, 9},
	} {
		text := read(t, page.name)
		var sources []string
		for _, name := range page.files {
			if !strings.Contains(text, name) {
				t.Errorf("%s doesn't name %s", page.name, name)
			}
			sources = append(sources, read(t, name))
		}
		blocks := block.FindAllStringSubmatch(text, -1)
		if len(blocks) < page.blocks {
			t.Errorf("%s has %d blocks of code, want %d", page.name, len(blocks), page.blocks)
		}
		for _, b := range blocks {
			found := false
			for _, source := range sources {
				found = found || strings.Contains(source, b[1])
			}
			if !found {
				t.Errorf("%s: not in %v:\n%s", page.name, page.files, b[1])
			}
		}
	}
}

// The links of the pages lead to files that are there.
func TestLinksOfPages(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link %s leads nowhere", filepath.Base(page), m[1])
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
