package ops

import (
	"math"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// RoPEOptions are options of RoPE. The zero value rotates all features with base
// 10000 from position 0.
type RoPEOptions struct {
	// Dims is how many of the features are rotated, the first ones; 0 means all.
	// It must be even. The others pass.
	Dims int

	// Base sets the frequencies: pair i turns by Base^(−2i/Dims) a position; 0
	// means 10000.
	Base float64

	// Scale multiplies positions; 0 means 1.
	Scale float64

	// Offset is the position of the first step, for sequences that go on.
	Offset int

	// Traditional pairs features 2i and 2i+1, as the paper and GPT-J do; without
	// it i is paired with i + Dims/2, as in GPT-NeoX, Llama and Qwen.
	Traditional bool
}

// RoPE returns rotary position embeddings (Su and others, arXiv 2104.09864) of x
// [..., T, D]: pair i of the features at step t is rotated by the angle
// (Offset + t)·Scale·Base^(−2i/Dims). It follows mlx.fast.rope. Angles are exact
// in double precision at any position, the rotation is computed in float32 or
// better, and the result has x's dtype.
func RoPE(x *autograd.Var, options RoPEOptions) *autograd.Var {
	notNil("RoPE", x)
	o := options
	bad := func(format string, args ...any) {
		panic(tensor.NewError("ops.RoPE", []*tensor.Tensor{x.Value()}, format, args...))
	}
	if x.NDim() < 2 || !x.Dtype().IsFloat() {
		bad("want a floating-point x [..., T, D], got %s", x.Dtype())
	}
	if o.Dims == 0 {
		o.Dims = x.Dim(-1)
	}
	if o.Base == 0 {
		o.Base = 10000
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	switch {
	case o.Dims < 0 || o.Dims%2 != 0 || o.Dims > x.Dim(-1):
		bad("want an even number of rotated features up to %d, got %d", x.Dim(-1), o.Dims)
	case !(o.Base > 0) || math.IsInf(o.Base, 0) || math.IsNaN(o.Scale) || math.IsInf(o.Scale, 0):
		bad("want a finite base above 0 and a finite scale, got %v and %v", o.Base, o.Scale)
	}
	return apply("RoPE", rope{o}, x)[0]
}

// rope keeps nothing: the gradient is rotated back.
type rope struct{ RoPEOptions }

func (rope) String() string { return "ops.RoPE" }

func (r rope) Forward(_ *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{r.rotate(in[0], 1)}
}

func (r rope) Backward(_ *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	return []*tensor.Tensor{r.rotate(grad[0], -1)}
}

// rotate turns x by the angles times sign.
func (r rope) rotate(x *tensor.Tensor, sign float64) *tensor.Tensor {
	if x.Size() == 0 || r.Dims == 0 {
		return tensor.Reshape(x, x.Shape()...)
	}
	wide := widen(x)
	cos, sin := r.angles(x.Dim(-2), sign, wide.Dtype())
	defer tensor.Free(cos, sin)
	parts := tensor.SplitAt(wide, -1, r.Dims)
	turned, rest := parts[0], parts[1]
	shape := turned.Shape()
	var a, b *tensor.Tensor
	if r.Traditional {
		pairs := tensor.Unstack(tensor.Reshape(turned, append(turned.Shape()[:x.NDim()-1], r.Dims/2, 2)...), -1)
		a, b = pairs[0], pairs[1]
	} else {
		halves := tensor.SplitEqual(turned, 2, -1)
		a, b = halves[0], halves[1]
	}
	c := tensor.Sub(tensor.Mul(a, cos), tensor.Mul(b, sin))
	d := tensor.Add(tensor.Mul(a, sin), tensor.Mul(b, cos))
	if r.Traditional {
		turned = tensor.Reshape(tensor.Stack(-1, c, d), shape...)
	} else {
		turned = tensor.Concat(-1, c, d)
	}
	if rest.Size() > 0 {
		turned = tensor.Concat(-1, turned, rest)
	}
	return narrow(turned, x.Dtype())
}

// ropeBlock is how many steps share a row of host-made angles.
const ropeBlock = 128

// angles returns the cosines and sines [T, Dims/2] of all angles, times sign.
// The host computes those of every 128th step and of the steps between, in
// double precision; the rest is their sums.
func (r rope) angles(steps int, sign float64, d tensor.Dtype) (cos, sin *tensor.Tensor) {
	var made []*tensor.Tensor
	keep := func(t *tensor.Tensor) *tensor.Tensor { made = append(made, t); return t }
	defer func() { tensor.Free(made...) }()

	half, blocks, inner := r.Dims/2, (steps+ropeBlock-1)/ropeBlock, min(steps, ropeBlock)
	table := func(first, stride, n int, shape ...int) (cos, sin *tensor.Tensor) {
		c, s := make([]float64, n*half), make([]float64, n*half)
		for j := range half {
			turn := sign * r.Scale * math.Pow(r.Base, -2*float64(j)/float64(r.Dims))
			for i := range n {
				s[i*half+j], c[i*half+j] = math.Sincos(float64(first+i*stride) * turn)
			}
		}
		return keep(fromFloat64s(c, d, shape)), keep(fromFloat64s(s, d, shape))
	}
	cosBlock, sinBlock := table(r.Offset, ropeBlock, blocks, blocks, 1, half)
	cosIn, sinIn := table(0, 1, inner, 1, inner, half)
	flat := func(t *tensor.Tensor) *tensor.Tensor {
		return tensor.SliceAxis(keep(tensor.Reshape(keep(t), blocks*inner, half)), 0, 0, steps)
	}
	cos = flat(tensor.Sub(keep(tensor.Mul(cosBlock, cosIn)), keep(tensor.Mul(sinBlock, sinIn))))
	sin = flat(tensor.Add(keep(tensor.Mul(sinBlock, cosIn)), keep(tensor.Mul(cosBlock, sinIn))))
	return cos, sin
}

// fromFloat64s makes a tensor of float64 or float32. It rounds on the host, which
// keeps float64 from devices that lack it.
func fromFloat64s(data []float64, d tensor.Dtype, shape []int) *tensor.Tensor {
	if d == tensor.Float64 {
		return tensor.FromSlice(data, shape...)
	}
	single := make([]float32, len(data))
	for i, v := range data {
		single[i] = float32(v)
	}
	return tensor.FromSlice(single, shape...)
}
