package tensor

import (
	"runtime"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Eval computes tensors and waits for them. Values that other tensors share
// are computed once. After an error the tensors can't be used any more.
func Eval(ts ...*Tensor) error { return eval("Eval", ts, false) }

// AsyncEval starts to compute tensors and returns; errors may come later, from
// what waits for them.
func AsyncEval(ts ...*Tensor) error { return eval("AsyncEval", ts, true) }

// Synchronize waits until all that was started is done.
func Synchronize() error {
	return errors.Wrap(mlxc.Synchronize(mlxc.Device(DefaultDevice())), "tensor.Synchronize")
}

func eval(op string, ts []*Tensor, async bool) error {
	list := make([]mlxc.Array, 0, len(ts))
	for i, t := range ts {
		switch {
		case t == nil:
			return errors.Errorf("tensor.%s: tensor %d is nil", op, i)
		case t.Closed():
			return errors.WithStack(t.closedError(op))
		}
		if f := t.failed.Load(); f != nil {
			return errors.Wrapf(f.err, "tensor.%s: an evaluation failed before", op)
		}
		list = append(list, t.h)
	}
	if len(list) == 0 {
		return nil
	}
	if mlxc.Tracing() {
		return errors.Errorf("tensor.%s: inside a function that is traced for VJP or Compile nothing can be evaluated", op)
	}
	relievePressure()
	err := withinLimit(ts)
	if err == nil {
		err = mlxc.Eval(list, async)
		if err == nil && !async {
			err = peakWithinLimit()
		} else if err != nil {
			// The engine calls arrays of a failed evaluation done: what they
			// hold is garbage.
			for _, t := range ts {
				t.failed.Store(&evalFailure{err})
			}
		}
	}
	runtime.KeepAlive(ts)
	return errors.Wrap(err, "tensor."+op)
}
