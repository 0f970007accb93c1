package safetensors

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/pkg/errors"
)

// image returns the bytes of a file with the given header text and data size.
func image(header string, dataSize int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, dataSize)...)
}

func readBytes(b []byte) (*Header, error) {
	return ReadHeader(bytes.NewReader(b), int64(len(b)))
}

// entryText is the JSON of a header with one tensor, from the entry's fields.
func entryText(fields string) string {
	return `{"w":{` + fields + `}}`
}

// hostile are headers, each with one fault, and words of the error. They are
// also seeds of the fuzz test.
var hostile = []struct {
	name   string
	header string
	data   int
	want   []string
}{
	{"not an object", `["w"]     `, 0, []string{`starts with '['`, `expected '{'`}},
	{"leading space", ` {}`, 0, []string{`starts with ' '`}},
	{"byte order mark", "\ufeff{}", 0, []string{`expected '{'`}},
	{"ends early", `{"w":{"dtype":"F32"`, 0, []string{`tensor "w"`, "unexpected EOF"}},
	{"not closed", `{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, 0, []string{"unexpected EOF"}},
	{"string not closed", `{"w`, 0, []string{"unexpected EOF"}},
	{"missing colon", `{"w" {}}`, 0, []string{"invalid character '{'"}},
	{"missing comma", `{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"b":{}}`, 0, []string{"invalid character"}},
	{"comma at the end", `{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},}`, 0, []string{"invalid character '}'"}},
	{"comma at the end of a shape", entryText(`"dtype":"U8","shape":[0,],"data_offsets":[0,0]`), 0, []string{"invalid character ']'"}},
	{"wrong bracket", entryText(`"dtype":"U8","shape":[0},"data_offsets":[0,0]`), 0, []string{"invalid character '}'"}},
	{"key is a number", `{1:{}}`, 0, []string{"invalid character '1'"}},
	{"text after", `{}x`, 0, []string{"text after the JSON object"}},
	{"object after", `{}{}`, 0, []string{"text after the JSON object"}},
	{"NUL padding", "{}\x00\x00", 0, []string{"text after the JSON object"}},
	{"comment", `{/**/}`, 0, []string{"invalid character '/'"}},
	{"control character", "{\"a\nb\":{}}", 0, []string{`invalid character '\n'`}},
	{"invalid UTF-8", "{\"\xff\":{}}", 0, []string{"not valid UTF-8"}},
	{"overlong UTF-8", "{\"\xc0\xaf\":{}}", 0, []string{"not valid UTF-8"}},
	{"high surrogate", `{"\ud83d":{}}`, 0, []string{`\ud83d is half of a surrogate pair`}},
	{"low surrogate", `{"a\\\uDE00":{}}`, 0, []string{`\uDE00 is half of a surrogate pair`}},
	{"surrogate and letter", `{"\ud83d\u0041":{}}`, 0, []string{"half of a surrogate pair"}},
	{"surrogate cut off", `{"\ud83d\ude`, 0, []string{"half of a surrogate pair"}},
	{"escape cut off", `{"\u00`, 0, []string{"unexpected EOF"}},
	{"wrong escape", `{"\u00zz":1}`, 0, []string{"invalid character 'z'"}},
	{"arrays in arrays", `{"w":` + strings.Repeat("[", 100_000), 0, []string{`tensor "w"`, "found an array; expected an object"}},
	{"objects in objects", strings.Repeat(`{"w":`, 100_000), 0, []string{`tensor "w"`, `unknown field "w"`}},

	{"entry is null", `{"w":null}`, 0, []string{`tensor "w"`, "found null; expected an object"}},
	{"entry is an array", `{"w":[]}`, 0, []string{"found an array; expected an object"}},
	{"entry is a string", `{"w":"%s%n"}`, 0, []string{`found "%s%n"; expected an object`}},
	{"entry is a number", `{"w":12}`, 0, []string{"found 12; expected an object"}},
	{"entry is a truth value", `{"w":true}`, 0, []string{"found true; expected an object"}},
	{"no fields", `{"w":{}}`, 0, []string{`tensor "w"`, "dtype is missing"}},
	{"no dtype", entryText(`"shape":[0],"data_offsets":[0,0]`), 0, []string{`tensor "w"`, "dtype is missing"}},
	{"no shape", entryText(`"dtype":"U8","data_offsets":[0,0]`), 0, []string{`tensor "w"`, "shape is missing"}},
	{"no offsets", entryText(`"dtype":"U8","shape":[0]`), 0, []string{`tensor "w"`, "data_offsets is missing"}},
	{"unknown field", entryText(`"dtype":"U8","shape":[0],"data_offsets":[0,0],"strides":[1]`), 0, []string{`unknown field "strides"`}},
	{"field in capitals", entryText(`"Dtype":"U8","shape":[0],"data_offsets":[0,0]`), 0, []string{`unknown field "Dtype"`}},
	{"field twice", entryText(`"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]`), 0, []string{`"dtype" is there twice`}},
	{"field twice by escape", entryText(`"shape":[0],"sh\u0061pe":[0],"dtype":"U8","data_offsets":[0,0]`), 0, []string{`"shape" is there twice`}},
	{"tensor twice", `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1,
		[]string{`"w" is there twice`}},
	{"tensor twice by escape", `{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0077":{}}`, 0, []string{`"w" is there twice`}},
	{"NUL in a name", `{"a\u0000b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0, []string{`"a\x00b"`, "NUL"}},

	{"dtype is a number", entryText(`"dtype":1,"shape":[0],"data_offsets":[0,0]`), 0, []string{"dtype: found 1; expected a string"}},
	{"dtype is null", entryText(`"dtype":null,"shape":[0],"data_offsets":[0,0]`), 0, []string{"dtype: found null; expected a string"}},
	{"empty dtype", entryText(`"dtype":"","shape":[0],"data_offsets":[0,0]`), 0, []string{"dtype is missing or empty"}},
	{"unknown dtype", entryText(`"dtype":"%n","shape":[0],"data_offsets":[0,0]`), 0, []string{`tensor "w"`, `unknown dtype "%n"`, "BF16"}},
	{"dtype in small letters", entryText(`"dtype":"f32","shape":[0],"data_offsets":[0,0]`), 0, []string{`unknown dtype "f32"`, "F32"}},
	{"F8_E4M3", entryText(`"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]`), 1, []string{"F8_E4M3 (8-bit floats) is not supported"}},
	{"F6_E2M3", entryText(`"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]`), 3, []string{"F6_E2M3 (6-bit floats) is not supported"}},
	{"F4", entryText(`"dtype":"F4","shape":[2],"data_offsets":[0,1]`), 1, []string{"F4 (4-bit floats) is not supported"}},
	{"C64", entryText(`"dtype":"C64","shape":[1],"data_offsets":[0,8]`), 8, []string{"C64 (complex numbers) is not supported"}},

	{"shape is a number", entryText(`"dtype":"U8","shape":1,"data_offsets":[0,1]`), 1, []string{"shape: found 1; expected an array"}},
	{"shape is null", entryText(`"dtype":"U8","shape":null,"data_offsets":[0,1]`), 1, []string{"shape: found null; expected an array"}},
	{"shape is an object", entryText(`"dtype":"U8","shape":{},"data_offsets":[0,1]`), 1, []string{"shape: found an object; expected an array"}},
	{"dim is a string", entryText(`"dtype":"U8","shape":["1"],"data_offsets":[0,1]`), 1, []string{`found "1"; expected an integer`}},
	{"dim is null", entryText(`"dtype":"U8","shape":[null],"data_offsets":[0,1]`), 1, []string{"found null; expected an integer"}},
	{"dim is an array", entryText(`"dtype":"U8","shape":[[1]],"data_offsets":[0,1]`), 1, []string{"found an array; expected an integer"}},
	{"negative dim", entryText(`"dtype":"U8","shape":[-1],"data_offsets":[0,1]`), 1, []string{"shape: found -1; expected an integer >= 0"}},
	{"negative dims with a positive product", entryText(`"dtype":"U8","shape":[-2,-3],"data_offsets":[0,6]`), 6, []string{"found -2"}},
	{"negative zero", entryText(`"dtype":"U8","shape":[-0],"data_offsets":[0,0]`), 0, []string{"found -0"}},
	{"fractional dim", entryText(`"dtype":"U8","shape":[1.5],"data_offsets":[0,1]`), 1, []string{"found 1.5"}},
	{"whole fractional dim", entryText(`"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`), 1, []string{"found 1.0"}},
	{"exponent", entryText(`"dtype":"U8","shape":[1e0],"data_offsets":[0,1]`), 1, []string{"found 1e0"}},
	{"leading zero", entryText(`"dtype":"U8","shape":[01],"data_offsets":[0,1]`), 1, []string{"invalid character '1'"}},
	{"hexadecimal dim", entryText(`"dtype":"U8","shape":[0x1],"data_offsets":[0,1]`), 1, []string{"invalid character 'x'"}},
	{"dim of 2^31", entryText(`"dtype":"U8","shape":[2147483648,0],"data_offsets":[0,0]`), 0, []string{"found 2147483648; expected at most 2147483647"}},
	{"dim of 2^32+1", entryText(`"dtype":"U8","shape":[4294967297],"data_offsets":[0,1]`), 1, []string{"found 4294967297; expected at most"}},
	{"dim of 2^64+1", entryText(`"dtype":"U8","shape":[18446744073709551617],"data_offsets":[0,1]`), 1, []string{"found 18446744073709551617"}},
	{"dim of a thousand digits", entryText(`"dtype":"U8","shape":[` + strings.Repeat("9", 1000) + `],"data_offsets":[0,1]`), 1, []string{"999..."}},
	{"too many dims", entryText(`"dtype":"U8","shape":[1` + strings.Repeat(",1", 64) + `],"data_offsets":[0,1]`), 1, []string{"shape: more than 64 numbers"}},
	// 2^16 four times is 2^64, which is 0 in 64 bits.
	{"product wraps to 0", entryText(`"dtype":"U8","shape":[65536,65536,65536,65536],"data_offsets":[0,0]`), 0, []string{"more than 9223372036854775807 bytes"}},
	{"product wraps below 0", entryText(`"dtype":"F64","shape":[2147483647,2147483647],"data_offsets":[0,0]`), 0, []string{"more than 9223372036854775807 bytes"}},
	{"product wraps beside 0", entryText(`"dtype":"U8","shape":[0,2147483647,2147483647,2147483647],"data_offsets":[0,0]`), 0, []string{"more than 9223372036854775807 bytes"}},

	{"offsets are a string", entryText(`"dtype":"U8","shape":[1],"data_offsets":"01"`), 1, []string{"data_offsets: found"}},
	{"no offset", entryText(`"dtype":"U8","shape":[1],"data_offsets":[]`), 1, []string{"data_offsets has 0 numbers; expected 2"}},
	{"one offset", entryText(`"dtype":"U8","shape":[1],"data_offsets":[1]`), 1, []string{"data_offsets has 1 numbers; expected 2"}},
	{"three offsets", entryText(`"dtype":"U8","shape":[1],"data_offsets":[0,1,1]`), 1, []string{"data_offsets: more than 2 numbers"}},
	{"negative offset", entryText(`"dtype":"U8","shape":[1],"data_offsets":[-1,0]`), 1, []string{"data_offsets: found -1"}},
	{"fractional offset", entryText(`"dtype":"U8","shape":[1],"data_offsets":[0,1.0]`), 1, []string{"data_offsets: found 1.0"}},
	{"descending offsets", entryText(`"dtype":"U8","shape":[1],"data_offsets":[1,0]`), 1, []string{"data_offsets [1 0] descend"}},
	{"offset of 2^63", entryText(`"dtype":"U8","shape":[1],"data_offsets":[9223372036854775807,9223372036854775808]`), 1, []string{"found 9223372036854775808"}},
	{"offset wraps 2^64", entryText(`"dtype":"U8","shape":[8],"data_offsets":[18446744073709551608,18446744073709551616]`), 8, []string{"found 18446744073709551608"}},
	{"offsets at the end of int64", entryText(`"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]`), 1, []string{"a gap"}},
	{"too few bytes", entryText(`"dtype":"F32","shape":[2,3],"data_offsets":[0,20]`), 20, []string{`tensor "w"`, "hold 20 bytes; expected 24 for F32 of shape [2 3]"}},
	{"too many bytes", entryText(`"dtype":"F32","shape":[2,3],"data_offsets":[0,25]`), 25, []string{"hold 25 bytes; expected 24"}},
	{"scalar without bytes", entryText(`"dtype":"F32","shape":[],"data_offsets":[0,0]`), 0, []string{"hold 0 bytes; expected 4 for F32 of shape []"}},
	{"empty with bytes", entryText(`"dtype":"F32","shape":[3,0],"data_offsets":[0,4]`), 4, []string{"hold 4 bytes; expected 0"}},

	{"gap at the start", entryText(`"dtype":"U8","shape":[4],"data_offsets":[4,8]`), 8, []string{`tensor "w"`, "start at 4; expected 0", "a gap"}},
	{"gap inside", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}`, 5,
		[]string{`tensor "b"`, "start at 3; expected 2", `the end of tensor "a"`, "a gap"}},
	{"overlap", `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6,
		[]string{`tensor "b"`, "start at 2; expected 4", "an overlap"}},
	{"same bytes", `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}`, 4,
		[]string{`tensor "b"`, "an overlap"}},
	{"tensor inside another", `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 4,
		[]string{`tensor "b"`, "an overlap"}},
	{"empty tensor inside another", `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}`, 4,
		[]string{`tensor "b"`, "an overlap"}},
	{"empty tensor beyond the end", entryText(`"dtype":"U8","shape":[0],"data_offsets":[9,9]`), 0, []string{"a gap"}},
	{"truncated data", entryText(`"dtype":"U8","shape":[8],"data_offsets":[0,8]`), 7, []string{"7 bytes of tensor data; expected 8", "truncated"}},
	{"no data", entryText(`"dtype":"U8","shape":[8],"data_offsets":[0,8]`), 0, []string{"0 bytes of tensor data; expected 8"}},
	{"trailing data", entryText(`"dtype":"U8","shape":[8],"data_offsets":[0,8]`), 9, []string{"9 bytes of tensor data; expected 8", "no tensor covers"}},
	{"data of no tensor", `{}`, 1, []string{"1 bytes of tensor data; expected 0"}},

	{"metadata is a string", `{"__metadata__":"x"}`, 0, []string{"__metadata__", `found "x"; expected an object of strings`}},
	{"metadata is an array", `{"__metadata__":[]}`, 0, []string{"__metadata__", "found an array"}},
	{"metadata value is a number", `{"__metadata__":{"step":5}}`, 0, []string{"__metadata__", `key "step"`, "found 5; expected a string"}},
	{"metadata value is null", `{"__metadata__":{"step":null}}`, 0, []string{`key "step"`, "found null; expected a string"}},
	{"metadata value is an object", `{"__metadata__":{"config":{}}}`, 0, []string{`key "config"`, "found an object; expected a string"}},
	{"metadata key twice", `{"__metadata__":{"a":"1","a":"2"}}`, 0, []string{"__metadata__", `"a" is there twice`}},
	{"metadata twice", `{"__metadata__":{},"__metadata__":{}}`, 0, []string{`"__metadata__" is there twice`}},
	{"tensor as metadata", `{"__metadata__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0, []string{`key "shape"`, "expected a string"}},
	{"long name", `{"` + strings.Repeat("x", 10_000) + `":1}`, 0, []string{`xxx..."`, "found 1"}},
}

func TestReadHeaderRefuses(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			h, err := readBytes(image(c.header, c.data))
			if err == nil {
				t.Fatalf("accepted: %+v", h)
			}
			checkError(t, err, append(c.want, "safetensors: ")...)
		})
	}
}

// checkError checks the words of an error, and that it is of readable size.
func checkError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", want)
	}
	text := err.Error()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("error %q lacks %q", text, w)
		}
	}
	if len(text) > 1000 {
		t.Errorf("the error has %d bytes", len(text))
	}
}

