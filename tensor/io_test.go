package tensor

import (
	"bytes"
	bits "encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

func TestSaveAndLoad(t *testing.T) {
	tensors := map[string]*Tensor{
		"%s%n%d": Scalar(1.5), "with space": Ones(Float32, 2, 0, 3), `"quoted\"`: Transpose(count(Int32, 2, 3)), "é": Flip(count(BFloat16, 5)),
		"bits": FromSlice([]float64{math.Inf(1), math.Copysign(0, -1), 0x1p-1060, 1e300, math.Float64frombits(0x7ff8000000000123)}),
		"big":  FromSlice([]uint64{0, 1 << 63, math.MaxUint64}), "lazy": Exp(Zeros(Float16, 3)),
	}
	for _, dt := range allTypes {
		tensors["type "+dt.String()] = AsType(FromSlice([]uint8{0, 1, 1, 0, 1, 0}, 3, 2), dt)
	}
	metadata := map[string]string{"format": "pt", "%s%n": "%s%n", "empty": "", "text": "two\nlines \"é\""}
	dir := filepath.Join(t.TempDir(), "%s%n dir")
	must(t, 0, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "100%d.safetensors")
	must(t, 0, Save(path, tensors, metadata))

	loaded, meta, err := Load(path)
	must(t, 0, err)
	if !maps.Equal(meta, metadata) {
		t.Errorf("metadata %q, want %q", meta, metadata)
	}
	if len(loaded) != len(tensors) {
		t.Errorf("%d tensors, want %d", len(loaded), len(tensors))
	}
	for name, want := range tensors {
		got := loaded[name]
		if got == nil {
			t.Errorf("%q is not there", name)
			continue
		}
		if got.scope != nil || got.Size() > 0 && mlxc.Evaluated(got.h) {
			t.Errorf("%q was read at once, or is in a scope", name)
		}
		if got.Dtype() != want.Dtype() || !slices.Equal(got.Shape(), want.Shape()) {
			t.Errorf("%q is %s %v, want %s %v", name, got.Dtype(), got.Shape(), want.Dtype(), want.Shape())
			continue
		}
		if !bytes.Equal(rawBytes(t, got), rawBytes(t, want)) {
			t.Errorf("%q has changed: %v, was %v", name, got, want)
		}
	}

	// The same tensors give the same file, also through a load.
	second := filepath.Join(dir, "second")
	must(t, 0, Save(second, loaded, meta))
	if a, b := must1(os.ReadFile(path))(t), must1(os.ReadFile(second))(t); !bytes.Equal(a, b) {
		t.Error("saved again, the file differs")
	}
	if entries := must1(os.ReadDir(dir))(t); len(entries) != 2 {
		t.Errorf("%d files in the folder, want 2", len(entries))
	}
}

func must1[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V { t.Helper(); return must(t, v, err) }
}

func rawBytes(t *testing.T, x *Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, 0, x.writeTo(&b))
	return b.Bytes()
}

// A file may be replaced while its tensors are still to be read, and saved over
// by what was loaded from it.
func TestSaveOverLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	must(t, 0, Save(path, map[string]*Tensor{"a": count(Float32, 1000), "b": Ones(Float64, 3)}, nil))
	loaded, _, err := Load(path)
	must(t, 0, err)
	again, _, err := Load(path)
	must(t, 0, err)
	must(t, 0, Save(path, map[string]*Tensor{"a": AddScalar(loaded["a"], 1), "b": loaded["b"]}, nil))
	after, _, err := Load(path)
	must(t, 0, err)
	wantClose(t, floats(t, SliceAxis(again["a"], 0, 997, 1000)), []float64{997, 998, 999}, 0)
	wantClose(t, floats(t, SliceAxis(after["a"], 0, 997, 1000)), []float64{998, 999, 1000}, 0)
	wantTensor(t, after["b"], Float64, []int{3}, 1, 1, 1)
	if n := len(must1(os.ReadDir(filepath.Dir(path)))(t)); n != 1 {
		t.Errorf("%d files in the folder", n)
	}
}

func TestSaveErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w.safetensors")
	s := NewScope()
	closed := s.Use(Scalar(1.0))
	s.Close()
	for text, tensors := range map[string]map[string]*Tensor{
		`tensor "x%s" is nil or closed`: {"x%s": nil},
		`tensor "y" is nil or closed`:   {"y": closed},
		cutText:                         {"good": Scalar(1.0), "z": cutTensor(t)},
	} {
		err := Save(path, tensors, nil)
		wantError(t, err, "tensor.Save: ", text)
	}
	wantError(t, Save(filepath.Join(dir, "no", "w"), nil, nil), "tensor.Save: ", "no such file or directory")
	wantError(t, Save(dir, nil, nil), "tensor.Save: ")
	if n := len(must1(os.ReadDir(dir))(t)); n != 0 {
		t.Errorf("failed saves left %d files", n)
	}
	must(t, 0, Save(path, nil, nil))
	if loaded, meta, err := Load(path); err != nil || len(loaded) != 0 || len(meta) != 0 {
		t.Errorf("a file of nothing gives %v, %v, %v", loaded, meta, err)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, header string, size int64) string {
		path := filepath.Join(dir, name)
		b := bits.LittleEndian.AppendUint64(nil, uint64(len(header)))
		must(t, 0, os.WriteFile(path, append(b, header...), 0o644))
		if size >= 0 {
			must(t, 0, os.Truncate(path, int64(8+len(header))+size))
		}
		return path
	}
	huge := int64(2 * largest())
	for text, path := range map[string]string{
		"no such file or directory": filepath.Join(dir, "none%s%n"),
		"tensor.Load: ":             dir,
		"%s%n.x":                    file("%s%n.x", `{"a`, -1),
		"is there twice":            file("dup", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2),
		"C64":                       file("complex", `{"a%s%n":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}`, 8),
		"more than this machine's memory": file("sparse",
			fmt.Sprintf(`{"a%%s%%n":{"dtype":"U8","shape":[%d,1048576],"data_offsets":[0,%d]}}`, huge>>20, huge>>20<<20), huge>>20<<20),
	} {
		_, _, err := Load(path)
		wantError(t, err, "tensor.Load: ", text)
	}
	_, _, err := Load(filepath.Join(dir, "none"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestTruncatedAfterLoad(t *testing.T) {
	base := settle()
	func() {
		x := cutTensor(t)
		wantError(t, Eval(MulScalar(x, 2)), cutText)
		wantTensor(t, MulScalar(Ones(Float32, 2), 2), Float32, []int{2}, 2, 2)
	}()
	if got := settle(); got != base {
		t.Errorf("%d handles are left", got-base)
	}
}
