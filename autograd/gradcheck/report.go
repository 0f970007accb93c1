package gradcheck

import (
	"fmt"
	"strings"

	"gonum.org/v1/gonum/mat"
)

// Report says what a check covered, as far as it came.
type Report struct {
	Fast        bool
	Checked     []string // inputs and parameters whose gradients were checked, such as "input 0 [3 4]"
	Flat        []string // those of Checked on which no output depends at these inputs
	Skipped     []string // inputs, parameters and outputs that were not checked, and why
	Outputs     int      // outputs that are differentiable
	Derivatives int      // that were compared
	Evaluations int      // forward passes
	Sweeps      int      // backward passes
	Also        []string // what was tried besides
	Single      bool     // the function rounds to about float32, so that the comparison had to be coarser
}

// String is one line.
func (r *Report) String() string {
	var b strings.Builder
	kind := "derivatives"
	if r.Fast {
		kind = "projected derivatives"
	}
	fmt.Fprintf(&b, "checked %d %s of %d outputs by %s; %d forward and %d backward passes", r.Derivatives, kind, r.Outputs, enumerate(r.Checked), r.Evaluations, r.Sweeps)
	if r.Single {
		b.WriteString("; more coarsely, because the function rounds to float32")
	}
	if len(r.Also) > 0 {
		fmt.Fprintf(&b, "; also %s", enumerate(r.Also))
	}
	if len(r.Flat) > 0 {
		fmt.Fprintf(&b, "; nothing depends on %s here", enumerate(r.Flat))
	}
	if len(r.Skipped) > 0 {
		fmt.Fprintf(&b, "; not checked: %s", enumerate(r.Skipped))
	}
	return b.String()
}

// compared notes the variables whose derivatives were compared.
func (r *Report) compared(vars []*variable, cols []direction, analytic, numeric *mat.Dense) {
	flat := make([]bool, len(vars))
	for i := range flat {
		flat[i] = true
	}
	for k, col := range cols {
		for row := range analytic.RawMatrix().Rows {
			r.Derivatives++
			if analytic.At(row, k) != 0 || numeric.At(row, k) != 0 {
				flat[col.v] = false
			}
		}
	}
	for i, v := range vars {
		name := fmt.Sprintf("%v %v", v, v.shape)
		r.Checked = append(r.Checked, name)
		if flat[i] {
			r.Flat = append(r.Flat, name)
		}
	}
}

func (r *Report) skip(format string, args ...any) {
	r.Skipped = append(r.Skipped, fmt.Sprintf(format, args...))
}

func enumerate(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}