func TestReadHeaderRefusesLength(t *testing.T) {
	length := func(n uint64, rest string) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
	}
	for _, c := range []struct {
		name string
		file []byte
		size int64 // of the file, if not len(file)
		want string
	}{
		{"empty", nil, 0, "the file has 0 bytes; expected at least 10"},
		{"length cut off", []byte("1234567"), 0, "the file has 7 bytes"},
		{"length only", length(2, ""), 0, "the file has 8 bytes"},
		{"length 0", length(0, "{}"), 0, "unexpected EOF"},
		{"length 1", length(1, "{}"), 0, "unexpected EOF"},
		{"one byte too long", length(3, "{}"), 0, "the header length is 3 bytes, but only 2 follow"},
		{"as long as the file", length(10, "{}"), 0, "only 2 follow"},
		{"above the limit", length(maxHeader+1, "{}"), 1 << 40, "expected at most 100000000"},
		{"negative as int64", length(1<<63, "{}"), 0, "9223372036854775808 bytes; expected at most"},
		{"wraps past the length", length(math.MaxUint64-7, "{}"), 0, "18446744073709551608 bytes; expected at most"},
		{"other file type", []byte("PK\x03\x04 some other file"), 0, "expected at most"},
		{"text", []byte("{\"a\": 1, \"b\": 2}"), 0, "expected at most"},
		{"negative size", nil, -1, "the file has -1 bytes"},
		{"short reader", length(50, "{}"), 58, "header: read 2 of 50 bytes at offset 8: unexpected EOF"},
		{"shorter reader", []byte("12345"), 58, "header length: read 5 of 9 bytes at offset 0: unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := c.size
			if size == 0 {
				size = int64(len(c.file))
			}
			_, err := ReadHeader(bytes.NewReader(c.file), size)
			checkError(t, err, c.want)
		})
	}
}

