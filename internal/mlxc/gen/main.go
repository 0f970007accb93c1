// Command gen writes the bindings of internal/mlxc from the headers of the
// installed mlx-c, and of what set-up adds to it: the C types, the table of
// functions that is filled at run time, and a Go wrapper for every array operation.
//
// Usage:
//
//	go run ./gen [-headers DIR] [-own DIR] [-out DIR]
//
// The first DIR/mlx/c and the second DIR hold the headers; functions.txt in the
// output folder names the functions, one a line. A name after "op" becomes an
// exported Go function, a name after "raw" only enters the table, and so does one
// after "optional", which a library may lack.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	headers := flag.String("headers", "../../.deps/include", "folder that holds mlx/c/*.h")
	own := flag.String("own", "../../scripts", "folder that holds the headers of what set-up adds")
	out := flag.String("out", ".", "folder to write to; functions.txt is read from it")
	flag.Parse()
	if err := run(*headers, *own, *out); err != nil {
		log.Fatal(err)
	}
}

func run(headers, own, out string) error {
	wanted, err := readList(filepath.Join(out, "functions.txt"))
	if err != nil {
		return err
	}
	api, err := parseHeaders(filepath.Join(headers, "mlx", "c"), own)
	if err != nil {
		return err
	}
	var funcs, optional []function
	for _, w := range wanted {
		f, ok := api.funcs[w.name]
		if !ok {
			return fmt.Errorf("the headers declare no function %s", w.name)
		}
		f.op = w.kind == "op"
		if w.kind == "optional" {
			optional = append(optional, f)
		} else {
			funcs = append(funcs, f)
		}
	}
	required := len(funcs)
	funcs = append(funcs, optional...)
	if err := checkOps(funcs); err != nil {
		return err
	}
	var h, c, g bytes.Buffer
	if err := writeHeader(&h, api, funcs); err != nil {
		return err
	}
	writeC(&c, funcs, required)
	writeGo(&g, funcs)
	formatted, err := format.Source(g.Bytes())
	if err != nil {
		return fmt.Errorf("generated Go does not parse: %v", err)
	}
	for name, text := range map[string][]byte{"api_gen.h": h.Bytes(), "api_gen.c": c.Bytes(), "api_gen.go": formatted} {
		if err := os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
