package gradcheck

import (
	"math"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"

	"github.com/deltatape/deltatape/autograd/internal/rowmajor"
)

// inParts checks that the gradient is the sum of those for seeds of one output
// each and, in a full check, of one element each: those that were compared with
// differences.
func (c *checker) inParts(base *trial, seeds, grads [][]float64) error {
	if len(seeds) > 1 {
		t := c.newTotal()
		for o, seed := range seeds {
			single := scaled(seeds, 0)
			single[o] = seed
			part, err := base.gradients(single)
			if err != nil {
				return err
			}
			for i, g := range part {
				t.add(i, 1, g)
			}
		}
		if err := t.compare(grads, "outputs"); err != nil {
			return err
		}
	}
	if c.jacobian == nil {
		return nil
	}
	t := c.newTotal()
	for r, row := range c.rows {
		entries := c.jacobian.RawRowView(r)
		for len(entries) > 0 {
			i := c.cols[len(c.cols)-len(entries)].v
			v := c.vars[i]
			n := len(v.value)
			t.add(i, seeds[row.o][row.at], floats.DivTo(make([]float64, n), entries[:n], v.unit))
			entries = entries[n:]
		}
	}
	return t.compare(grads, "elements of the outputs")
}

// total adds up gradients, and their sizes beside.
type total struct {
	c          *checker
	sum, sizes [][]float64
}

func (c *checker) newTotal() *total {
	t := &total{c: c}
	for _, v := range c.vars {
		t.sum, t.sizes = append(t.sum, make([]float64, len(v.value))), append(t.sizes, make([]float64, len(v.value)))
	}
	return t
}

// add adds weight·grad to the gradient of variable i.
func (t *total) add(i int, weight float64, grad []float64) {
	for k, g := range grad {
		t.sum[i][k] += weight * g
		t.sizes[i][k] += math.Abs(weight * g)
	}
}

// compare returns an error where the total is not that of all parts at a time.
func (t *total) compare(grads [][]float64, parts string) error {
	for i, v := range t.c.vars {
		largest := floats.Norm(grads[i], math.Inf(1))
		at := differs(t.sum[i], grads[i], func(k int) float64 {
			return max(coarsest*max(largest, t.sizes[i][k]), t.c.rounding(v, k))
		})
		if at >= 0 {
			return errors.Errorf("the gradient is not linear in the seeds: %v: for seeds of all %s together it is %.9g at %v, and those for one of them at a time add up to %.9g",
				v, parts, grads[i][at], rowmajor.Index(at, v.shape), t.sum[i][at])
		}
	}
	return nil
}
