package tensor

import (
	stderrors "errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"
)

func TestErrorText(t *testing.T) {
	_, file, line, _ := runtime.Caller(0)
	err := Try(func() { MatMul(Ones(Float32, 2, 64, 32), Ones(Float32, 2, 33, 16)) })
	site := fmt.Sprintf("%s:%d", file, line+1)

	var e *Error
	if !errors.As(err, &e) || !stderrors.As(err, &e) {
		t.Fatalf("got %T", err)
	}
	const text = "tensor.MatMul: inner dimensions differ: [2 64 32] x [2 33 16]"
	if err.Error() != text || e.Error() != text || fmt.Sprint(e) != text || fmt.Sprintf("%v|%s", e, e) != text+"|"+text {
		t.Errorf("got %q", err)
	}
	if got := fmt.Sprintf("%q", e); got != `"`+text+`"` {
		t.Errorf("%%q gives %s", got)
	}
	if e.Op != "tensor.MatMul" || e.Msg != "inner dimensions differ" || len(e.Shapes) != 2 || !slices.Equal(e.Shapes[1], []int{2, 33, 16}) {
		t.Errorf("%#v", e)
	}
	if e.Site != site {
		t.Errorf("site %s, want %s", e.Site, site)
	}
	if got := fmt.Sprintf("%+v", e); got != text+"\n\tat "+site {
		t.Errorf("%%+v gives %q", got)
	}
	if stack := fmt.Sprintf("%+v", err); !strings.Contains(stack, "TestErrorText") || !strings.HasPrefix(stack, text) {
		t.Errorf("no stack in %q", stack)
	}

	plain := NewError("ops.Foo", nil, "want %d%%, got %s", 3, "%d%s%n")
	if got := plain.Error(); got != "ops.Foo: want 3%, got %d%s%n" {
		t.Errorf("got %q", got)
	}
	if got := NewError("ops.Foo", []*Tensor{nil, Scalar(1.0)}, "no").Error(); got != "ops.Foo: no: []" {
		t.Errorf("got %q", got)
	}
}

// Every kind of refusal names the line of the caller, also from deep inside
// the library.
func TestErrorSite(t *testing.T) {
	x := Ones(Float32, 2, 3)
	check := func(name string, f func()) {
		t.Helper()
		_, _, line, _ := runtime.Caller(1)
		var e *Error
		if errors.As(Try(f), &e); e == nil {
			t.Errorf("%s: no error", name)
		} else if want := fmt.Sprintf("error_test.go:%d", line); !strings.HasSuffix(e.Site, want) {
			t.Errorf("%s: site %s, want %s", name, e.Site, want)
		}
	}
	check("binary", func() { Add(x, Ones(Float32, 4)) })
	check("axis", func() { Sum(x, false, 5) })
	check("through Slice", func() { SliceAxis(x, 3, 0, 1) })
	check("through Reshape", func() { Flatten(nil) })
	check("through Full", func() { ZerosLike(nil) })
	check("by MLX", func() { Where(x, x, Ones(Float32, 5)) })
	check("scope", func() { NewScope().Use(nil) })
	check("generic", func() { FromSlice([]int8{1}, 2) })
}

func TestInLibrary(t *testing.T) {
	for function, want := range map[string]bool{
		module + "tensor.Add": true, module + "tensor.(*Scope).Use": true, module + "autograd.Apply": true, module + "ops.MatMul": true,
		module + "ops/gateddelta.Apply": true, module + "internal/mlxc.Add": true, module + "models/nn.(*Linear).Forward": true,
		module + "tensor_test.TestX": false, module + "models/qla.New": true, module + "train.Run": true, module + "examples/train.main": false,
		"main.main": false, "example.com/tensor.Add": false, "github.com/deltatape/deltatapes/tensor.Add": false,
	} {
		if got := inLibrary(function); got != want {
			t.Errorf("inLibrary(%q) = %v", function, got)
		}
	}
}

func TestTry(t *testing.T) {
	if err := Try(func() {}); err != nil {
		t.Errorf("no panic gives %v", err)
	}
	for _, v := range []any{"text", errors.New("an error"), 7, fmt.Errorf("wrapped: %w", &Error{})} {
		func() {
			defer func() {
				if got := recover(); got != v {
					t.Errorf("the panic %v became %v", v, got)
				}
			}()
			err := Try(func() { panic(v) })
			t.Errorf("the panic %v was turned into %v", v, err)
		}()
	}
	outer := Try(func() {
		if err := Try(func() { Add(nil, nil) }); err == nil {
			t.Error("no inner error")
		}
		Sum(Scalar(1.0), false, 1)
	})
	wantError(t, outer, "tensor.Sum: axis 1 is out of range")
}

