package tensor

import (
	bits "encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestOnHost(t *testing.T) {
	if DefaultDevice() != CPU {
		if _, err := OnHost(nil, nil, nil); err == nil {
			t.Error("want an error where the CPU is not the default device")
		}
		return
	}
	s := NewScope()
	x := SwapAxes(s.Use(FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)), 0, 1)
	sums := func(in, out [][]byte) error {
		if in[1] != nil {
			t.Error("nil did not stay nil")
		}
		for i := 0; i < len(in[0]); i += 8 {
			a := math.Float32frombits(bits.NativeEndian.Uint32(in[0][i:]))
			b := math.Float32frombits(bits.NativeEndian.Uint32(in[0][i+4:]))
			bits.NativeEndian.PutUint32(out[0][i/2:], math.Float32bits(a+b))
		}
		return nil
	}
	outputs := []KernelOutput{{Dtype: Float32, Shape: []int{3}}, {Dtype: Int32, Shape: []int{1, 2}}, {Dtype: Float32, Shape: []int{0}}}
	out, err := OnHost(sums, []*Tensor{x, nil}, outputs)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Data[float32](out[0]); err != nil || !slices.Equal(got, []float32{5, 7, 9}) {
		t.Errorf("got %v, %v, want the sums of rows", got, err)
	}
	if got, err := Data[int32](out[1]); err != nil || !slices.Equal(got, []int32{0, 0}) {
		t.Errorf("got %v, %v, want zeros where nothing is written", got, err)
	}
	s.Close()
	if !out[0].Closed() {
		t.Error("the results don't belong to the scope of the inputs")
	}

	live := Live()
	failure := errors.New("no luck")
	_, err = OnHost(func(_, _ [][]byte) error { return failure }, []*Tensor{Ones(Float32, 2)}, outputs)
	if !errors.Is(err, failure) {
		t.Errorf("got %v, want the function's error", err)
	}
	if n := Live(); n > live+1 {
		t.Errorf("%d handles are left, want no more than the input's", n-live)
	}

	var inside error
	f := Compile(func(x []*Tensor) []*Tensor {
		_, inside = OnHost(sums, x, outputs)
		return x
	})
	defer f.Close()
	if _, err := f.Call(Ones(Float32, 2)); err != nil || inside == nil || !strings.Contains(inside.Error(), "traced") {
		t.Errorf("got %v and %v inside, want an error for a function that is traced", err, inside)
	}
}
