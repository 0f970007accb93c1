package tensor

import (
	"slices"
	"sync/atomic"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Tracing reports whether the caller runs inside a function that is traced for
// Compile or VJP, where nothing can be evaluated.
func Tracing() bool { return mlxc.Tracing() }

// EvalAhead is Eval for functions that build graphs and have a reason to evaluate
// some of it ahead of the rest.
//
// After an error the tensors can be used all the same: they, and what is computed
// from them, fail by that error when they are evaluated next, so that a function can
// go on and leave the error to its results. A *MemoryError changes nothing.
//
// When it returns, the engine has released what it computed on the way. After Eval, a
// GPU's memory is freed some time later.
func EvalAhead(ts ...*Tensor) error {
	if Tracing() {
		return errors.New("tensor.EvalAhead: inside a function that is traced for VJP or Compile nothing can be evaluated")
	}
	lazy := slices.DeleteFunc(slices.Clone(ts), func(t *Tensor) bool { return mlxc.Evaluated(t.handle("EvalAhead")) })
	if len(lazy) == 0 {
		return nil
	}
	s := NewScope() // of handles for Eval to mark
	defer s.Close()
	handles := make([]*Tensor, len(lazy))
	for i, t := range lazy {
		handles[i] = s.Use(t)
	}
	evaluationsAhead.Add(1)
	if err := Eval(handles...); err != nil {
		var limit *MemoryError
		if !errors.As(err, &limit) {
			failLater(err, lazy)
		}
		return err
	}
	if DefaultDevice() == GPU {
		return errors.Wrap(mlxc.Synchronize(mlxc.GPU), "tensor.EvalAhead")
	}
	return nil
}

var evaluationsAhead atomic.Int64

// EvaluationsAhead counts how often EvalAhead had something to evaluate in this
// process. Who reads it twice learns whether that happened in between: what waits to
// be computed may hold on to what was evaluated.
func EvaluationsAhead() int64 { return evaluationsAhead.Load() }

// failLater makes the next evaluation of tensors fail with err. To the engine they
// are done, and hold garbage.
func failLater(err error, ts []*Tensor) {
	s := NewScope()
	defer s.Close()
	for _, t := range ts {
		m, madeErr := mlxc.Failing(err.Error()) // one each: it fails once
		if madeErr != nil {
			raise("EvalAhead", madeErr, t)
		}
		bad := BroadcastTo(AsType(wrap(s, &m), t.dtype), t.shape...)
		if err := mlxc.Replace(t.h, bad.h); err != nil {
			raise("EvalAhead", err, t)
		}
	}
}
