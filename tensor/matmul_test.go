package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// matmulArray is MatMul of operands with two axes or more in plain Go.
func matmulArray(a, b array) array {
	n, m, p := a.shape[len(a.shape)-2], a.shape[len(a.shape)-1], b.shape[len(b.shape)-1]
	lead, err := BroadcastShapes(a.shape[:len(a.shape)-2], b.shape[:len(b.shape)-2])
	if err != nil {
		panic(err)
	}
	out := array{shape: append(lead, n, p)}
	k := len(lead)
	each(out.shape, func(at []int) {
		ia, ib := slices.Clone(at), slices.Clone(at)
		total := 0.0
		for j := range m {
			ia[k+1], ib[k] = j, j
			total += atAligned(a, ia) * atAligned(b, ib)
		}
		out.data = append(out.data, total)
	})
	return out
}

// atAligned is at for an index that may have more axes than the array.
func atAligned(a array, index []int) float64 { return a.at(index[len(index)-len(a.shape):]) }

func wave(i int) float64 { return math.Sin(float64(i)*1.7 + 0.3) }

func TestMatMul(t *testing.T) {
	for _, c := range []struct{ a, b []int }{
		{[]int{2, 3}, []int{3, 4}}, {[]int{1, 1}, []int{1, 1}}, {[]int{5, 2, 3}, []int{5, 3, 4}},
		{[]int{2, 1, 2, 3}, []int{3, 3, 2}}, {[]int{2, 3}, []int{4, 3, 2}}, {[]int{2, 0}, []int{0, 3}},
		{[]int{0, 2, 3}, []int{3, 4}}, {[]int{2, 0, 3}, []int{2, 3, 1}}, {[]int{1, 64}, []int{64, 1}},
	} {
		t.Run(fmt.Sprint(c.a, c.b), func(t *testing.T) {
			for _, dt := range floatTypes {
				for _, a := range layouts(t, dt, c.a, wave) {
					for _, b := range layouts(t, dt, c.b, wave) {
						want := matmulArray(a.ref, b.ref)
						y := MatMul(a.t, b.t)
						checkReduced(t, fmt.Sprint(dt, a.name, b.name), y, dt, want.shape, want.data)
						bias := slices.Repeat([]float64{0.5}, want.shape[len(want.shape)-1])
						if len(bias) == 0 {
							continue
						}
						sum := AddMM(AsType(FromSlice(bias), dt), a.t, b.t, -0.5, 2)
						wantSum := mapArray(func(v ...float64) float64 { return 1 - 0.5*v[0] }, want)
						checkReduced(t, fmt.Sprint("AddMM ", dt, a.name, b.name), sum, dt, want.shape, wantSum.data)
					}
				}
			}
		})
	}
}

func TestMatMulOfVectors(t *testing.T) {
	v, m := FromSlice([]float64{1, 2}), FromSlice([]float64{1, 2, 3, 4, 5, 6}, 2, 3)
	wantTensor(t, MatMul(v, v), Float64, []int{}, 5)
	wantTensor(t, MatMul(v, m), Float64, []int{3}, 9, 12, 15)
	wantTensor(t, MatMul(Transpose(m), v), Float64, []int{3}, 9, 12, 15)
	wantTensor(t, MatMul(Zeros(Float64, 0), Zeros(Float64, 0)), Float64, []int{}, 0)
	wantTensor(t, AddMM(Ones(Float64, 3), v, m, 1, 1), Float64, []int{3}, 10, 13, 16)
	wantTensor(t, MatMul(Ones(Float32, 1, 2), Ones(Float64, 2, 1)), Float64, []int{1, 1}, 2)
	wantTensor(t, MatMul(Ones(BFloat16, 1, 2), Ones(Float32, 2, 1)), Float32, []int{1, 1}, 2)
}

func TestMatMulRefuses(t *testing.T) {
	e := wantPanic(t, func() { MatMul(Ones(Float32, 2, 64, 32), Ones(Float32, 2, 33, 16)) })
	if want := "tensor.MatMul: inner dimensions differ: [2 64 32] x [2 33 16]"; e.Error() != want {
		t.Errorf("got %q, want %q", e, want)
	}
	wantPanic(t, func() { MatMul(Ones(Float32, 2), Ones(Float32, 3)) }, "inner dimensions differ: [2] x [3]")
	wantPanic(t, func() { MatMul(Ones(Float32, 2, 2, 2), Ones(Float32, 3, 2, 2)) }, "leading dimensions can't be broadcast together: [2 2 2] x [3 2 2]")
	wantPanic(t, func() { MatMul(Scalar(1.0), Ones(Float64, 1)) }, "an operand has no axes: [] x [1]")
	wantPanic(t, func() { MatMul(Ones(Int32, 1, 1), Ones(Int32, 1, 1)) }, "want floating-point operands, got int32 and int32")
	for _, dt := range []Dtype{Float32, Float64} {
		wantPanic(t, func() { AddMM(Ones(dt, 4), Ones(dt, 2, 3), Ones(dt, 3, 5), 0.1, 1) }, "broadcast")
	}
	wantPanic(t, func() { AddMM(nil, Ones(Float32, 2, 3), Ones(Float32, 3, 5), 0.1, 1) }, "tensor.AddMM: an operand is nil")
}

