package tensor

import (
	"math"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/internal/mlxc"
)

func TestEval(t *testing.T) {
	s := newTestScope(t)
	x := Exp(s.Use(Zeros(Float32, 3)))
	y := Neg(x)
	if err := Eval(y, x, y); err != nil {
		t.Fatal(err)
	}
	if !mlxc.Evaluated(x.h) || !mlxc.Evaluated(y.h) {
		t.Error("a tensor was not evaluated")
	}
	z := AddScalar(y, 3)
	if err := AsyncEval(z, z); err != nil {
		t.Fatal(err)
	}
	wantTensor(t, z, Float32, []int{3}, 2, 2, 2)
	if err := Synchronize(); err != nil {
		t.Error(err)
	}
	for _, f := range []func(...*Tensor) error{Eval, AsyncEval} {
		if err := f(); err != nil {
			t.Errorf("evaluating nothing: %v", err)
		}
	}
	wantError(t, Eval(x, nil), "tensor.Eval: tensor 1 is nil")
}

func TestFailedEvaluation(t *testing.T) {
	good, bad := Exp(Zeros(Float32, 1000)), cutTensor(t)
	err := Eval(good, bad)
	var engine *mlxc.Error
	if !errors.As(err, &engine) {
		t.Errorf("the error is %T", err)
	}
	wantError(t, err, "tensor.Eval: ", cutText)
	for _, x := range []*Tensor{good, bad} { // no one can tell which of them holds what
		wantPanic(t, func() { Exp(x) }, "tensor.Exp: an operand's evaluation failed before: ", cutText+": [1000]")
		wantError(t, Eval(x), "tensor.Eval: an evaluation failed before: ", cutText)
		_, err := Data[float32](x)
		wantError(t, err, "an evaluation failed before")
		_, err = Item[float32](Reshape(Ones(Float32, 1), 1))
		must(t, 0, err)
		wantPanic(t, func() { NewScope().Use(x) }, "an operand's evaluation failed before")
		if got := x.String(); got != "tensor [1000] float32 (tensor.Eval: an evaluation failed before: "+err1(Eval(x))+")" {
			t.Errorf("it prints as %q", got)
		}
		if x.Closed() || x.Size() != 1000 {
			t.Error("a failed tensor forgets its shape")
		}
	}
	_, err = ToMat(Reshape(cutTensor(t), 10, 100))
	wantError(t, err, cutText)
	bad, good = cutTensor(t), Exp(Zeros(Float32, 2))
	sum := Sum(bad, false)
	wantError(t, Eval(sum, good), "tensor.Eval: the result of tensor.Sum, float32 [], and 1 more: ", cutText)
	if v, err := Data[float32](bad); err == nil && v[999] == v[999] {
		t.Errorf("after the failure of a sum its operand ends in %v", v[999])
	}
	wantTensor(t, Exp(Zeros(Float32, 1, 1)), Float32, []int{1, 1}, 1)
}

// err1 is the cause in the text of a second failure.
func err1(err error) string {
	return strings.TrimPrefix(err.Error(), "tensor.Eval: an evaluation failed before: ")
}

// A failure of work that was only started comes to those who wait for it, and
// to no one else.
func TestFailedAsyncEvaluation(t *testing.T) {
	bad, innocent := cutTensor(t), AddScalar(FromSlice([]float32{1}), 1)
	must(t, 0, AsyncEval(bad))
	wantTensor(t, innocent, Float32, []int{1}, 2)
	_, err := Data[float32](bad)
	wantError(t, err, "tensor.Eval: an evaluation failed before: ", cutText)

	bad = cutTensor(t)
	must(t, 0, AsyncEval(bad))
	wantError(t, Synchronize(), "tensor.Synchronize: ", cutText)
	wantPanic(t, func() { Exp(bad) }, "an operand's evaluation failed before")
	must(t, 0, Synchronize())
}

// An error inside a kernel of the engine is an error of the evaluation, too.
func TestKernelError(t *testing.T) {
	x := Zeros(Float32, 1, 1)
	m, err := mlxc.LinalgTriInv(mlxc.CPU, x.h, false)
	bad := made("LinalgTriInv", &m, err, x)
	wantError(t, Eval(bad), "tensor.Eval: the result of tensor.LinalgTriInv, float32 [1 1]: ", "[Inverse::eval_cpu] triangular inversion failed with error code 1")
	wantTensor(t, Exp(Zeros(Float32, 2)), Float32, []int{2}, 1, 1)
	m, err = mlxc.LinalgTriInv(mlxc.CPU, x.h, false)
	bad = made("LinalgTriInv", &m, err, x)
	if err := AsyncEval(bad); err != nil { // it may fail before the call returns
		wantError(t, err, "tensor.AsyncEval: ", "[Inverse::eval_cpu]")
	}
	wantTensor(t, Exp(Zeros(Float32, 2)), Float32, []int{2}, 1, 1)
	_, err = Data[float32](bad)
	wantError(t, err, "tensor.Eval: ", "[Inverse::eval_cpu]")
}

