package main

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// machoLibrary makes a Mach-O file with one local, the given exported, and one
// undefined symbol.
func machoLibrary(kind macho.Type, cpu macho.Cpu, exported ...string) []byte {
	names := slices.Concat([]string{"_local"}, exported, []string{"_undefined"})
	var table, texts bytes.Buffer
	texts.WriteByte(0)
	put := func(b *bytes.Buffer, values ...any) {
		for _, v := range values {
			_ = binary.Write(b, binary.LittleEndian, v) // a Buffer does not fail
		}
	}
	for _, name := range names {
		put(&table, macho.Nlist64{Name: uint32(texts.Len())})
		texts.WriteString(name + "\x00")
	}
	const commands = 24 + 80
	header := macho.FileHeader{Magic: macho.Magic64, Cpu: cpu, Type: kind, Ncmd: 2, Cmdsz: commands}
	at := uint32(binary.Size(header) + 4 + commands)
	var file bytes.Buffer
	put(&file, header, uint32(0),
		macho.SymtabCmd{
			Cmd: macho.LoadCmdSymtab, Len: 24,
			Symoff: at, Nsyms: uint32(len(names)), Stroff: at + uint32(table.Len()), Strsize: uint32(texts.Len()),
		},
		macho.DysymtabCmd{Cmd: macho.LoadCmdDysymtab, Len: 80, Nlocalsym: 1, Iextdefsym: 1, Nextdefsym: uint32(len(exported))})
	file.Write(table.Bytes())
	file.Write(texts.Bytes())
	return file.Bytes()
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckMachO(t *testing.T) {
	library := machoLibrary(macho.TypeDylib, macho.CpuArm64, "_one", "__two", "no_underscore")
	for list, want := range map[string][]string{
		"op one\nraw _two # with a comment\n\n# all\n":    nil,
		"op one\nop three\nraw two\n":                     {"three", "two"},
		"raw local\nraw undefined\n":                      {"local", "undefined"},
		"raw no_underscore\nraw o_underscore\nraw _one\n": {"no_underscore", "o_underscore", "_one"},
	} {
		missing, err := check(write(t, library), write(t, []byte(list)))
		if err != nil || !slices.Equal(missing, want) {
			t.Errorf("%q: got %q, %v; want %q", list, missing, err, want)
		}
	}
}

// The library that the tests run with is an ELF file on Linux and a Mach-O
// file on a Mac.
func TestCheckInstalled(t *testing.T) {
	info, err := mlxc.Load()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var optional []string
	if !mlxc.HasHostOp() {
		optional = []string{"deltatape_host_op"}
	}
	for extra, absent := range map[string][]string{"": nil, "op mlx_no_such\nraw dlsym\n": {"mlx_no_such", "dlsym"}} {
		missing, err := check(info.Path, write(t, slices.Concat(text, []byte("\n"+extra))))
		want := slices.Concat(optional, absent)
		if err != nil || !slices.Equal(missing, want) {
			t.Errorf("with %q: got %q, %v; want %q", extra, missing, err, want)
		}
	}
}

func TestCheckErrors(t *testing.T) {
	good := machoLibrary(macho.TypeDylib, macho.CpuArm64, "_one")
	cut := bytes.Clone(good)
	binary.LittleEndian.PutUint32(cut[32+24+20:], 99) // nextdefsym
	for _, c := range []struct {
		library    []byte
		list, text string
	}{
		{good, "# nothing\n", "names no function"},
		{machoLibrary(macho.TypeExec, macho.CpuArm64, "_one"), "op one\n", "want a Dylib for CpuArm64"},
		{machoLibrary(macho.TypeDylib, macho.CpuAmd64, "_one"), "op one\n", "want a Dylib for CpuArm64"},
		{cut, "op one\n", "its symbol table is cut off"},
		{[]byte("this is no library"), "op one\n", "invalid magic number"},
		{[]byte("\x7fELF"), "op one\n", ""},
		{nil, "op one\n", ""},
	} {
		if missing, err := check(write(t, c.library), write(t, []byte(c.list))); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("want an error about %q, got %q and %v", c.text, missing, err)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	if _, err := check(none, write(t, []byte("op one\n"))); err == nil {
		t.Error("a missing library gives no error")
	}
	if _, err := check(write(t, good), none); err == nil {
		t.Error("a missing list gives no error")
	}
}
