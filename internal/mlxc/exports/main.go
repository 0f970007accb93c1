// Command exports checks that a library has the functions that package mlxc
// looks up in it when it is loaded. The library isn't loaded, so it may be one
// for another system.
//
// Usage:
//
//	go run ./internal/mlxc/exports LIBRARY FUNCTIONS
//
// LIBRARY is an ELF or a Mach-O file, FUNCTIONS is functions.txt. The names
// that the library lacks are printed; the exit code is 1 if there are any.
package main

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("exports: ")
	if len(os.Args) != 3 {
		log.Fatal("want LIBRARY and FUNCTIONS")
	}
	missing, err := check(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range missing {
		fmt.Println(name)
	}
	if len(missing) > 0 {
		os.Exit(1)
	}
}

// check returns the functions of a list that a library does not export.
func check(library, list string) (missing []string, err error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	exported, err := exports(library)
	if err != nil {
		return nil, fmt.Errorf("%s: %v", library, err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line) // op, raw or optional, and the name
		if len(fields) == 0 {
			continue
		}
		n++
		if name := fields[len(fields)-1]; !exported[name] {
			missing = append(missing, name)
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("%s names no function", list)
	}
	return missing, nil
}

// exports reads the names, as C knows them, that dlsym would find in a library.
func exports(library string) (map[string]bool, error) {
	data, err := os.ReadFile(library)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return elfExports(data)
	}
	return machoExports(data)
}

func elfExports(data []byte) (map[string]bool, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			names[s.Name] = true
		}
	}
	return names, nil
}

func machoExports(data []byte) (map[string]bool, error) {
	f, err := macho.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if f.Cpu != macho.CpuArm64 || f.Type != macho.TypeDylib {
		return nil, fmt.Errorf("it is a Mach-O %v for %v, want a Dylib for CpuArm64", f.Type, f.Cpu)
	}
	if f.Symtab == nil || f.Dysymtab == nil {
		return nil, fmt.Errorf("it has no symbol table")
	}
	first, n := uint64(f.Dysymtab.Iextdefsym), uint64(f.Dysymtab.Nextdefsym)
	if first+n > uint64(len(f.Symtab.Syms)) {
		return nil, fmt.Errorf("its symbol table is cut off")
	}
	names := map[string]bool{}
	for _, s := range f.Symtab.Syms[first : first+n] {
		if name, ok := strings.CutPrefix(s.Name, "_"); ok { // as C names are spelled there
			names[name] = true
		}
	}
	return names, nil
}
