package main

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/pkg/errors"
)

// metadata reads a file's metadata. The first thing that is wrong stays in err;
// from then on the values returned mean nothing.
type metadata struct {
	values map[string]string
	err    error
}

// parse hands the value of a key to f, which reports whether it understands it.
func (m *metadata) parse(key, want string, f func(value string) bool) {
	value, ok := m.values[key]
	switch {
	case m.err != nil:
	case !ok:
		m.err = errors.Errorf("metadata %s is missing", key)
	case !f(value):
		m.err = errors.Errorf("metadata %s is %.60q, want %s", key, value, want)
	}
}

// count reads a length of an axis.
func (m *metadata) count(key string) (n int) {
	m.parse(key, "a whole number from 1 to 2147483647", func(value string) bool {
		var err error
		n, err = strconv.Atoi(value)
		return err == nil && n >= 1 && n <= math.MaxInt32
	})
	return n
}

func (m *metadata) number(key string) (x float64) {
	m.parse(key, "a finite number", func(value string) bool {
		var err error
		x, err = strconv.ParseFloat(value, 64)
		return err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
	})
	return x
}

func (m *metadata) flag(key string) (set bool) {
	m.parse(key, "0 or 1", func(value string) bool {
		set = value == "1"
		return set || value == "0"
	})
	return set
}

// list reads a JSON list of whole numbers; an empty one is nil.
func (m *metadata) list(key string) (list []int) {
	m.parse(key, "a JSON list of whole numbers", func(value string) bool {
		err := json.Unmarshal([]byte(value), &list)
		return err == nil && list != nil
	})
	if len(list) == 0 {
		return nil
	}
	return list
}
