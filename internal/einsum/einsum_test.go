package einsum

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		spec   string
		shapes [][]int
		want   string // of operands and output
	}{
		{"ij,jk->ik", [][]int{{2, 3}, {3, 4}}, "ij,jk->ik"},
		{"jk,ij", [][]int{{2, 3}, {3, 2}}, "jk,ij->ik"},
		{"iij,j", [][]int{{2, 2, 3}, {3}}, "iij,j->"},
		{" i j -> j ", [][]int{{2, 3}}, "ij->j"},
		{"", [][]int{nil}, "->"},
		{"...i", [][]int{{2, 3, 4}}, "αβi->αβi"},
		{"i...->i...", [][]int{{2}}, "i->i"},
		{"...,...->...", [][]int{{3}, {2, 3}}, "β,αβ->αβ"},
		{"...,...->...", [][]int{{2, 1}, {1, 3}}, "α1,1β->αβ"},
		{"...,...,...", [][]int{{1}, {1}, {4}}, "1,1,α->α"},
		{"...,...", [][]int{{1}, {1}}, "α,α->α"},
		{"...α", [][]int{{2, 3}}, "βα->βα"},
	} {
		got, err := Parse(c.spec, c.shapes)
		if err != nil {
			t.Errorf("%q: %v", c.spec, err)
			continue
		}
		var terms []string
		for i, labels := range got.Operands {
			terms = append(terms, string(labels))
			if fmt.Sprint(got.Shape(labels)) != fmt.Sprint(append([]int{}, c.shapes[i]...)) {
				t.Errorf("%q: operand %d has the shape %v, want %v", c.spec, i, got.Shape(labels), c.shapes[i])
			}
		}
		if s := strings.Join(terms, ",") + "->" + string(got.Output); s != c.want {
			t.Errorf("%q: got %q, want %q", c.spec, s, c.want)
		}
	}
}

// FuzzParse checks that whatever is accepted is a contraction of the shapes.
func FuzzParse(f *testing.F) {
	for _, spec := range []string{"ij,jk->ik", "...i,i...", "ii->", "a..b", "α...->...α", "->", ",", "i->i->i", "......"} {
		f.Add(spec, uint8(2), uint8(3))
	}
	f.Fuzz(func(t *testing.T, spec string, n, m uint8) {
		shapes := [][]int{{int(n), int(m)}, {int(m), int(n)}}
		c, err := Parse(spec, shapes)
		if err != nil {
			return
		}
		for i, labels := range c.Operands {
			if fmt.Sprint(c.Shape(labels)) != fmt.Sprint(shapes[i]) {
				t.Errorf("%q: operand %d has the shape %v, want %v", spec, i, c.Shape(labels), shapes[i])
			}
		}
		for _, l := range c.Output {
			if _, ok := c.Length[l]; !ok {
				t.Errorf("%q: the output has %q, which no operand has", spec, l)
			}
		}
	})
}
