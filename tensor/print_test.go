package tensor

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	closed := func() *Tensor {
		s := NewScope()
		defer s.Close()
		return s.Use(Ones(Float32, 2))
	}
	for _, c := range []struct {
		t    *Tensor
		want []string
	}{
		{nil, []string{"tensor <nil>"}},
		{closed(), []string{"tensor [2] float32 (closed)"}},
		{Scalar(2.5), []string{"tensor [] float64", "2.5"}},
		{FromSlice([]bool{true, false}), []string{"tensor [2] bool", "[true false]"}},
		{FromSlice([]float32{0.1, -1e10, 1. / 3}), []string{"tensor [3] float32", "[0.1 -1e+10 0.33333]"}},
		{FromSlice([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 1. / 3}), []string{"tensor [4] float64", "[NaN +Inf -Inf 0.333333]"}},
		{FromSlice([]uint64{math.MaxUint64}), []string{"tensor [1] uint64", "[18446744073709551615]"}},
		{FromSlice([]int64{math.MinInt64}), []string{"tensor [1] int64", "[-9223372036854775808]"}},
		{Full(1.5, BFloat16, 2, 2), []string{"tensor [2 2] bfloat16", "[[1.5 1.5]", " [1.5 1.5]]"}},
		{Full(0.1, Float16, 1), []string{"tensor [1] float16", "[0.099976]"}},
		{Zeros(Int8, 0), []string{"tensor [0] int8", "[]"}},
		{Zeros(Int8, 2, 0), []string{"tensor [2 0] int8", "[[]", " []]"}},
		{Arange(0, 8, 1, Int32), []string{"tensor [8] int32", "[0 1 2 3 4 5 6 7]"}},
		{Arange(0, 9, 1, Int32), []string{"tensor [9] int32", "[0 1 2 … 6 7 8]"}},
		{count(Float32, 2, 2, 2), []string{"tensor [2 2 2] float32", "[[[0 1]", "  [2 3]]", " [[4 5]", "  [6 7]]]"}},
		{Transpose(count(Uint8, 2, 10)), []string{"tensor [10 2] uint8", "[[0 10]", " [1 11]", " [2 12]", " …", " [7 17]", " [8 18]", " [9 19]]"}},
		{count(Int64, 9, 100), []string{"tensor [9 100] int64",
			"[[0 1 2 … 97 98 99]", " [100 101 102 … 197 198 199]", " [200 201 202 … 297 298 299]", " …",
			" [600 601 602 … 697 698 699]", " [700 701 702 … 797 798 799]", " [800 801 802 … 897 898 899]]"}},
	} {
		if got, want := fmt.Sprint(c.t), strings.Join(c.want, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	inTrace := ""
	_, _, err := VJP(func(in []*Tensor) []*Tensor {
		inTrace = in[0].String()
		return in
	}, []*Tensor{Ones(Float32, 2)}, []*Tensor{Ones(Float32, 2)})
	if err != nil || !strings.HasPrefix(inTrace, "tensor [2] float32 (tensor.Eval: inside a function that is traced") {
		t.Errorf("in a trace a tensor prints as %q (%v)", inTrace, err)
	}
}
