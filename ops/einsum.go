package ops

import (
	"slices"
	"strings"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/internal/einsum"
	"github.com/deltatape/deltatape/tensor"
)

// Einsum returns the sum of products that spec describes in the notation of
// Einstein: "bik,bkj->bij" is a product of matrices in a batch. Each operand has
// a letter for each axis, axes with the same letter run together, and letters
// that the output lacks are summed over. A letter may occur several times in one
// operand, which takes its diagonal, and an ellipsis "..." stands for leading or
// other axes that broadcast. Without "->" the output has the ellipsis and the
// letters that occur once, in alphabetical order.
func Einsum(spec string, xs ...*autograd.Var) *autograd.Var {
	defer rename("Einsum")
	if len(xs) == 0 {
		panic(tensor.NewError("ops.Einsum", nil, "want at least one operand"))
	}
	notNil("Einsum", xs...)
	values, shapes := make([]*tensor.Tensor, len(xs)), make([][]int, len(xs))
	for i, x := range xs {
		values[i], shapes[i] = x.Value(), x.Shape()
	}
	c, err := einsum.Parse(spec, shapes)
	if err != nil {
		panic(tensor.NewError("ops.Einsum", values, "%v", err))
	}
	// Axes of length 1 that broadcast have no letter: they go.
	in := slices.Clone(xs)
	for i, labels := range c.Operands {
		if slices.Contains(labels, einsum.One) {
			c.Operands[i] = slices.DeleteFunc(labels, func(l rune) bool { return l == einsum.One })
			in[i] = Reshape(xs[i], c.Shape(c.Operands[i])...)
		}
	}
	return apply("Einsum", contraction{c}, in...)[0]
}

// contraction keeps its operands. The gradient of one of them is the contraction
// of the result's gradient with the other operands.
type contraction struct{ *einsum.Contraction }

func (contraction) String() string { return "ops.Einsum" }

func (c contraction) Forward(ctx *autograd.Context, in ...*tensor.Tensor) []*tensor.Tensor {
	ctx.Save(in...)
	return []*tensor.Tensor{tensor.Einsum(notation(c.Operands, c.Output), in...)}
}

func (c contraction) Backward(ctx *autograd.Context, grad ...*tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(c.Operands))
	for i, own := range c.Operands {
		if !ctx.Needs(i) {
			continue
		}
		labels, factors := [][]rune{c.Output}, []*tensor.Tensor{grad[0]}
		for j, other := range c.Operands {
			if j != i {
				labels, factors = append(labels, other), append(factors, ctx.Saved(j))
			}
		}
		var found, letters []rune // of the operand: those that the factors have, and all, each once
		for axis, l := range own {
			if slices.Contains(own[:axis], l) {
				continue
			}
			letters = append(letters, l)
			if slices.ContainsFunc(labels, func(list []rune) bool { return slices.Contains(list, l) }) {
				found = append(found, l)
			}
		}
		g := tensor.Einsum(notation(labels, found), factors...)
		out[i] = narrow(c.spread(g, found, letters, own), ctx.Saved(i).Dtype())
	}
	return out
}

// spread repeats g, whose axes are found, along those of letters that it lacks,
// and puts it on the diagonal where own has a letter several times.
func (c contraction) spread(g *tensor.Tensor, found, letters, own []rune) *tensor.Tensor {
	shape := c.Shape(letters)
	for i, l := range letters {
		if !slices.Contains(found, l) {
			shape[i] = 1
		}
	}
	g = tensor.BroadcastTo(tensor.Reshape(g, shape...), c.Shape(letters)...)
	if len(letters) == len(own) {
		return g
	}
	first := c.Shape(own)
	for axis, l := range own {
		if slices.Contains(own[:axis], l) {
			first[axis] = 1
		}
	}
	g = tensor.Reshape(g, first...)
	for axis, l := range own {
		if start := slices.Index(own, l); start != axis {
			same := tensor.Equal(countAlong(g, len(own), start, c.Length[l]), countAlong(g, len(own), axis, c.Length[l]))
			g = tensor.Where(same, g, tensor.Like(g, 0))
		}
	}
	return g
}

// countAlong returns 0, 1, … n−1 along one of a number of axes, in like's scope.
func countAlong(like *tensor.Tensor, axes, axis, n int) *tensor.Tensor {
	count := tensor.CumSum(tensor.BroadcastTo(tensor.AsType(tensor.Like(like, 1), tensor.Int32), n), 0, false, true)
	shape := slices.Repeat([]int{1}, axes)
	shape[axis] = n
	return tensor.Reshape(count, shape...)
}

// notation writes a contraction.
func notation(operands [][]rune, output []rune) string {
	terms := make([]string, len(operands))
	for i, labels := range operands {
		terms[i] = string(labels)
	}
	return strings.Join(terms, ",") + "->" + string(output)
}

// Outer returns the products [N, M] of all elements of a with all of b, in
// row-major order.
func Outer(a, b *autograd.Var) *autograd.Var {
	defer rename("Outer")
	notNil("Outer", a, b)
	return Mul(Reshape(a, a.Value().Size(), 1), Reshape(b, 1, b.Value().Size()))
}

// VecDot returns the scalar products of a and b, which broadcast, along an axis.
// The sum is made in float32 or better.
func VecDot(a, b *autograd.Var, axis int) *autograd.Var {
	defer rename("VecDot")
	return Sum(Mul(a, b), false, axis)
}
