package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pkg/errors"
)

// parseHeader parses the JSON of a header. Offsets count from the start of
// the data and are not compared with each other.
func parseHeader(text []byte) (*Header, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	p := parser{json.NewDecoder(bytes.NewReader(text))}
	p.dec.UseNumber()
	h := &Header{}
	err := p.object(func(key string) error {
		if key == metadataKey {
			metadata, err := p.metadata()
			h.Metadata = metadata
			return errors.WithMessage(err, metadataKey)
		}
		info, err := p.entry(key)
		h.Tensors = append(h.Tensors, info)
		return errors.WithMessagef(err, "tensor %s", quote(key))
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, errors.New("text after the JSON object; expected spaces only")
	}
	return h, nil
}

// parser walks through the tokens of a header. It does not use json.Unmarshal,
// which takes the last one of duplicate keys.
type parser struct {
	dec *json.Decoder
}

// next returns the next token, the end of the text being an error.
func (p parser) next() (json.Token, error) {
	t, err := p.dec.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return t, errors.Wrapf(err, "JSON at byte %d", p.dec.InputOffset())
}

// object parses an object and calls f to parse the value of each key.
func (p parser) object(f func(key string) error) error {
	t, err := p.next()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errors.Errorf("found %s; expected an object", describe(t))
	}
	return p.members(f)
}

// members is object for an object whose '{' has been read.
func (p parser) members(f func(key string) error) error {
	seen := make(map[string]bool)
	for {
		t, err := p.next()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return nil // '}': the decoder lets nothing else pass here
		}
		if seen[key] {
			return errors.Errorf("the key %s is there twice", quote(key))
		}
		seen[key] = true
		if err := f(key); err != nil {
			return err
		}
	}
}

// text parses a string.
func (p parser) text() (string, error) {
	t, err := p.next()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", errors.Errorf("found %s; expected a string", describe(t))
	}
	return s, nil
}

// integers parses an array of at most limit integers from 0 to 2^(bits-1)-1.
// The result is never nil.
func (p parser) integers(limit, bits int) ([]int64, error) {
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, errors.Errorf("found %s; expected an array of integers", describe(t))
	}
	list := []int64{}
	for {
		t, err := p.next()
		if err != nil {
			return nil, err
		}
		if t == json.Delim(']') {
			return list, nil
		}
		if len(list) == limit {
			return nil, errors.Errorf("more than %d numbers", limit)
		}
		number, ok := t.(json.Number)
		if !ok || strings.Trim(string(number), "0123456789") != "" {
			return nil, errors.Errorf("found %s; expected an integer >= 0 in plain digits", describe(t))
		}
		v, err := strconv.ParseInt(string(number), 10, bits)
		if err != nil {
			return nil, errors.Errorf("found %s; expected at most %d", describe(t), uint64(1)<<(bits-1)-1)
		}
		list = append(list, v)
	}
}

// metadata parses an object of strings, or null, which MLX writes for no
// metadata. The result is nil if there is no key.
func (p parser) metadata() (map[string]string, error) {
	t, err := p.next()
	if err != nil || t == nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.Errorf("found %s; expected an object of strings", describe(t))
	}
	var m map[string]string
	err = p.members(func(key string) error {
		value, err := p.text()
		if m == nil {
			m = make(map[string]string)
		}
		m[key] = value
		return errors.WithMessagef(err, "key %s", quote(key))
	})
	return m, err
}

// entry parses the object of one tensor and checks it by itself.
func (p parser) entry(name string) (Info, error) {
	if err := checkName(name); err != nil {
		return Info{}, err
	}
	info := Info{Name: name}
	var dims, offsets []int64
	err := p.object(func(key string) (err error) {
		switch key {
		case "dtype":
			info.Dtype, err = p.text()
		case "shape":
			dims, err = p.integers(maxRank, 32)
		case "data_offsets":
			offsets, err = p.integers(2, 64)
		default:
			return errors.Errorf("unknown field %s; expected dtype, shape and data_offsets", quote(key))
		}
		return errors.WithMessage(err, key)
	})
	switch {
	case err != nil:
		return Info{}, err
	case info.Dtype == "":
		return Info{}, errors.New("dtype is missing or empty")
	case dims == nil:
		return Info{}, errors.New("shape is missing")
	case offsets == nil:
		return Info{}, errors.New("data_offsets is missing")
	case len(offsets) != 2:
		return Info{}, errors.Errorf("data_offsets has %d numbers; expected 2", len(offsets))
	case offsets[0] > offsets[1]:
		return Info{}, errors.Errorf("data_offsets %v descend", offsets)
	}
	info.Offset, info.Size = offsets[0], offsets[1]-offsets[0]
	info.Shape = make([]int, len(dims))
	for i, d := range dims {
		info.Shape[i] = int(d)
	}
	size, err := byteSize(info.Dtype, info.Shape)
	if err != nil {
		return Info{}, err
	}
	if info.Size != size {
		return Info{}, errors.Errorf("data_offsets %v hold %d bytes; expected %d for %s of shape %v",
			offsets, info.Size, size, info.Dtype, info.Shape)
	}
	return info, nil
}

// checkName refuses what cannot be, or had better not be, a tensor's name.
func checkName(name string) error {
	switch {
	case name == metadataKey:
		return errors.Errorf("the name %s is reserved", metadataKey)
	case !utf8.ValidString(name):
		return errors.New("the name is not valid UTF-8")
	case strings.ContainsRune(name, 0):
		// C strings end there, so that two names could become one.
		return errors.New("the name contains a NUL character")
	}
	return nil
}

// checkText refuses what package json would replace by U+FFFD instead:
// invalid UTF-8, and escapes of halves of surrogate pairs.
func checkText(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("the text is not valid UTF-8")
	}
	// In valid JSON a backslash is always part of a string.
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if r := escaped(text[i:]); utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, escaped(text[i+6:])) == utf8.RuneError {
				return errors.Errorf("JSON at byte %d: %s is half of a surrogate pair", i, text[i:i+6])
			}
			i += 6
		}
		i++
	}
	return nil
}

// escaped returns the code unit of the \uXXXX that text starts with, or -1.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	v, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(v)
}

// describe names a token in an error.
func describe(t json.Token) string {
	switch t := t.(type) {
	case nil:
		return "null"
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "an array"
	case json.Number:
		return abridge(string(t))
	case string:
		return quote(t)
	default:
		return fmt.Sprint(t)
	}
}

// quote quotes a string of unknown length and content for an error.
func quote(s string) string {
	return strconv.Quote(abridge(s))
}

// abridge cuts a string of unknown length.
func abridge(s string) string {
	const limit = 100
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}
