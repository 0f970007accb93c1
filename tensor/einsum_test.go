package tensor

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/internal/einsum"
)

// naiveEinsum runs over all values of all letters.
func naiveEinsum(t testing.TB, spec string, xs []*Tensor) []float64 {
	t.Helper()
	shapes, data := make([][]int, len(xs)), make([][]float64, len(xs))
	for i, x := range xs {
		shapes[i], data[i] = x.Shape(), floats(t, x)
	}
	c := must1(einsum.Parse(spec, shapes))(t)
	var letters []rune
	for l := range c.Length {
		letters = append(letters, l)
	}
	at := map[rune]int{einsum.One: 0}
	place := func(labels []rune) int {
		p := 0
		for i, n := range c.Shape(labels) {
			p = p*n + at[labels[i]]
		}
		return p
	}
	out := make([]float64, product(c.Shape(c.Output)))
	for n := range product(c.Shape(letters)) {
		for _, l := range letters {
			at[l], n = n%c.Length[l], n/c.Length[l]
		}
		term := 1.0
		for i, labels := range c.Operands {
			term *= data[i][place(labels)]
		}
		out[place(c.Output)] += term
	}
	return out
}

func TestEinsum(t *testing.T) {
	for _, c := range []struct {
		spec   string
		shapes [][]int
		want   []int
	}{
		{"ij,jk->ik", [][]int{{2, 3}, {3, 4}}, []int{2, 4}},
		{"ij,jk", [][]int{{2, 3}, {3, 4}}, []int{2, 4}},
		{"ba", [][]int{{2, 3}}, []int{3, 2}},
		{"ii", [][]int{{3, 3}}, nil},
		{"aba->b", [][]int{{3, 2, 3}}, []int{2}},
		{"aaa->a", [][]int{{3, 3, 3}}, []int{3}},
		{"abab->ba", [][]int{{3, 2, 3, 2}}, []int{2, 3}},
		{" b i , i j -> b j ", [][]int{{2, 3}, {3, 2}}, []int{2, 2}},
		{"bhtd,bhsd,s->bht", [][]int{{2, 2, 3, 4}, {2, 2, 5, 4}, {5}}, []int{2, 2, 3}},
		{"...i,i...->...", [][]int{{2, 3, 4}, {4, 2, 3}}, []int{2, 3}},
		{"...,...->...", [][]int{{2, 1, 4}, {3, 1}}, []int{2, 3, 4}},
		{"...i,...i", [][]int{{1, 2}, {5, 3, 2}}, []int{5, 3}},
		{"a...b->b...a", [][]int{{2, 3, 4, 5}}, []int{5, 3, 4, 2}},
		{"...->", [][]int{{2, 3}}, nil},
		{"i...,...->i", [][]int{{2}, nil}, []int{2}},
		{"αβ,βγ->αγ", [][]int{{2, 3}, {3, 4}}, []int{2, 4}},
		{"α...,...->α", [][]int{{2, 3}, {3}}, []int{2}},
		{",->", [][]int{nil, nil}, nil},
		{"ij->ij", [][]int{{2, 3}}, []int{2, 3}},
		{"ij,jk->ik", [][]int{{2, 0}, {0, 4}}, []int{2, 4}},
		{"ij,kj->ik", [][]int{{0, 2}, {3, 2}}, []int{0, 3}},
		{"ab,cd,ef,ac,bde->f", [][]int{{2, 3}, {2, 2}, {3, 2}, {2, 2}, {3, 2, 3}}, []int{2}},
	} {
		t.Run(c.spec, func(t *testing.T) {
			s := newTestScope(t)
			var xs []*Tensor
			for i, shape := range c.shapes {
				xs = append(xs, s.Use(AsType(Normal(Key(uint64(i)), shape...), Float64)))
			}
			got := Einsum(c.spec, xs...)
			if !sameShape(got.Shape(), c.want) {
				t.Fatalf("the shape is %v, want %v", got.Shape(), c.want)
			}
			wantClose(t, floats(t, got), naiveEinsum(t, c.spec, xs), 1e-13)
			if Free(got); xs[0].Closed() {
				t.Error("closing the result closed an operand")
			}
		})
	}
}