func TestTriInv(t *testing.T) {
	for _, dt := range []Dtype{Float32, Float64} {
		for _, x := range layouts(t, dt, []int{2, 4, 4}, func(i int) float64 { return wave(i) + truth(i%5 == 0)*3 }) {
			for _, upper := range []bool{false, true} {
				triangle := Tril(x.t, 0)
				if upper {
					triangle = Triu(x.t, 0)
				}
				inverse := TriInv(x.t, upper) // the other triangle is not read
				eye := floats(t, BroadcastTo(Eye(4, 4, 0, Float64), 2, 4, 4))
				wantClose(t, floats(t, MatMul(inverse, triangle)), eye, 100*ulp(dt))
			}
		}
		wantTensor(t, TriInv(Zeros(dt, 0, 0), true), dt, []int{0, 0})
		wantTensor(t, TriInv(Zeros(dt, 0, 2, 2), false), dt, []int{0, 2, 2})
		wantTensor(t, TriInv(FromSlice([]float64{4}, 1, 1), false), Float64, []int{1, 1}, 0.25)
	}
	wantPanic(t, func() { TriInv(Ones(Float32, 2, 3), false) }, "tensor.TriInv: want square matrices: [2 3]")
	wantPanic(t, func() { TriInv(Ones(Float32, 2), false) }, "want square matrices: [2]")
	wantPanic(t, func() { TriInv(Ones(Float16, 2, 2), false) }, "want float32 or float64, got float16")
}

// The inverse of a singular matrix holds NaN; the engine's own way, a failed
// evaluation, would end in a wait for ever after some of them.
func TestTriInvOfSingularMatrix(t *testing.T) {
	for range 30 {
		x := FromSlice([]float32{1, 0, 2, 0 /* singular */, 2, 0, 1, 4}, 2, 2, 2)
		got := floats(t, TriInv(x, false))
		if got[3] == got[3] {
			t.Fatalf("the inverse is %v", got)
		}
		wantClose(t, got[4:], []float64{0.5, 0, -0.125, 0.25}, 0)
	}
	wantTensor(t, TriInv(Zeros(Float64, 1, 1), true), Float64, []int{1, 1}, math.NaN())
}

// convArray is Conv1D in plain Go.
func convArray(x, w array, stride, padding, dilation, groups int) array {
	n, length, cout, taps, cing := x.shape[0], x.shape[1], w.shape[0], w.shape[1], w.shape[2]
	steps := int(math.Floor(float64(length+2*padding-dilation*(taps-1)-1)/float64(stride))) + 1
	out := array{shape: []int{n, steps, cout}}
	each(out.shape, func(at []int) {
		total := 0.0
		group := at[2] / (cout / groups)
		for k := range taps {
			pos := at[1]*stride + k*dilation - padding
			for c := range cing {
				if pos >= 0 && pos < length {
					total += x.at([]int{at[0], pos, group*cing + c}) * w.at([]int{at[2], k, c})
				}
			}
		}
		out.data = append(out.data, total)
	})
	return out
}

func TestConv1D(t *testing.T) {
	for _, c := range []struct{ n, length, cin, cout, taps, stride, padding, dilation, groups int }{
		{1, 5, 1, 1, 1, 1, 0, 1, 1}, {2, 7, 4, 6, 3, 1, 1, 1, 1}, {2, 7, 4, 6, 3, 2, 0, 2, 2}, {1, 8, 4, 4, 4, 1, 3, 1, 4},
		{1, 9, 6, 3, 2, 3, 2, 3, 3}, {2, 4, 2, 8, 4, 1, 0, 1, 2}, {0, 4, 2, 2, 2, 1, 0, 1, 1}, {1, 4, 2, 0, 2, 1, 0, 1, 1},
		{2, 0, 4, 2, 1, 1, 0, 1, 2}, {2, 0, 2, 3, 1, 3, 0, 5, 1}, {2, 0, 2, 3, 1, 2, 1, 1, 1},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			for _, dt := range floatTypes {
				ws := layouts(t, dt, []int{c.cout, c.taps, c.cin / c.groups}, wave)
				for i, x := range layouts(t, dt, []int{c.n, c.length, c.cin}, wave) {
					w := ws[i%len(ws)]
					want := convArray(x.ref, w.ref, c.stride, c.padding, c.dilation, c.groups)
					y := Conv1D(x.t, w.t, c.stride, c.padding, c.dilation, c.groups)
					checkReduced(t, fmt.Sprint(dt, x.name), y, dt, want.shape, want.data)
				}
			}
		})
	}
	x, w := Ones(Float32, 1, 4, 2), Ones(Float32, 2, 3, 2)
	for _, c := range []struct {
		x, w                              *Tensor
		stride, padding, dilation, groups int
		text                              string
	}{
		{Ones(Float32, 4, 2), w, 1, 0, 1, 1, "want x [N, L, Cin] and w [Cout, W, Cin/groups]: [4 2] x [2 3 2]"},
		{x, w, 0, 0, 1, 1, "got 0, 1, 1 and 0"}, {x, w, 1, -1, 1, 1, "got 1, 1, 1 and -1"}, {x, w, 1, 0, 0, 1, "want stride"},
		{x, w, 1, 0, 1, 0, "want stride"}, {x, w, 1 << 32, 0, 1, 1, "want stride"}, {x, w, 1, 1 << 32, 1, 1, "want stride"},
		{x, w, 1, 0, 1, 2, "2 groups don't fit the channels"}, {x, w, 1, 0, 2, 1, "the kernel spans 5 of 4 positions"},
		{x, Ones(Float32, 2, 0, 2), 1, 0, 1, 1, "the kernel spans"}, {x, Ones(Int32, 2, 1, 2), 1, 0, 1, 1, "want floating-point operands"},
		{x, w, 1, 0, math.MaxInt32, 1, "the kernel spans 4294967295 of 4 positions"},
		{Ones(Float32, 1, 0, 2), w, 1, 0, 1, 1, "the kernel spans 3 of 0 positions"},
	} {
		wantPanic(t, func() { Conv1D(c.x, c.w, c.stride, c.padding, c.dilation, c.groups) }, "tensor.Conv1D: ", c.text)
	}
}
