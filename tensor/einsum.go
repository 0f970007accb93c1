package tensor

import (
	"slices"

	"github.com/deltatape/deltatape/internal/einsum"
)

// Einsum returns the sum of products that spec describes in the notation of
// Einstein: "bik,bkj->bij" is a product of matrices in a batch. Each operand has
// a letter for each axis, axes with the same letter run together, and letters
// that the output lacks are summed over. A letter may occur several times in one
// operand, which takes its diagonal, and an ellipsis "..." stands for leading or
// other axes that broadcast. Without "->" the output has the ellipsis and the
// letters that occur once, in alphabetical order.
//
// Operands are multiplied two at a time, small results first, by MatMul where
// that fits. They must be floating-point.
func Einsum(spec string, xs ...*Tensor) *Tensor {
	const op = "Einsum"
	handles(op, xs)
	shapes := make([][]int, len(xs))
	for i, x := range xs {
		if shapes[i] = x.shape; !x.dtype.IsFloat() {
			panic(NewError("tensor."+op, xs, "want floating-point operands, got %s", x.dtype))
		}
	}
	c, err := einsum.Parse(spec, shapes)
	if err != nil {
		panic(NewError("tensor."+op, xs, "%v", err))
	}
	for _, n := range c.Length {
		if n == 0 {
			return emptyEinsum(c, xs)
		}
	}
	s := &einsumSum{c: c}
	for i, x := range xs {
		s.terms = append(s.terms, s.term(x, c.Operands[i]))
	}
	for i := range s.terms {
		s.reduce(i)
	}
	for len(s.terms) > 1 {
		s.multiply(s.cheapest())
	}
	y := s.terms[0].ordered(c.Output)
	if slices.Contains(xs, y) { // a handle of its own
		y = Reshape(y, y.shape...)
	}
	return y
}

// emptyEinsum is a sum of nothing, or a result of no elements.
func emptyEinsum(c *einsum.Contraction, xs []*Tensor) *Tensor {
	zero := Like(xs[0], 0)
	for _, x := range xs[1:] {
		zero = Mul(zero, Like(x, 0))
	}
	return BroadcastTo(zero, c.Shape(c.Output)...)
}

// einsumSum is what is left to multiply.
type einsumSum struct {
	c     *einsum.Contraction
	terms []einsumTerm
}

// einsumTerm is a factor with a letter for each axis, all different.
type einsumTerm struct {
	x      *Tensor
	labels []rune
}

// term removes the axes that broadcast and takes diagonals of those that occur
// several times.
func (s *einsumSum) term(x *Tensor, labels []rune) einsumTerm {
	if slices.Contains(labels, einsum.One) {
		labels = slices.DeleteFunc(slices.Clone(labels), func(l rune) bool { return l == einsum.One })
		x = Reshape(x, s.c.Shape(labels)...)
	}
	for i := 0; i < len(labels); i++ {
		j := i + 1 + slices.Index(labels[i+1:], labels[i])
		if j == i {
			continue
		}
		// Beside each other, the axes are one in which every (n+1)-th counts.
		n := s.c.Length[labels[i]]
		x = MoveAxis(x, j, i+1)
		shape := slices.Delete(x.Shape(), i+1, i+2)
		shape[i] = n * n
		x = Reshape(x, shape...)
		stride := slices.Repeat([]int{1}, len(shape))
		stride[i] = n + 1
		x = Slice(x, make([]int, len(shape)), shape, stride...)
		labels = slices.Delete(slices.Clone(labels), j, j+1)
		i--
	}
	return einsumTerm{x, labels}
}

// needed reports whether the output or another term than those given has l.
func (s *einsumSum) needed(l rune, but ...int) bool {
	if slices.Contains(s.c.Output, l) {
		return true
	}
	for i, t := range s.terms {
		if !slices.Contains(but, i) && slices.Contains(t.labels, l) {
			return true
		}
	}
	return false
}

// reduce sums term i over the letters that nothing else has.
func (s *einsumSum) reduce(i int) {
	t := &s.terms[i]
	var axes []int
	var kept []rune
	for axis, l := range t.labels {
		if s.needed(l, i) {
			kept = append(kept, l)
		} else {
			axes = append(axes, axis)
		}
	}
	if len(axes) > 0 {
		t.x, t.labels = Sum(t.x, false, axes...), kept
	}
}

// cheapest picks the two terms whose product adds least to what they take.
func (s *einsumSum) cheapest() (i, j int) {
	best := 0.0
	for b := range s.terms {
		for a := range b {
			batch, left, right, _ := s.split(a, b)
			size := 1.0
			for _, n := range s.c.Shape(slices.Concat(batch, left, right)) {
				size *= float64(n)
			}
			if cost := size - float64(s.terms[a].x.Size()) - float64(s.terms[b].x.Size()); j == 0 || cost < best {
				best, i, j = cost, a, b
			}
		}
	}
	return i, j
}

// split sorts the letters of two terms: those of both that are still needed, of
// one only, and of both to sum over.
func (s *einsumSum) split(a, b int) (batch, left, right, inner []rune) {
	for _, l := range s.terms[a].labels {
		switch {
		case !slices.Contains(s.terms[b].labels, l):
			left = append(left, l)
		case s.needed(l, a, b):
			batch = append(batch, l)
		default:
			inner = append(inner, l)
		}
	}
	for _, l := range s.terms[b].labels {
		if !slices.Contains(s.terms[a].labels, l) {
			right = append(right, l)
		}
	}
	return batch, left, right, inner
}

// multiply replaces terms a < b by their product.
func (s *einsumSum) multiply(a, b int) {
	batch, left, right, inner := s.split(a, b)
	labels := slices.Concat(batch, left, right)
	x := s.terms[a].ordered(slices.Concat(batch, left, inner))
	y := s.terms[b].ordered(slices.Concat(batch, inner, right))
	flat := func(t *Tensor, groups ...[]rune) *Tensor {
		shape := make([]int, len(groups))
		for i, g := range groups {
			shape[i] = product(s.c.Shape(g))
		}
		return Reshape(t, shape...)
	}
	var z *Tensor
	switch {
	case len(inner) == 0:
		z = Mul(flat(x, batch, left, nil), flat(y, batch, nil, right))
	case len(left) == 0 && len(right) == 0:
		z = Sum(Mul(flat(x, batch, inner), flat(y, batch, inner)), false, 1)
	case len(batch) == 0:
		z = MatMul(flat(x, left, inner), flat(y, inner, right))
	default:
		z = MatMul(flat(x, batch, left, inner), flat(y, batch, inner, right))
	}
	s.terms[a] = einsumTerm{Reshape(z, s.c.Shape(labels)...), labels}
	s.terms = slices.Delete(s.terms, b, b+1)
}

// ordered returns the tensor with its axes in the order of labels.
func (t einsumTerm) ordered(labels []rune) *Tensor {
	order := make([]int, len(labels))
	for i, l := range labels {
		order[i] = slices.Index(t.labels, l)
	}
	if slices.IsSorted(order) {
		return t.x
	}
	return Transpose(t.x, order...)
}
