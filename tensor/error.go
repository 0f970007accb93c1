package tensor

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Error is the misuse of an operation. Operations panic with it.
type Error struct {
	Op     string  // the operation, such as "tensor.MatMul"
	Msg    string  // what was expected and what came
	Shapes [][]int // shapes of the operands
	Site   string  // file:line of the call
}

// Error returns a text such as
// "tensor.MatMul: inner dimensions differ: [2 64 32] x [2 33 16]".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	b.WriteString(e.Msg)
	for i, s := range e.Shapes {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString(" x ")
		}
		fmt.Fprint(&b, s)
	}
	return b.String()
}

// Format prints the call's place after the text for %+v.
func (e *Error) Format(f fmt.State, verb rune) {
	text := e.Error()
	if verb == 'v' && f.Flag('+') && e.Site != "" {
		text += "\n\tat " + e.Site
	}
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	fmt.Fprint(f, text)
}

// NewError makes the error of operation op, to panic with: its text is the
// formatted message followed by the operands' shapes, its site the nearest
// caller outside this module's libraries. Operands may be nil.
func NewError(op string, operands []*Tensor, format string, args ...any) *Error {
	e := &Error{Op: op, Msg: fmt.Sprintf(format, args...), Site: callSite()}
	for _, t := range operands {
		if t != nil {
			e.Shapes = append(e.Shapes, t.Shape())
		}
	}
	return e
}

// Try calls f and returns the *Error it panicked with, with a stack, or nil.
// Other panics pass through.
func Try(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = errors.WithStack(r)
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// libraries are the packages whose frames are not a user's call site.
var libraries = []string{"tensor.", "autograd.", "autograd/gradcheck.", "ops.", "ops/gateddelta.", "models/nn.", "models/qla.", "train.", "internal/"}

const module = "github.com/deltatape/deltatape/"

// callSite finds the innermost frame that belongs to a user of the module.
func callSite() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	first := ""
	for {
		frame, more := frames.Next()
		at := fmt.Sprintf("%s:%d", frame.File, frame.Line)
		if first == "" {
			first = at
		}
		if !strings.HasPrefix(frame.Function, "runtime.") && (!inLibrary(frame.Function) || strings.HasSuffix(frame.File, "_test.go")) {
			return at
		}
		if !more {
			return first
		}
	}
}

func inLibrary(function string) bool {
	rest, ok := strings.CutPrefix(function, module)
	if !ok {
		return false
	}
	for _, l := range libraries {
		if strings.HasPrefix(rest, l) {
			return true
		}
	}
	return false
}

// raise panics with the failure of an operation as MLX or the loader told it.
func raise(op string, err error, operands ...*Tensor) {
	panic(engineError(op, err, operands))
}

func engineError(op string, err error, operands []*Tensor) *Error {
	var unavailable *mlxc.UnavailableError
	if errors.As(err, &unavailable) {
		return NewError("tensor."+op, nil, "%s", err)
	}
	msg := err.Error()
	if rest, ok := strings.CutPrefix(msg, "["); ok { // MLX's own name of the operation
		if _, after, ok := strings.Cut(rest, "] "); ok {
			msg = after
		}
	}
	return NewError("tensor."+op, operands, "%s", strings.TrimSuffix(msg, "."))
}
