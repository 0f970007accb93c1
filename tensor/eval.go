package tensor

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"weak"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// Eval computes tensors and waits for them. Values that other tensors share
// are computed once. After an error the tensors can't be used any more.
func Eval(ts ...*Tensor) error { return eval("Eval", ts, false) }

// AsyncEval starts to compute tensors and returns; errors come later, to
// whoever reads or evaluates these tensors, and to Synchronize.
func AsyncEval(ts ...*Tensor) error { return eval("AsyncEval", ts, true) }

// Synchronize waits until all that was started is done.
func Synchronize() error {
	evaluation.Lock()
	defer evaluation.Unlock()
	return errors.Wrap(waitForStarted(), "tensor.Synchronize")
}

// evaluation makes a failed evaluation and the mark that it leaves on its
// tensors one step.
var evaluation struct {
	sync.Mutex
	started []weak.Pointer[Tensor] // by AsyncEval, and not yet waited for
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
		list = append(list, t.h)
	}
	if len(list) == 0 {
		return nil
	}
	if mlxc.Tracing() {
		return errors.Errorf("tensor.%s: inside a function that is traced for VJP or Compile nothing can be evaluated", op)
	}
	relievePressure()
	evaluation.Lock()
	defer evaluation.Unlock()
	if !async { // a failure belongs to those who started the work
		_ = waitForStarted()
	}
	for _, t := range ts {
		if f := t.failed.Load(); f != nil {
			return errors.Wrapf(f.err, "tensor.%s: an evaluation failed before", op)
		}
	}
	err := withinLimit(ts)
	if err == nil {
		err = mlxc.Eval(list, async)
		switch {
		case err != nil:
			err = errors.WithMessage(err, origin(ts))
			for _, t := range ts {
				t.fail(err)
			}
		case async:
			for _, t := range ts {
				evaluation.started = append(evaluation.started, weak.Make(t))
			}
		default:
			err = peakWithinLimit()
		}
	}
	runtime.KeepAlive(ts)
	return errors.Wrap(err, "tensor."+op)
}

// origin says what is evaluated, as far as its operation is known. The failure
// may be anywhere in the graph behind it: the engine doesn't tell.
func origin(ts []*Tensor) string {
	var b strings.Builder
	t := ts[0]
	if t.op != "" {
		fmt.Fprintf(&b, "the result of tensor.%s, ", t.op)
	}
	fmt.Fprintf(&b, "%s %v", t.dtype, t.shape)
	if len(ts) > 1 {
		fmt.Fprintf(&b, ", and %d more", len(ts)-1)
	}
	return b.String()
}

// waitForStarted waits for asynchronous evaluations.
func waitForStarted() error {
	if len(evaluation.started) == 0 {
		return nil
	}
	err := mlxc.Synchronize(mlxc.CPU)
	if DefaultDevice() == GPU {
		if gpuErr := mlxc.Synchronize(mlxc.GPU); err == nil {
			err = gpuErr
		}
	}
	for _, p := range evaluation.started {
		if t := p.Value(); t != nil && err != nil {
			t.fail(err)
		}
	}
	evaluation.started = nil
	return err
}

// fail marks a tensor whose evaluation failed: the engine calls its array done,
// but what that holds is garbage.
func (t *Tensor) fail(err error) { t.failed.Store(&evalFailure{err}) }
