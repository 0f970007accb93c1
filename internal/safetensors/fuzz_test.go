package safetensors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
)

// FuzzReadHeader checks that no input makes ReadHeader panic or allocate out of
// proportion, that an error comes alone, and that what is accepted is JSON and
// survives being written again.
func FuzzReadHeader(f *testing.F) {
	for _, c := range hostile {
		if len(c.header) < 10_000 {
			f.Add(image(c.header, c.data))
		}
	}
	golden, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(golden) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, path := range golden {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add([]byte("\x00\xe1\xf5\x05\x00\x00\x00\x00{")) // 100,000,000
	f.Add(image(`{}    `, 0))
	f.Add(image(`{"__metadata__":null}`, 0))
	f.Add(image(`{"__metadata__":{"a":"\ud83d\ude00"},"b":{"dtype":"F64","shape":[],"data_offsets":[2,10]},`+
		`"a":{"shape":[1,2],"data_offsets":[0,2],"dtype":"BOOL"},"":{"dtype":"F16","shape":[0],"data_offsets":[10,10]}}`, 10))

	f.Fuzz(func(t *testing.T, file []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h, err := readBytes(file)
		runtime.ReadMemStats(&after)
		// The shortest entry, {"":{}}, has a map of its own.
		if n, limit := after.TotalAlloc-before.TotalAlloc, uint64(200*len(file)+1<<20); n > limit {
			t.Errorf("allocated %d bytes for a file of %d; expected at most %d", n, len(file), limit)
		}
		if err != nil {
			if h != nil {
				t.Errorf("both a header and the error %v", err)
			}
			return
		}
		if !json.Valid(file[lengthSize:h.DataStart]) {
			t.Error("accepted what is no JSON")
		}
		data := file[h.DataStart:]
		again, err := readBytes(append(encodeHeader(h.Tensors, h.DataStart, h.Metadata), data...))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		for i := range again.Tensors {
			again.Tensors[i].Offset += h.DataStart - again.DataStart
		}
		again.DataStart = h.DataStart
		if !reflect.DeepEqual(again, h) {
			t.Errorf("written again: %+v\nwant %+v", again, h)
		}
		engine, err := readBytes(append(h.EngineHeader(), data...))
		if err != nil || len(engine.Tensors) != len(h.Tensors) {
			t.Errorf("engine header: %+v, %v", engine, err)
		}
	})
}