// TestRandomEinsum tries contractions of random letters.
func TestRandomEinsum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const letters = "abcde"
	for n := range 60 {
		s := NewScope()
		lengths := map[byte]int{}
		for i := range letters {
			lengths[letters[i]] = 1 + r.IntN(4)
		}
		var terms []string
		var xs []*Tensor
		used := ""
		for i := range 1 + r.IntN(4) {
			term := ""
			var shape []int
			for range r.IntN(4) {
				l := letters[r.IntN(len(letters))]
				term, shape = term+string(l), append(shape, lengths[l])
			}
			used += term
			terms = append(terms, term)
			xs = append(xs, s.Use(AsType(Normal(Key(uint64(10*n+i)), shape...), Float64)))
		}
		out := ""
		for _, i := range r.Perm(len(letters)) {
			if l := letters[i : i+1]; strings.Contains(used, l) && r.IntN(2) == 0 {
				out += l
			}
		}
		spec := strings.Join(terms, ",") + "->" + out
		wantClose(t, floats(t, Einsum(spec, xs...)), naiveEinsum(t, spec, xs), 1e-12)
		if t.Failed() {
			t.Fatal(spec)
		}
		s.Close()
	}
}

// TestEinsumHalf checks that long sums of half precision don't stand still.
func TestEinsumHalf(t *testing.T) {
	s := newTestScope(t)
	x := s.Use(Ones(BFloat16, 4096))
	for _, spec := range []string{"i->", "i,i->"} {
		got := Einsum(spec, []*Tensor{x, x}[:strings.Count(spec, "i")]...)
		wantTensor(t, got, BFloat16, nil, 4096)
	}
}

func TestEinsumErrors(t *testing.T) {
	x := Ones(Float32, 2, 3)
	for _, c := range []struct {
		text string
		f    func()
	}{
		{`tensor.Einsum: "ij->i" has 1 operands, got 2: [2 3] x [2 3]`, func() { Einsum("ij->i", x, x) }},
		{`tensor.Einsum: "" has 1 operands, got 0`, func() { Einsum("") }},
		{`operand 0 has 2 axes, but "ijk" names 3`, func() { Einsum("ijk->i", x) }},
		{`operand 0 has 2 axes, but "ijk..." names 3`, func() { Einsum("ijk...->i", x) }},
		{`label 'i' has length 3 in operand 0 and 2 before it`, func() { Einsum("ii->i", x) }},
		{`the output names 'z', which no operand has`, func() { Einsum("ij->z", x) }},
		{`want letters and one "..." in "i%s", got '%'`, func() { Einsum("i%s->i", x) }},
		{`want letters and one "..." in "......", got '.'`, func() { Einsum("......->", x) }},
		{`want letters and one "..." in "i->j", got '-'`, func() { Einsum("ij->i->j", x) }},
		{`an axis of "..." has length 4 in operand 1 and 3 before it`, func() { Einsum("...,...", x, Ones(Float32, 2, 4)) }},
		{`want floating-point operands, got int32`, func() { Einsum("i->i", Ones(Int32, 2)) }},
	} {
		t.Run(c.text, func(t *testing.T) { wantError(t, Try(c.f), c.text) })
	}
}

func BenchmarkEinsum(b *testing.B) {
	q, k := Normal(Key(1), 4, 256, 8, 32), Normal(Key(2), 4, 256, 8, 32)
	must(b, 0, Eval(q, k))
	for b.Loop() {
		y := Einsum("bthd,bshd->bhts", q, k)
		must(b, 0, Eval(y))
		Free(y)
	}
}
