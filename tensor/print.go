package tensor

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	printEdge  = 3 // elements shown at each end of a long axis
	printWhole = 8 // an axis up to this length is shown whole
)

// String evaluates the tensor and shows shape, dtype and shortened values.
func (t *Tensor) String() string {
	if t == nil {
		return "tensor <nil>"
	}
	head := fmt.Sprintf("tensor %v %s", t.shape, t.dtype)
	if t.Closed() {
		return head + " (closed)"
	}
	values, err := t.printable()
	if err != nil {
		return head + " (" + err.Error() + ")"
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteByte('\n')
	printAxis(&b, values, t.shape, 0)
	return b.String()
}

// printable reads the elements as texts.
func (t *Tensor) printable() ([]string, error) {
	switch {
	case t.dtype == Bool:
		return texts(t, func(v bool) string { return strconv.FormatBool(v) })
	case t.dtype == Uint64:
		return texts(t, func(v uint64) string { return strconv.FormatUint(v, 10) })
	}
	s := NewScope()
	defer s.Close()
	switch {
	case t.dtype == Float64:
		return texts(t, func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) })
	case t.dtype.IsFloat():
		return texts(AsType(s.Use(t), Float32), func(v float32) string { return strconv.FormatFloat(float64(v), 'g', 5, 32) })
	default:
		return texts(AsType(s.Use(t), Int64), func(v int64) string { return strconv.FormatInt(v, 10) })
	}
}

func texts[T Element](t *Tensor, format func(T) string) ([]string, error) {
	data, err := Data[T](t)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(data))
	for i, v := range data {
		out[i] = format(v)
	}
	return out, nil
}

// printAxis writes the part of values that belongs to shape, in brackets.
func printAxis(b *strings.Builder, values []string, shape []int, indent int) {
	if len(shape) == 0 {
		b.WriteString(values[0])
		return
	}
	step := product(shape[1:])
	n, edge := shape[0], printEdge
	if n <= printWhole {
		edge = n
	}
	separator := " "
	if len(shape) > 1 {
		separator = "\n" + strings.Repeat(" ", indent+1)
	}
	b.WriteByte('[')
	for i := 0; i < n; i++ {
		if i > 0 {
			b.WriteString(separator)
		}
		if i == edge && n > 2*edge {
			b.WriteString("…")
			i = n - edge - 1
			continue
		}
		printAxis(b, values[i*step:(i+1)*step], shape[1:], indent+1)
	}
	b.WriteByte(']')
}