// Errors of the engine lose the name of MLX's function and the place in mlx-c.
func TestEngineErrors(t *testing.T) {
	x := Ones(Float32, 2, 3)
	err := Try(func() { Where(x, x, Ones(Float32, 5)) })
	wantError(t, err, "tensor.Where: ", "[2 3] x [2 3] x [5]")
	if text := err.Error(); strings.Contains(text, ".cpp") || strings.Contains(text, " at ") || strings.HasPrefix(text, "tensor.Where: [") {
		t.Errorf("the error %q holds what is of no use", text)
	}
	wantPanic(t, func() { Neg(Scalar(true)) }, "tensor.Neg: Not supported for bool")
}

// No operation takes nil.
func TestNilOperands(t *testing.T) {
	one := Ones(Float32, 1, 1)
	index := Zeros(Int32, 1)
	list := map[string]func(x *Tensor){
		"Where": func(x *Tensor) { Where(one, x, one) }, "Clip": func(x *Tensor) { Clip(x, 0, 1) }, "AddMM": func(x *Tensor) { AddMM(one, one, x, 1, 1) },
		"TriInv": func(x *Tensor) { TriInv(x, true) }, "Softmax": func(x *Tensor) { Softmax(x, 0) }, "ArgMax": func(x *Tensor) { ArgMax(x, 0, false) },
		"ArgMin": func(x *Tensor) { ArgMin(x, 0, false) }, "Sort": func(x *Tensor) { Sort(x, 0) }, "ArgSort": func(x *Tensor) { ArgSort(x, 0) },
		"CumSum": func(x *Tensor) { CumSum(x, 0, false, false) }, "Reshape": func(x *Tensor) { Reshape(x, 1) }, "Flatten": func(x *Tensor) { Flatten(x) },
		"Transpose": func(x *Tensor) { Transpose(x) }, "SwapAxes": func(x *Tensor) { SwapAxes(x, 0, 1) }, "ExpandDims": func(x *Tensor) { ExpandDims(x, 0) },
		"Squeeze": func(x *Tensor) { Squeeze(x) }, "BroadcastTo": func(x *Tensor) { BroadcastTo(x, 1) }, "SumTo": func(x *Tensor) { SumTo(x, nil) },
		"Slice": func(x *Tensor) { Slice(x, nil, nil) }, "SliceAxis": func(x *Tensor) { SliceAxis(x, 0, 0, 1) },
		"SliceUpdate": func(x *Tensor) { SliceUpdate(one, x, []int{0, 0}, []int{1, 1}) }, "Concat": func(x *Tensor) { Concat(0, x) }, "Stack": func(x *Tensor) { Stack(0, x) },
		"SplitEqual": func(x *Tensor) { SplitEqual(x, 1, 0) }, "SplitAt": func(x *Tensor) { SplitAt(x, 0, 1) }, "Unstack": func(x *Tensor) { Unstack(x, 0) },
		"Pad": func(x *Tensor) { Pad(x, nil, 0) }, "Tril": func(x *Tensor) { Tril(x, 0) }, "Triu": func(x *Tensor) { Triu(x, 0) }, "Repeat": func(x *Tensor) { Repeat(x, 1, 0) },
		"Flip": func(x *Tensor) { Flip(x) }, "Contiguous": func(x *Tensor) { Contiguous(x) }, "AsType": func(x *Tensor) { AsType(x, Int8) },
		"Depends": func(x *Tensor) { Depends([]*Tensor{one}, []*Tensor{x}) }, "Take": func(x *Tensor) { Take(x, index, 0) }, "TakeAlong": func(x *Tensor) { TakeAlong(one, x, 0) },
		"ScatterAdd": func(x *Tensor) { ScatterAdd(one, index, x, 0) }, "Conv1D": func(x *Tensor) { Conv1D(x, one, 1, 0, 1, 1) },
		"Like": func(x *Tensor) { Like(x, 0) }, "FullLike": func(x *Tensor) { FullLike(x, 0) }, "Categorical": func(x *Tensor) { Categorical(Key(1), x) },
		"Split": func(x *Tensor) { Split(x, 1) }, "Scope.Use": func(x *Tensor) { NewScope().Use(x) }, "Scope.Keep": func(x *Tensor) { NewScope().Keep(x) }, "Dim": func(x *Tensor) { x.Dim(0) },
	}
	for _, c := range unaryCases {
		list[c.name] = func(x *Tensor) { c.f(x) }
	}
	for _, c := range binaryCases {
		list[c.name] = func(x *Tensor) { c.f(x, one); c.f(one, x) }
	}
	for _, c := range reduceCases {
		list[c.name] = func(x *Tensor) { c.f(x, false) }
	}
	s := NewScope()
	closed := s.Use(Ones(Float32, 1, 1))
	s.Close()
	for name, f := range list {
		wantPanic(t, func() { f(nil) }, "tensor.", ": an operand is nil")
		if name != "Dim" {
			wantPanic(t, func() { f(closed) }, "tensor.", ": a tensor is used after its scope was closed")
		}
		if t.Failed() {
			t.Fatalf("operation %s", name)
		}
	}
	if closed.Dim(0) != 1 || closed.Size() != 1 || !closed.Closed() {
		t.Error("a closed tensor forgets its shape")
	}
}
