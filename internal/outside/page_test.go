package outside

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	block    = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	imports  = regexp.MustCompile(`(?ms)^    import \(\n.*?^    \)$`)
	testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// The Go code of the page on operations of one's own is a whole: with the imports
// that the page gives it makes one file, whose tests pass.
func TestCustomOpsPage(t *testing.T) {
	page := read(t, filepath.Join(root, "docs", "custom-ops.md"))
	file := "package page\n\n" + strings.ReplaceAll(imports.FindString(page), "\n    ", "\n") + "\n"
	for _, b := range block.FindAllStringSubmatch(page, -1) {
		file += "\n" + b[1]
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "page_test.go"), file)
	out, err := module(t, dir, "example.com/page")("test", "-count=1", "-v", "-vet=all", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tests := testFunc.FindAllStringSubmatch(file, -1)
	if len(tests) < 2 {
		t.Errorf("the page has %d tests", len(tests))
	}
	for _, test := range tests {
		if !strings.Contains(string(out), "--- PASS: "+test[1]) {
			t.Errorf("%s did not run:\n%s", test[1], out)
		}
	}
}
