package tensor

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// traced makes f callable from MLX: its arguments and all that it computes
// live in a scope of the call. Panics become errors.
func traced(f func([]*Tensor) []*Tensor) mlxc.Func {
	return func(in []mlxc.Made) (outs []mlxc.Array, err error) {
		s := NewScope()
		defer s.Close()
		args := make([]*Tensor, len(in))
		for i := range in {
			args[i] = wrap(s, &in[i])
		}
		returned := false
		defer func() {
			r := recover()
			switch e, ok := r.(error); {
			case ok:
				err = errors.WithStack(e)
			case r != nil:
				err = errors.New(fmt.Sprint(r))
			case !returned:
				// C frames wait below this goroutine, which nothing can save.
				panic("tensor: the function of VJP or Compile ended its goroutine (runtime.Goexit, or FailNow of a test)")
			}
		}()
		results := f(args)
		returned = true
		for _, t := range results {
			m, err := mlxc.Share(t.handle("traced function"))
			if err != nil {
				return outs, err
			}
			outs = append(outs, m.Array)
		}
		return outs, nil
	}
}

func wrapAll(list []mlxc.Made, s *Scope) []*Tensor {
	out := make([]*Tensor, len(list))
	for i := range list {
		out[i] = wrap(s, &list[i])
	}
	return out
}

// VJP returns f's outputs and, for cotangents of the outputs, the gradients of
// the primals, by MLX's own differentiation. It is an oracle to test gradients
// against; package autograd does not use it. f runs on a thread of the engine:
// it must not end its goroutine, as FailNow and Fatal of a test do.
func VJP(f func([]*Tensor) []*Tensor, primals, cotangents []*Tensor) (outs, grads []*Tensor, err error) {
	if len(primals) == 0 {
		return nil, nil, errors.New("tensor.VJP: want at least one primal")
	}
	if DefaultDevice() == GPU && deviceOfAll(primals...) != mlxc.GPU {
		return nil, nil, errors.New("tensor.VJP: MLX can't differentiate float64 while the default device is a GPU; call SetDevice(CPU) first")
	}
	counted := func(in []*Tensor) []*Tensor {
		outs := f(in)
		if len(outs) != len(cotangents) {
			panic(errors.Errorf("the function has %d outputs, but there are %d cotangents", len(outs), len(cotangents)))
		}
		return outs
	}
	o, g, err := mlxc.VJP(deviceOfAll(primals...), traced(counted), handles("VJP", primals), handles("VJP", cotangents))
	runtime.KeepAlive(primals)
	runtime.KeepAlive(cotangents)
	if err != nil {
		return nil, nil, errors.Wrap(err, "tensor.VJP")
	}
	s := scopeOf(append(append([]*Tensor{}, primals...), cotangents...)...)
	return wrapAll(o, s), wrapAll(g, s), nil
}

// Compiled is a function of tensors whose graph MLX builds once for each set of
// argument shapes and dtypes and then reuses; on GPUs it also fuses kernels.
type Compiled struct {
	f  func([]*Tensor) []*Tensor
	mu sync.Mutex
	c  map[mlxc.Device]*mlxc.Compiled
}

// Compile returns the compiled form of f. f must compute its results from its
// arguments alone; other tensors that it uses become constants. It is called
// once for each new set of shapes, on a thread of the engine: it must not
// evaluate anything, nor end its goroutine, as FailNow and Fatal of a test do.
func Compile(f func([]*Tensor) []*Tensor) *Compiled {
	return &Compiled{f: f, c: map[mlxc.Device]*mlxc.Compiled{}}
}

// Call runs the function.
func (c *Compiled) Call(in ...*Tensor) ([]*Tensor, error) {
	if mlxc.Tracing() { // becomes part of the trace
		return c.f(in), nil
	}
	device := deviceOfAll(in...)
	c.mu.Lock()
	if c.c == nil {
		c.mu.Unlock()
		return nil, errors.New("tensor.Compiled: called after Close")
	}
	fn := c.c[device]
	if fn == nil {
		var err error
		if fn, err = mlxc.Compile(traced(c.f), device); err != nil {
			c.mu.Unlock()
			return nil, errors.Wrap(err, "tensor.Compile")
		}
		c.c[device] = fn
	}
	c.mu.Unlock()
	made, err := fn.Call(handles("Compiled.Call", in))
	runtime.KeepAlive(in)
	if err != nil {
		return nil, errors.Wrap(err, "tensor.Compiled")
	}
	return wrapAll(made, scopeOf(in...)), nil
}

// Close releases what the engine keeps for the function.
func (c *Compiled) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fn := range c.c {
		fn.Free()
	}
	c.c = nil
}
