package tensor

import (
	"reflect"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/mat"
)

// FromMat copies a gonum matrix into a float64 tensor of two axes.
func FromMat(m mat.Matrix) *Tensor {
	if v := reflect.ValueOf(m); m == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		panic(NewError("tensor.FromMat", nil, "the matrix is nil"))
	}
	rows, cols := m.Dims()
	data := make([]float64, 0, rows*cols)
	for i := range rows {
		for j := range cols {
			data = append(data, m.At(i, j))
		}
	}
	return FromSlice(data, rows, cols)
}

// ToMat evaluates a tensor of two axes and copies it into a gonum matrix. A
// matrix of gonum has no axis of length 0.
func ToMat(t *Tensor) (*mat.Dense, error) {
	if t == nil {
		return nil, errors.New("tensor.ToMat: the tensor is nil")
	}
	if t.NDim() != 2 || t.Size() == 0 {
		return nil, errors.Errorf("tensor.ToMat: want two axes of length 1 or more, got shape %v", t.shape)
	}
	s := NewScope()
	defer s.Close()
	if t.Closed() {
		return nil, errors.WithStack(t.closedError("ToMat"))
	}
	if err := Eval(t); err != nil {
		return nil, err
	}
	data, err := Data[float64](AsType(s.Use(t), Float64))
	if err != nil {
		return nil, err
	}
	return mat.NewDense(t.shape[0], t.shape[1], data), nil
}
