package ops

import (
	"slices"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// IgnoreLabel is the label of positions that CrossEntropy leaves out.
const IgnoreLabel = -100

// Reduction says what becomes of the losses of single positions.
type Reduction int

// The reductions of CrossEntropyWith.
const (
	ReduceMean Reduction = iota // the mean over positions that count; 0 if none does
	ReduceSum                   // the sum
	ReduceNone                  // the losses themselves, in the shape of the labels
)

// CrossEntropyOptions are options of CrossEntropyWith.
type CrossEntropyOptions struct {
	// Smoothing in [0, 1) is the share of each target that is spread evenly
	// over all classes.
	Smoothing float64
	Reduction Reduction
}

// CrossEntropy returns the mean of −log softmax(logits)[label] over positions,
// a tensor without axes. logits are [..., V], labels integers [...] in [0, V);
// positions with IgnoreLabel are left out, and if all are, loss and gradient
// are 0. Half precision is computed, and the loss returned, in float32.
//
// Labels that the host knows are checked. Where others are out of range the
// loss is NaN.
func CrossEntropy(logits *autograd.Var, labels *tensor.Tensor) *autograd.Var {
	return CrossEntropyWith(logits, labels, CrossEntropyOptions{})
}

// CrossEntropyWith is CrossEntropy with options.
func CrossEntropyWith(logits *autograd.Var, labels *tensor.Tensor, options CrossEntropyOptions) *autograd.Var {
	notNil("CrossEntropy", logits)
	f := crossEntropy{options, logits.Shape(), logits.Dtype()}
	return apply("CrossEntropy", f, logits, constant("CrossEntropy", labels, logits))[0]
}

// crossEntropy keeps what gives softmax(x) without another pass: e^(x−max x)
// and its sums. For half-precision logits e would take twice their memory, so
// it keeps them and max x instead.
type crossEntropy struct {
	CrossEntropyOptions
	shape []int // of the logits
	dtype tensor.Dtype
}

func (crossEntropy) String() string { return "ops.CrossEntropy" }

func (f crossEntropy) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	f.check(in[0], in[1])
	x := widen(matrix(in[0]))
	labels := tensor.Reshape(tensor.AsType(in[1], tensor.Int64), x.Dim(0), 1) // unsigned types lack IgnoreLabel
	counts := tensor.NotEqual(labels, tensor.Like(labels, IgnoreLabel))
	classes := tensor.Where(counts, labels, tensor.Like(labels, 0))

	high := tensor.Max(x, true, -1)
	e := tensor.Exp(tensor.Sub(x, high))
	sum := tensor.Sum(e, true, -1)
	target := tensor.TakeAlong(x, classes, -1)
	if f.Smoothing > 0 {
		target = tensor.Add(tensor.MulScalar(target, 1-f.Smoothing), tensor.MulScalar(tensor.Mean(x, true, -1), f.Smoothing))
	}
	losses := tensor.Sub(tensor.Log(sum), tensor.Sub(target, high))
	losses = tensor.Where(counts, losses, tensor.Like(losses, 0))

	// weight is each position's share of the result.
	weight := tensor.AsType(counts, x.Dtype())
	var loss *tensor.Tensor
	switch f.Reduction {
	case ReduceNone:
		loss = tensor.Reshape(losses, in[1].Shape()...)
	case ReduceSum:
		loss = tensor.Sum(losses, false)
	default:
		n := tensor.Sum(weight, false)
		n = tensor.Maximum(n, tensor.Like(n, 1))
		loss = tensor.Div(tensor.Sum(losses, false), n)
		weight = tensor.Div(weight, n)
	}
	if x.Dtype() == f.dtype {
		ctx.Save(labels, weight, sum, e)
	} else {
		ctx.Save(labels, weight, sum, in[0], high)
	}
	return []*tensor.Tensor{loss}
}

func (f crossEntropy) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	labels, weight, sum, e := ctx.Saved(0), ctx.Saved(1), ctx.Saved(2), ctx.Saved(3)
	if e.Dtype() != sum.Dtype() {
		e = tensor.Exp(tensor.Sub(widen(matrix(e)), ctx.Saved(4)))
	}
	g := grad[0]
	if f.Reduction == ReduceNone {
		g = tensor.Reshape(g, e.Dim(0), 1)
	}
	weight = tensor.Mul(weight, g)
	// weight·(softmax − target), target being 1 at the label without smoothing
	d := tensor.Mul(e, tensor.Div(weight, sum))
	if f.Smoothing > 0 {
		d = tensor.Sub(d, tensor.MulScalar(weight, f.Smoothing/float64(e.Dim(1))))
	}
	classes := tensor.Arange(0, float64(e.Dim(1)), 1, labels.Dtype())
	hit := tensor.Equal(labels, classes)
	tensor.Free(classes)
	d = tensor.Where(hit, tensor.Sub(d, tensor.MulScalar(weight, 1-f.Smoothing)), d)
	return []*tensor.Tensor{narrow(tensor.Reshape(d, f.shape...), f.dtype), nil}
}

func (f crossEntropy) check(logits, labels *tensor.Tensor) {
	bad := func(format string, args ...any) {
		panic(tensor.NewError("ops.CrossEntropy", []*tensor.Tensor{logits, labels}, format, args...))
	}
	switch n := logits.NDim() - 1; {
	case n < 0 || labels.NDim() != n || !slices.Equal(labels.Shape(), logits.Shape()[:n]):
		bad("want logits [..., V] and labels [...]")
	case !logits.Dtype().IsFloat():
		bad("want floating-point logits, got %s", logits.Dtype())
	case !labels.Dtype().IsInteger():
		bad("want integer labels, got %s", labels.Dtype())
	case !(f.Smoothing >= 0 && f.Smoothing < 1):
		bad("want a smoothing in [0, 1), got %v", f.Smoothing)
	case f.Reduction < ReduceMean || f.Reduction > ReduceNone:
		bad("unknown reduction %d", f.Reduction)
	}
	// Where the host knows the range of the labels, those outside may be
	// IgnoreLabel only.
	classes := logits.Dim(-1)
	if low, high, known := labels.Bounds(); !known || low >= 0 && high < int64(classes) {
		return
	}
	list, err := tensor.Data[int64](tensor.AsType(labels, tensor.Int64))
	if err != nil { // within tensor.Compile nothing can be read
		return
	}
	for i, l := range list {
		if l != IgnoreLabel && (l < 0 || l >= int64(classes)) {
			bad("label %d at position %d is out of range [0, %d)", l, i, classes)
		}
	}
}
