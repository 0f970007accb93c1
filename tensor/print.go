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
	if err := Eval(t); err != nil {
		return head + " (" + err.Error() + ")"
	}
	s := NewScope()
	defer s.Close()
	shown := s.Use(t)
	cut := make([]bool, t.NDim())
	for axis, n := range t.shape {
		if cut[axis] = n > printWhole; cut[axis] {
			shown = Concat(axis, SliceAxis(shown, axis, 0, printEdge), SliceAxis(shown, axis, n-printEdge, n))
		}
	}
	values, err := shown.texts()
	if err != nil {
		return head + " (" + err.Error() + ")"
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteByte('\n')
	printAxis(&b, values, shown.shape, cut, 0)
	return b.String()
}

// texts reads the elements as texts.
func (t *Tensor) texts() ([]string, error) {
	switch {
	case t.dtype == Bool:
		return format(t, strconv.FormatBool)
	case t.dtype == Uint64:
		return format(t, func(v uint64) string { return strconv.FormatUint(v, 10) })
	case t.dtype == Float64:
		return format(t, func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) })
	case t.dtype.IsFloat():
		return format(t, func(v float32) string { return strconv.FormatFloat(float64(v), 'g', 5, 32) })
	default:
		return format(AsType(t, Int64), func(v int64) string { return strconv.FormatInt(v, 10) })
	}
}

func format[T Element](t *Tensor, text func(T) string) ([]string, error) {
	data, err := Data[T](t)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(data))
	for i, v := range data {
		out[i] = text(v)
	}
	return out, nil
}

// printAxis writes the values of shape, in brackets; an axis that was cut has
// a mark in its middle.
func printAxis(b *strings.Builder, values []string, shape []int, cut []bool, indent int) {
	if len(shape) == 0 {
		b.WriteString(values[0])
		return
	}
	step := product(shape[1:])
	separator := " "
	if len(shape) > 1 {
		separator = "\n" + strings.Repeat(" ", indent+1)
	}
	b.WriteByte('[')
	for i := range shape[0] {
		if i > 0 {
			b.WriteString(separator)
		}
		if cut[0] && i == printEdge {
			b.WriteString("…" + separator)
		}
		printAxis(b, values[i*step:(i+1)*step], shape[1:], cut[1:], indent+1)
	}
	b.WriteByte(']')
}
