package tensor

import (
	"runtime"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// OnHost evaluates tensors and calls f at once with the bytes of their elements, in
// row-major order, and with those of new tensors of zeros for it to write; f must not
// keep them. nil among the inputs stays nil. It returns the new tensors, which
// belong to the scope of the inputs. It is for the CPU, and not for functions that are
// traced for VJP or Compile: see CanAside.
func OnHost(f func(in, out [][]byte) error, inputs []*Tensor, outputs []KernelOutput) ([]*Tensor, error) {
	if DefaultDevice() != CPU {
		return nil, errors.New("tensor.OnHost: the default device is not the CPU")
	}
	s := NewScope()
	defer s.Close()
	list := make([]*Tensor, 0, len(inputs)+len(outputs))
	places := make([]int, len(inputs)) // in list; -1 for nil
	for i, x := range inputs {
		places[i] = -1
		if x != nil {
			places[i] = len(list)
			list = append(list, Contiguous(s.Use(x)))
		}
	}
	given := len(list)
	for _, o := range outputs {
		x := Zeros(o.Dtype, o.Shape...) // in one place, repeated
		s.Adopt(x)
		list = append(list, Contiguous(x))
	}
	if err := Eval(list...); err != nil {
		return nil, err
	}
	data := make([][]byte, len(list))
	for i, x := range list {
		if x.Size() > 0 && !mlxc.Bytes(x.h, func(b []byte) { data[i] = b }) {
			return nil, errors.Errorf("tensor.OnHost: the elements of a %s tensor of shape %v can't be reached", x.dtype, x.shape)
		}
	}
	in := make([][]byte, len(inputs))
	for i, place := range places {
		if place >= 0 {
			in[i] = data[place]
		}
	}
	if err := f(in, data[given:]); err != nil {
		return nil, errors.WithMessage(err, "tensor.OnHost")
	}
	runtime.KeepAlive(list)
	out, to := list[given:], scopeOf(inputs...)
	for _, x := range out {
		x.moveTo(to)
	}
	return out, nil
}
