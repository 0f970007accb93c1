package autograd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/deltatape/deltatape/tensor"
)

// Stats says what a tape holds for its backward pass. Bytes are those of the
// elements: a view such as a reshape or a broadcast counts in full, though the
// engine may let it share memory.
type Stats struct {
	Nodes      int       // operations recorded
	Tensors    int       // open handles that the tape owns, values and gradients included
	SavedBytes int64     // of the tensors saved, each counted once
	LeafBytes  int64     // the part of SavedBytes in values of Var, Const and Param, which exist without the tape
	Ops        []OpStats // by name; the one that saves most comes first
}

// OpStats is the part of Stats that concerns the operations of one name.
type OpStats struct {
	Name  string
	Nodes int

	// SavedBytes counts a tensor for the first operation that saved it, so that
	// those of all Ops add up to Stats.SavedBytes. What an operation saved that
	// was counted before is in SharedBytes.
	SavedBytes, SharedBytes int64
}

// Stats counts the operations that the tape recorded and what they keep for the
// backward pass. A pass frees what it leaves behind, unless the tape is
// retained. A Checkpoint keeps its operands, and the values that its function
// reached besides.
func (t *Tape) Stats() Stats {
	nodes := t.root.nodes()
	s := Stats{Nodes: len(nodes), Tensors: t.scope.Len()}
	counted := make(map[*tensor.Tensor]bool)
	place := make(map[string]int)
	for _, c := range nodes {
		name := nameOf(c.fn)
		i, ok := place[name]
		if !ok {
			i = len(s.Ops)
			place[name] = i
			s.Ops = append(s.Ops, OpStats{Name: name})
		}
		op := &s.Ops[i]
		op.Nodes++
		for _, x := range c.keeps() {
			if counted[x] {
				op.SharedBytes += x.Bytes()
				continue
			}
			counted[x] = true
			op.SavedBytes += x.Bytes()
			s.SavedBytes += x.Bytes()
			if c.isLeaf(x) {
				s.LeafBytes += x.Bytes()
			}
		}
	}
	slices.SortStableFunc(s.Ops, func(a, b OpStats) int {
		return cmp.Or(cmp.Compare(b.SavedBytes, a.SavedBytes), cmp.Compare(a.Name, b.Name))
	})
	return s
}

// keeps lists the tensors that the operation keeps for its backward pass, each
// once.
func (c *Context) keeps() []*tensor.Tensor {
	var list []*tensor.Tensor
	add := func(x *tensor.Tensor) {
		if x != nil && !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	for _, x := range c.saved {
		add(x)
	}
	if _, ok := c.fn.(*checkpoint); ok && !c.spent {
		for _, v := range c.in {
			if v != nil {
				add(v.value)
			}
		}
	}
	return list
}

func (c *Context) isLeaf(x *tensor.Tensor) bool {
	return slices.ContainsFunc(c.in, func(v *Var) bool { return v != nil && v.leaf && v.value == x })
}

// String is a table of the operations.
func (s Stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d nodes, %d tensors, %d bytes saved, %d of them in leaves\n", s.Nodes, s.Tensors, s.SavedBytes, s.LeafBytes)
	if len(s.Ops) == 0 {
		return b.String()
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "operation\tnodes\tbytes saved\tshared")
	for _, op := range s.Ops {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", op.Name, op.Nodes, op.SavedBytes, op.SharedBytes)
	}
	_ = w.Flush() // a Builder takes everything
	return b.String()
}
