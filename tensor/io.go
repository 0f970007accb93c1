package tensor

import (
	"io"
	"runtime"
	"slices"
	"strconv"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
	"github.com/deltatape/deltatape/internal/safetensors"
)

// formatNames are the names of the dtypes in safetensors files.
var formatNames = [...]string{
	Bool: "BOOL", Uint8: "U8", Uint16: "U16", Uint32: "U32", Uint64: "U64",
	Int8: "I8", Int16: "I16", Int32: "I32", Int64: "I64",
	Float16: "F16", Float32: "F32", Float64: "F64", BFloat16: "BF16",
}

// Load opens a safetensors file and returns its tensors and metadata. The
// header is checked in full before anything else sees the file. The data are
// read when a tensor is evaluated, so a file may be larger than memory; it must
// stay as it is until then, but may be replaced by renaming another over it.
func Load(path string) (map[string]*Tensor, map[string]string, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, nil, errors.Wrap(err, "tensor.Load")
	}
	defer f.Close()
	if _, err := mlxc.Load(); err != nil {
		return nil, nil, errors.Wrap(err, "tensor.Load")
	}
	var names []string
	var size int64
	for i, info := range f.Tensors {
		if float64(info.Size) > largest() {
			return nil, nil, errors.Errorf("tensor.Load: %s: tensor %q takes %d bytes, more than this machine's memory", path, info.Name, info.Size)
		}
		size = max(size, info.Offset+info.Size-f.DataStart)
		if info.Size > 0 {
			names = append(names, "t"+strconv.Itoa(i))
		}
	}
	made, err := mlxc.LoadSafetensors(f.Fd(), path, f.EngineHeader(), f.DataStart, size, names)
	runtime.KeepAlive(f)
	if err != nil {
		return nil, nil, errors.Wrapf(err, "tensor.Load: %s", path)
	}
	tensors := make(map[string]*Tensor, len(f.Tensors))
	for _, info := range f.Tensors {
		d := Dtype(slices.Index(formatNames[:], info.Dtype))
		if info.Size == 0 {
			tensors[info.Name] = Zeros(d, info.Shape...)
			continue
		}
		t := wrap(nil, &made[0])
		made = made[1:]
		if t.dtype != d { // float64 came as int64 of the same bits
			m, err := mlxc.View(mlxc.CPU, t.h, mlxc.Dtype(d))
			if err != nil {
				return nil, nil, errors.Wrapf(err, "tensor.Load: %s: tensor %q", path, info.Name)
			}
			runtime.KeepAlive(t)
			t = wrap(nil, &m)
		}
		tensors[info.Name] = t
	}
	return tensors, f.Metadata, nil
}

// Save writes tensors and metadata to a safetensors file. The file appears
// whole or not at all: what was at path stays until all is written. The same
// tensors give the same bytes.
func Save(path string, tensors map[string]*Tensor, metadata map[string]string) error {
	entries := make([]safetensors.Entry, 0, len(tensors))
	for name, t := range tensors {
		if t == nil || t.Closed() {
			return errors.Errorf("tensor.Save: %s: tensor %q is nil or closed", path, name)
		}
		entries = append(entries, safetensors.Entry{
			Name: name, Dtype: formatNames[t.dtype], Shape: t.Shape(),
			Write: func(w io.Writer) error { return t.writeTo(w) },
		})
	}
	return errors.Wrap(safetensors.WriteFile(path, entries, metadata), "tensor.Save")
}

// writeTo writes the elements' bytes.
func (t *Tensor) writeTo(w io.Writer) (err error) {
	readErr := read(t, "Save", t.dtype, func(data []byte) { _, err = w.Write(data) })
	if readErr != nil {
		return readErr
	}
	return errors.WithStack(err)
}
