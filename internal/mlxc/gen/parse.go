package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// request is one line of functions.txt.
type request struct{ kind, name string }

var kinds = []string{"op", "raw", "optional"}

// param is one parameter of a C function.
type param struct {
	ctype, name string
}

// function is a C function of the API.
type function struct {
	result, name string
	params       []param
	op           bool
}

// headerAPI is what the headers declare.
type headerAPI struct {
	funcs map[string]function
	types map[string]string // name to its typedef
}

func readList(path string) ([]request, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []request
	in := bufio.NewScanner(f)
	for in.Scan() {
		line, _, _ := strings.Cut(in.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 || !slices.Contains(kinds, fields[0]) {
			return nil, fmt.Errorf("%s: want NAME after one of %q, got %q", path, kinds, line)
		}
		list = append(list, request{fields[0], fields[1]})
	}
	return list, in.Err()
}

var (
	comment      = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)
	preprocessor = regexp.MustCompile(`(?m)^\s*#(?:.*\\\n)*.*$`)
	externC      = regexp.MustCompile(`extern "C" \{`)
	spaces       = regexp.MustCompile(`\s+`)
	typedef      = regexp.MustCompile(`typedef (?:struct|enum) \w+ \{[^}]*\} (\w+);`)
	funcTypedef  = regexp.MustCompile(`typedef \w+ \(\*(\w+)\)\([^;]*\);`)
	prototype    = regexp.MustCompile(`(?:^|[;}] ?)((?:const )?\w+\*? ?)((?:_?mlx|deltatape)_\w+)\(((?:[^();]|\([^()]*\))*)\)(?:;|$)`)
)

// parseHeaders reads the plain declarations of every header in a folder, and of those
// in another one, where there are any.
func parseHeaders(dir, own string) (headerAPI, error) {
	api := headerAPI{funcs: map[string]function{}, types: map[string]string{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.h"))
	if err != nil {
		return api, err
	}
	if len(paths) == 0 {
		return api, fmt.Errorf("no headers in %s: run scripts/setup.sh", dir)
	}
	more, err := filepath.Glob(filepath.Join(own, "*.h"))
	if err != nil {
		return api, err
	}
	for _, path := range append(paths, more...) {
		raw, err := os.ReadFile(path)
		if err != nil {
			return api, err
		}
		text := comment.ReplaceAllString(string(raw), " ")
		text = preprocessor.ReplaceAllString(text, " ")
		text = externC.ReplaceAllString(text, " ")
		text = strings.TrimSpace(spaces.ReplaceAllString(text, " "))
		for _, m := range typedef.FindAllStringSubmatch(text, -1) {
			api.types[m[1]] = m[0]
		}
		for _, m := range funcTypedef.FindAllStringSubmatch(text, -1) {
			api.types[m[1]] = m[0]
		}
		text = typedef.ReplaceAllString(text, "")
		for _, statement := range strings.SplitAfter(text, ";") {
			m := prototype.FindStringSubmatch(strings.TrimSpace(statement))
			if m == nil {
				continue
			}
			f := function{result: strings.TrimSpace(m[1]), name: m[2]}
			for _, p := range splitParams(m[3]) {
				f.params = append(f.params, parseParam(p))
			}
			api.funcs[f.name] = f
		}
	}
	return api, nil
}

// splitParams cuts a parameter list at its outer commas.
func splitParams(list string) []string {
	var out []string
	depth, start := 0, 0
	for i, r := range list + "," {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				if p := strings.TrimSpace(list[start:min(i, len(list))]); p != "" && p != "void" {
					out = append(out, p)
				}
				start = i + 1
			}
		}
	}
	return out
}

func parseParam(p string) param {
	if strings.Contains(p, "(*") { // a function pointer keeps its name inside its type
		return param{ctype: p}
	}
	at := strings.LastIndexAny(p, " *")
	if at < 0 {
		return param{ctype: p}
	}
	return param{ctype: strings.TrimSpace(p[:at+1]), name: p[at+1:]}
}
