package safetensors

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/pkg/errors"
)

func TestOpenGolden(t *testing.T) {
	f, err := Open("testdata/t1_r1.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.Metadata["B"] + f.Metadata["T"] + f.Metadata["K"]; got != "2116" {
		t.Errorf("B, T, K are %q", got)
	}
	// One token: o = scale * S^T q with S = exp(g) h0 + k (beta (v - exp(g) h0^T k))^T.
	const B, H, K, V = 2, 2, 16, 16
	q, k, v := float32s(t, f, "q", B*H*K), float32s(t, f, "k", B*H*K), float32s(t, f, "v", B*H*V)
	g, beta, h0 := float32s(t, f, "g", B*H), float32s(t, f, "beta", B*H), float32s(t, f, "h0", B*H*K*V)
	info, ok := f.Lookup("o")
	if !ok {
		t.Fatal("no tensor o")
	}
	o := make([]byte, info.Size)
	if err := f.ReadTensor(info, o); err != nil {
		t.Fatal(err)
	}
	for head := range B * H {
		decay := math.Exp(g[head])
		for j := range V {
			var hk, hq, kq float64
			for i := range K {
				h := decay * h0[(head*K+i)*V+j]
				hk += h * k[head*K+i]
				hq += h * q[head*K+i]
				kq += k[head*K+i] * q[head*K+i]
			}
			want := (hq + kq*beta[head]*(v[head*V+j]-hk)) / math.Sqrt(K)
			got := math.Float64frombits(binary.LittleEndian.Uint64(o[8*(head*V+j):]))
			if math.Abs(got-want) > 1e-12 {
				t.Fatalf("o of head %d at %d is %v; want %v", head, j, got, want)
			}
		}
	}
}

// float32s reads an F32 tensor of n elements.
func float32s(t *testing.T, f *File, name string, n int) []float64 {
	t.Helper()
	info, ok := f.Lookup(name)
	if !ok || info.Dtype != "F32" || info.Size != int64(4*n) {
		t.Fatalf("%s is %+v", name, info)
	}
	buf := make([]byte, info.Size)
	if err := f.ReadTensor(info, buf); err != nil {
		t.Fatal(err)
	}
	s := make([]float64, n)
	for i := range s {
		s[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:])))
	}
	return s
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"topipe": "pipe", "dangling": "none", "loop": "loop"} {
		if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, filepath.Join(dir, "empty"), "", 0o644)
	mustWrite(t, filepath.Join(dir, "100%s%n"), string(image(`{"%s%n":1}`, 0)), 0o644)
	for _, c := range []struct {
		path string
		want string
		is   error
	}{
		{dir, "it is a folder; expected a regular file", nil},
		{dir + "/pipe", "it is a named pipe; expected a regular file", nil},
		{dir + "/topipe", "it is a named pipe", nil},
		{"/dev/zero", "it is a device; expected a regular file", nil},
		{dir + "/none", "no such file or directory", fs.ErrNotExist},
		{dir + "/dangling", "no such file or directory", fs.ErrNotExist},
		{dir + "/loop", "too many levels of symbolic links", syscall.ELOOP},
		{"", "no such file or directory", fs.ErrNotExist},
		{dir + "/empty", "the file has 0 bytes", nil},
		{dir + "/100%s%n", `header: tensor "%s%n": found 1; expected an object`, nil},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			f, err := Open(c.path)
			if f != nil {
				t.Errorf("Open returned a file")
			}
			checkError(t, err, "safetensors: "+c.path+": "+c.want)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
}

func TestReadTensor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	entries := []Entry{{"a", "U8", []int{3}, raw(1, 2, 3)}, {"b%d", "I16", []int{}, raw(4, 5)}, {"c", "F32", []int{0}, raw()}}
	if err := WriteFile(path, entries, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, _ := f.Lookup("a")
	b, _ := f.Lookup("b%d")
	c, _ := f.Lookup("c")

	var wg sync.WaitGroup
	for info, want := range map[*Info][]byte{&a: {1, 2, 3}, &b: {4, 5}, &c: {}} {
		wg.Go(func() {
			buf := make([]byte, info.Size)
			if err := f.ReadTensor(*info, buf); err != nil || !bytes.Equal(buf, want) {
				t.Errorf("%s is %v, %v; want %v", info.Name, buf, err, want)
			}
		})
	}
	wg.Wait()

	moved := a
	moved.Offset--
	checkError(t, f.ReadTensor(a, make([]byte, 2)), path, `tensor "a": the buffer has 2 bytes; expected 3`)
	checkError(t, f.ReadTensor(Info{Name: "%n"}, nil), path, `no tensor "%n"`)
	checkError(t, f.ReadTensor(moved, make([]byte, 3)), path, `tensor "a": asked for 3 bytes at`)

	// A file that is replaced stays readable, and so is its descriptor.
	if err := WriteFile(path, nil, nil); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 3)
	if err := f.ReadTensor(a, buf); err != nil || !bytes.Equal(buf, []byte{1, 2, 3}) {
		t.Errorf("after WriteFile: %v, %v", buf, err)
	}
	if n, err := syscall.Pread(int(f.Fd()), buf[:2], b.Offset); n != 2 || buf[0] != 4 {
		t.Errorf("pread: %d, %v, %v", n, buf, err)
	}

	if err := f.Close(); err != nil {
		t.Error(err)
	}
	checkError(t, f.ReadTensor(a, buf), path, `tensor "a"`, "file already closed")
	checkError(t, f.Close(), "close "+path, "file already closed")
	if _, ok := f.Lookup("a"); !ok {
		t.Error("the header is gone after Close")
	}
}

func TestReadTensorOfTruncatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := WriteFile(path, []Entry{{"w", "U8", []int{3}, raw(1, 2, 3)}}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Lookup("w")
	if err := os.Truncate(path, info.Offset+1); err != nil {
		t.Fatal(err)
	}
	err = f.ReadTensor(info, make([]byte, 3))
	checkError(t, err, path, `tensor "w"`, "read 1 of 3 bytes at offset")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v is not %v", err, io.ErrUnexpectedEOF)
	}
}