func TestMemoryLimit(t *testing.T) {
	defer func() {
		if err := SetMemoryLimit(0); err != nil {
			t.Error(err)
		}
	}()
	const mb = 1 << 20
	settle()
	small := Zeros(Float32, 4)
	data := FromSlice(make([]float32, mb))
	big := AddScalar(data, 1)
	limit := Memory().Active + 2*mb
	if err := SetMemoryLimit(limit); err != nil {
		t.Fatal(err)
	}
	err := Eval(small, big)
	var m *MemoryError
	if !errors.As(err, &m) || m.Limit != limit || m.Need < limit+mb {
		t.Errorf("got %v", err)
	}
	wantError(t, err, "tensor.Eval: memory limit: ", "bytes are needed, the limit is ")
	if mlxc.Evaluated(big.h) {
		t.Error("it was evaluated all the same")
	}
	if err := Eval(AddScalar(small, 1)); err != nil {
		t.Errorf("a small one: %v", err)
	}
	// The result is small, what comes before it is not.
	total := Sum(Exp(Add(big, big)), false)
	err = Eval(total)
	if !errors.As(err, &m) || m.Need < limit+mb {
		t.Errorf("got %v", err)
	}
	if Memory().Peak < limit+mb {
		t.Errorf("the peak is %d", Memory().Peak)
	}
	if err := SetMemoryLimit(0); err != nil {
		t.Fatal(err)
	}
	if v, err := Item[float32](total); err != nil || !near(float64(v), mb*math.Exp(2), 1e-3) { // nothing is lost
		t.Errorf("got %v, %v", v, err)
	}
	if err := Eval(big); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	wantError(t, SetMemoryLimit(-1), "tensor.SetMemoryLimit: want a limit >= 0, got -1")
	wantError(t, SetCacheLimit(-1), "tensor.SetCacheLimit: want a limit >= 0, got -1")
}

// The peak is what it was since the last reset, with or without a limit.
func TestPeakMemory(t *testing.T) {
	defer func() { _ = SetMemoryLimit(0) }()
	const mb = 1 << 20
	settle()
	data := FromSlice(make([]float32, 8*mb))
	for _, limit := range []int64{0, 1 << 40} {
		if err := SetMemoryLimit(limit); err != nil {
			t.Fatal(err)
		}
		ResetPeakMemory()
		base := Memory().Peak
		s := NewScope()
		if err := Eval(AddScalar(s.Use(data), 1)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if err := Eval(AddScalar(Zeros(Float32, 4), 1)); err != nil {
			t.Fatal(err)
		}
		if rise := Memory().Peak - base; rise < 32*mb || rise > 34*mb {
			t.Errorf("limit %d: the peak rose by %d, want 32 MB", limit, rise)
		}
		ResetPeakMemory()
		if Memory().Peak > base+mb {
			t.Errorf("limit %d: the peak is %d after a reset, was %d", limit, Memory().Peak, base)
		}
	}
}

func TestCache(t *testing.T) {
	data := FromSlice(make([]float32, 1<<20))
	settle()
	base := Memory().Active
	s := NewScope()
	if err := Eval(AddScalar(s.Use(data), 1)); err != nil {
		t.Fatal(err)
	}
	if got := Memory().Active - base; got < 4<<20 || got > 5<<20 {
		t.Errorf("4 MB in use count as %d", got)
	}
	s.Close()
	if got := Memory(); got.Active-base > 1<<20 || got.Cache < 4<<20 {
		t.Errorf("after closing the scope: %+v, active before %d", got, base)
	}
	if err := ClearCache(); err != nil || Memory().Cache != 0 {
		t.Errorf("%d bytes after ClearCache (%v)", Memory().Cache, err)
	}
}

// Tensors of no scope don't pile up: evaluation makes the collector run.
func TestMemoryPressure(t *testing.T) {
	settle()
	base := Memory().Active
	x := Normal(Key(1), 1<<20) // 4 MB
	top := int64(0)
	for range 500 {
		if err := Eval(AddScalar(x, 1)); err != nil {
			t.Fatal(err)
		}
		top = max(top, Memory().Active)
	}
	if limit := base + 2*(pressureBase+pressureStep); top > limit {
		t.Errorf("2 GB of garbage reached %d MB, want at most %d", top>>20, limit>>20)
	}
	top = 0
	host := make([]float32, 1<<20)
	for range 500 { // nothing is evaluated here
		FromSlice(host)
		top = max(top, Memory().Active)
	}
	if limit := base + 2*(pressureBase+pressureStep); top > limit {
		t.Errorf("2 GB of host data reached %d MB, want at most %d", top>>20, limit>>20)
	}
	settle()
	if got := Memory().Active; got > base+16<<20 {
		t.Errorf("%d MB stay in use", (got-base)>>20)
	}
}
