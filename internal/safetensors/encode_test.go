package safetensors

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func TestEngineHeader(t *testing.T) {
	h, err := readBytes(image(`{"__metadata__":{"a":"%n"},"%s":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},`+
		`"b\"":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"z":{"dtype":"BOOL","shape":[0,3],"data_offsets":[16,16]}}`, 16))
	if err != nil {
		t.Fatal(err)
	}
	got := h.EngineHeader()
	const want = `{"t0":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},` +
		`"t1":{"dtype":"I64","shape":[],"data_offsets":[0,8]},` +
		`"t2":{"dtype":"BOOL","shape":[0,3],"data_offsets":[16,16]}}`
	if text := string(got[lengthSize:]); text != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
	if n := binary.LittleEndian.Uint64(got); n != uint64(len(want)) || len(got)%8 != 0 {
		t.Errorf("the length says %d for %d bytes", n, len(got)-lengthSize)
	}
	if h.Tensors[1].Dtype != "F64" || h.Tensors[1].Name != `b"` {
		t.Errorf("EngineHeader changed its header: %+v", h.Tensors[1])
	}
}

func TestEngineHeaderOfMany(t *testing.T) {
	const n = 12
	header := "{"
	for i := range n {
		header += fmt.Sprintf(`"%02d":{"dtype":"F64","shape":[%d],"data_offsets":[%d,%d]},`, n-i, i, 4*i*(i-1), 4*i*(i+1))
	}
	h, err := readBytes(image(header[:len(header)-1]+"}", 4*n*(n-1)))
	if err != nil {
		t.Fatal(err)
	}
	prefix := h.EngineHeader()
	engine, err := readBytes(append(prefix, make([]byte, 4*n*(n-1))...))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range h.Tensors {
		got, ok := engine.Lookup(fmt.Sprintf("t%d", i))
		if !ok || got.Dtype != "I64" || got.Size != want.Size || got.Offset-int64(len(prefix)) != want.Offset-h.DataStart {
			t.Errorf("t%d is %+v; want the data of %+v", i, got, want)
		}
	}
}

func TestEngineHeaderEmpty(t *testing.T) {
	if got := string((&Header{}).EngineHeader()); got != "\x08\x00\x00\x00\x00\x00\x00\x00{}      " {
		t.Errorf("got %q", got)
	}
}
