package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// EngineHeader returns the opening of a file, its length and its JSON, for a
// reader that does not check what it reads and knows no float64. The tensor
// Tensors[i] is named "t<i>", F64 is declared as I64, which has the same size,
// and there is no metadata. The data that follow are those of the original
// file from DataStart on, unchanged; the new header's length may differ from
// the old one's.
func (h *Header) EngineHeader() []byte {
	tensors := make([]Info, len(h.Tensors))
	for i, t := range h.Tensors {
		t.Name = "t" + strconv.Itoa(i)
		if t.Dtype == "F64" {
			t.Dtype = "I64"
		}
		tensors[i] = t
	}
	return encodeHeader(tensors, h.DataStart, nil)
}

// encodeHeader returns the header of the given tensors, in their order, with
// its length in front and padded to a multiple of 8 bytes. Offsets are counted
// from dataStart.
func encodeHeader(tensors []Info, dataStart int64, metadata map[string]string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // as the reference library
	put := func(v any) {
		_ = enc.Encode(v) // a string, a slice or a map of such cannot fail
		buf.Truncate(buf.Len() - len("\n"))
	}
	separator := ""
	key := func(k string) {
		buf.WriteString(separator)
		put(k)
		buf.WriteByte(':')
		separator = ","
	}

	buf.Write(make([]byte, lengthSize))
	buf.WriteByte('{')
	if len(metadata) > 0 {
		key(metadataKey)
		put(metadata)
	}
	for _, t := range tensors {
		key(t.Name)
		start := t.Offset - dataStart
		put(struct {
			Dtype       string   `json:"dtype"`
			Shape       []int    `json:"shape"`
			DataOffsets [2]int64 `json:"data_offsets"`
		}{t.Dtype, t.Shape, [2]int64{start, start + t.Size}})
	}
	buf.WriteByte('}')
	for buf.Len()%lengthSize != 0 {
		buf.WriteByte(' ')
	}
	text := buf.Bytes()
	binary.LittleEndian.PutUint64(text, uint64(len(text)-lengthSize))
	return text
}