func TestReadHeaderAccepts(t *testing.T) {
	const start = 1000 // stands for DataStart in want
	for _, c := range []struct {
		name   string
		header string
		data   int
		want   Header
	}{
		{"no tensors", `{}`, 0, Header{}},
		{"padding", `{}      `, 0, Header{}},
		{"other white space", "{\t\r\n}\n", 0, Header{}},
		{"metadata only", `{"__metadata__":{"a":"1","":""}}`, 0, Header{Metadata: map[string]string{"a": "1", "": ""}}},
		{"empty metadata", `{"__metadata__":{}}`, 0, Header{}},
		{"null metadata", `{"__metadata__":null}`, 0, Header{}},
		{"scalar", entryText(`"dtype":"F64","shape":[],"data_offsets":[0,8]`), 8,
			Header{Tensors: []Info{{"w", "F64", []int{}, start, 8}}}},
		{"fields in another order", entryText(`"data_offsets":[0,4],"shape":[2],"dtype":"BF16"`), 4,
			Header{Tensors: []Info{{"w", "BF16", []int{2}, start, 4}}}},
		{"sorted by name, not offset", `{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I16","shape":[1,2],"data_offsets":[1,5]}}`, 5,
			Header{Tensors: []Info{{"a", "I16", []int{1, 2}, start + 1, 4}, {"b", "U8", []int{1}, start, 1}}}},
		{"empty tensors", `{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"F32","shape":[0,2147483647],"data_offsets":[1,1]},` +
			`"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"d":{"dtype":"F32","shape":[0],"data_offsets":[1,1]}}`, 1,
			Header{Tensors: []Info{{"a", "F32", []int{0}, start, 0}, {"b", "U8", []int{1}, start, 1},
				{"c", "F32", []int{0, math.MaxInt32}, start + 1, 0}, {"d", "F32", []int{0}, start + 1, 0}}}},
		{"64 dims", entryText(`"dtype":"BOOL","shape":[1` + strings.Repeat(",1", 63) + `],"data_offsets":[0,1]`), 1,
			Header{Tensors: []Info{{"w", "BOOL", ones(64), start, 1}}}},
		{"odd names", `{"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"%s%n\"\\\u00e9😀":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},` +
			`"\ud83d\ude00\ufffd":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0,
			Header{Tensors: []Info{{"", "U8", []int{0}, start, 0}, {"%s%n\"\\é😀", "U8", []int{0}, start, 0}, {"😀\ufffd", "U8", []int{0}, start, 0}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readBytes(image(c.header, c.data))
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			want.DataStart = int64(8 + len(c.header))
			for i := range want.Tensors {
				want.Tensors[i].Offset += want.DataStart - start
			}
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got %+v\nwant %+v", *got, want)
			}
		})
	}
}

func ones(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = 1
	}
	return s
}

func TestReadHeaderDtypes(t *testing.T) {
	sizes := map[string]string{
		"BOOL": "3", "U8": "3", "I8": "3", "I16": "6", "U16": "6", "F16": "6", "BF16": "6",
		"I32": "12", "U32": "12", "F32": "12", "F64": "24", "I64": "24", "U64": "24",
	}
	for dtype, size := range sizes {
		t.Run(dtype, func(t *testing.T) {
			b := image(entryText(`"dtype":"`+dtype+`","shape":[3],"data_offsets":[0,`+size+`]`), 0)
			h, err := ReadHeader(bytes.NewReader(b), int64(len(b))+3*map[string]int64{"3": 1, "6": 2, "12": 4, "24": 8}[size])
			if err != nil {
				t.Fatal(err)
			}
			if h.Tensors[0].Dtype != dtype {
				t.Errorf("got %+v", h.Tensors[0])
			}
		})
	}
	if len(sizes) != len(dtypes) {
		t.Errorf("%d dtypes tested; the package has %d", len(sizes), len(dtypes))
	}
}

func TestReadHeaderKeepsReadErrors(t *testing.T) {
	fault := errors.New("disk on fire")
	_, err := ReadHeader(readerAt(func([]byte, int64) (int, error) { return 3, fault }), 100)
	checkError(t, err, "read 3 of 9 bytes at offset 0", "disk on fire")
	if !errors.Is(err, fault) {
		t.Errorf("the cause is lost: %+v", err)
	}
	// An io.ReaderAt may return io.EOF together with all bytes asked for.
	b := image(`{}`, 0)
	whole := readerAt(func(p []byte, off int64) (int, error) { return copy(p, b[off:]), io.EOF })
	if _, err := ReadHeader(whole, int64(len(b))); err != nil {
		t.Error(err)
	}
}

type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestLookup(t *testing.T) {
	h, err := readBytes(image(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if info, ok := h.Lookup(name); !ok || info.Name != name {
			t.Errorf("Lookup(%q) = %+v, %v", name, info, ok)
		}
	}
	for _, name := range []string{"", "A", "ab", "c"} {
		if info, ok := h.Lookup(name); ok {
			t.Errorf("Lookup(%q) = %+v", name, info)
		}
	}
}
