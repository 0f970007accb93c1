// Package einsum reads the notation of Einstein sums, such as "bik,bkj->bij".
//
// Parse resolves it for operands of given shapes into a Contraction, in which
// every axis has a letter: an ellipsis becomes as many new letters as it stands
// for axes, aligned at the last one.
package einsum

import (
	"slices"
	"strings"
	"unicode"

	"github.com/pkg/errors"
)

// One stands in an operand for an axis of length 1 that broadcasts: one of an
// ellipsis that is longer elsewhere.
const One = '1'

// A Contraction is a sum of products over the labels that the output lacks.
type Contraction struct {
	Operands [][]rune     // a letter, or One, for each axis of each operand
	Output   []rune       // a letter for each axis of the result
	Length   map[rune]int // of the axes of each letter
}

// Shape returns the lengths of the labels.
func (c *Contraction) Shape(labels []rune) []int {
	shape := make([]int, len(labels))
	for i, l := range labels {
		shape[i] = 1
		if l != One {
			shape[i] = c.Length[l]
		}
	}
	return shape
}

const dots = "..."

// Parse reads spec for operands of the given shapes. Without "->" the output is
// the ellipsis, if there is one, and the letters that occur once, in
// alphabetical order. Spaces count for nothing.
func Parse(spec string, shapes [][]int) (*Contraction, error) {
	left, right, explicit := strings.Cut(strings.ReplaceAll(spec, " ", ""), "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(shapes) {
		return nil, errors.Errorf("%q has %d operands, got %d", spec, len(terms), len(shapes))
	}
	ellipsis, err := ellipsisOf(spec, terms, shapes)
	if err != nil {
		return nil, err
	}
	c := &Contraction{Length: map[rune]int{}}
	for i, term := range terms {
		labels, err := c.operand(i, term, shapes[i], ellipsis)
		if err != nil {
			return nil, err
		}
		c.Operands = append(c.Operands, labels)
	}
	if explicit {
		c.Output, err = c.output(right, ellipsis)
		return c, err
	}
	c.Output = append(slices.Clone(ellipsis), c.single(ellipsis)...)
	return c, nil
}

// ellipsisOf returns new letters for the axes of the longest ellipsis.
func ellipsisOf(spec string, terms []string, shapes [][]int) ([]rune, error) {
	longest := 0
	for i, term := range terms {
		rest := strings.Replace(term, dots, "", 1)
		if err := onlyLetters(term, rest); err != nil {
			return nil, err
		}
		if rest == term {
			continue
		}
		named := len([]rune(rest))
		if len(shapes[i]) < named {
			return nil, errors.Errorf("operand %d has %d axes, but %q names %d", i, len(shapes[i]), term, named)
		}
		longest = max(longest, len(shapes[i])-named)
	}
	var letters []rune
	for l := 'α'; len(letters) < longest; l++ {
		if unicode.IsLetter(l) && !strings.ContainsRune(spec, l) {
			letters = append(letters, l)
		}
	}
	return letters, nil
}

// operand reads the labels of operand i and learns their lengths.
func (c *Contraction) operand(i int, term string, shape []int, ellipsis []rune) ([]rune, error) {
	before, after, found := strings.Cut(term, dots)
	labels := []rune(before)
	first := len(labels) // axis of the ellipsis
	if found {
		n := max(0, len(shape)-len([]rune(before+after)))
		labels = append(append(labels, ellipsis[len(ellipsis)-n:]...), []rune(after)...)
	}
	if len(labels) != len(shape) {
		return nil, errors.Errorf("operand %d has %d axes, but %q names %d", i, len(shape), term, len(labels))
	}
	for axis, l := range labels {
		n, known := c.Length[l]
		switch broadcasts := found && axis >= first && slices.Contains(ellipsis, l); {
		case !known || broadcasts && n == 1:
			if known && shape[axis] != 1 {
				c.broadcast(l)
			}
			c.Length[l] = shape[axis]
		case broadcasts && shape[axis] == 1 && n != 1:
			labels[axis] = One
		case broadcasts && n != shape[axis]:
			return nil, errors.Errorf("an axis of %q has length %d in operand %d and %d before it", dots, shape[axis], i, n)
		case n != shape[axis]:
			return nil, errors.Errorf("label %q has length %d in operand %d and %d before it", l, shape[axis], i, n)
		}
	}
	return labels, nil
}

// broadcast makes One of the axes with letter l, which had length 1 until a
// longer one was found.
func (c *Contraction) broadcast(l rune) {
	for _, labels := range c.Operands {
		for axis := range labels {
			if labels[axis] == l {
				labels[axis] = One
			}
		}
	}
}

// output reads the labels of the result.
func (c *Contraction) output(term string, ellipsis []rune) ([]rune, error) {
	before, after, found := strings.Cut(term, dots)
	if err := onlyLetters(term, before+after); err != nil {
		return nil, err
	}
	if found {
		before += string(ellipsis)
	}
	labels := []rune(before + after)
	for i, l := range labels {
		if _, ok := c.Length[l]; !ok {
			return nil, errors.Errorf("the output names %q, which no operand has", l)
		}
		if slices.Contains(labels[:i], l) {
			return nil, errors.Errorf("the output names %q twice", l)
		}
	}
	return labels, nil
}

// single returns the letters that occur once, in order, without the ellipsis.
func (c *Contraction) single(ellipsis []rune) []rune {
	count := map[rune]int{}
	for _, labels := range c.Operands {
		for _, l := range labels {
			count[l]++
		}
	}
	var out []rune
	for l, n := range count {
		if n == 1 && l != One && !slices.Contains(ellipsis, l) {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

func onlyLetters(term, text string) error {
	for _, l := range text {
		if !unicode.IsLetter(l) {
			return errors.Errorf("want letters and one %q in %q, got %q", dots, term, l)
		}
	}
	return nil
}
