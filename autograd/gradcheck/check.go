package gradcheck

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// Options are the settings of a check. The zero value is right for most.
type Options struct {
	// Eps is the step of the central differences, in units of the magnitude
	// of the element (1e-6 if 0). Where a difference disagrees with the
	// gradient, coarser and finer steps are tried before it counts.
	Eps float64

	// Atol and Rtol bound |analytic − numeric| by Atol + Rtol·max(|analytic|,
	// |numeric|). If 0 they are 1e-7 of the largest derivative of the output
	// with respect to the input, and 1e-5.
	Atol, Rtol float64

	// Fast compares one random projection of each output along one random
	// direction in each input: two evaluations an input in place of two an
	// element. A mistake in few of many elements may pass.
	Fast bool

	// Seed is that of the random seeds and directions.
	Seed uint64

	// Inputs are the positions of the inputs to check; nil means all.
	Inputs []int

	// Params are parameters that the function uses and whose gradients are to
	// be checked, too. During the check all parameters that the function uses
	// have float64 values.
	Params []*autograd.Param

	// AllParams adds every trainable parameter that the function uses.
	AllParams bool

	// Float64Only leaves out the one pass in the dtype that the inputs came in,
	// for functions that know float64 only.
	Float64Only bool

	// Report, if not nil, is overwritten with what the check covered.
	Report *Report
}

// Run is Check for a test: it reports the error to t, and logs what was covered.
func Run(t testing.TB, f func(...*autograd.Var) []*autograd.Var, inputs []*tensor.Tensor, opt Options) {
	t.Helper()
	if opt.Report == nil {
		opt.Report = new(Report)
	}
	err := Check(f, inputs, opt)
	t.Logf("%v", opt.Report)
	if err != nil {
		t.Errorf("%v", err)
	}
}

// Check compares the gradients of f at the inputs with central differences. The
// package documentation says what else it tries. It returns a *Mismatch if a
// gradient is wrong, and another error if something else is.
func Check(f func(...*autograd.Var) []*autograd.Var, inputs []*tensor.Tensor, opt Options) error {
	if opt.Report == nil {
		opt.Report = new(Report)
	}
	*opt.Report = Report{Fast: opt.Fast}
	c, err := newChecker(f, inputs, opt)
	if err != nil {
		return errors.Wrap(err, "gradcheck")
	}
	defer c.close()
	return errors.Wrap(c.check(), "gradcheck")
}

// check runs the parts of a check, each on a tape of its own, since parameters
// are set between them.
func (c *checker) check() error {
	for _, part := range []func(*trial) error{c.repeats, c.measureNoise, c.measureGradNoise, c.derivatives, c.properties} {
		base, err := c.baseline()
		if err != nil {
			return err
		}
		err = part(base)
		base.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// checker holds what the parts of a check share.
type checker struct {
	f      func(...*autograd.Var) []*autograd.Var
	opt    Options
	scope  *tensor.Scope
	random *rand.Rand

	given  []*tensor.Tensor // the inputs as they came
	inputs []*tensor.Tensor // floats are float64
	vars   []*variable
	params []*autograd.Param // those that the function uses, checked or not
	kept   []*tensor.Tensor  // their own values
	wide   []*tensor.Tensor  // and those in float64
	sizes  []int             // elements of the differentiable outputs

	jacobian *mat.Dense   // by backward passes, of a full check
	rows     []functional // of it
	cols     []direction

	scale     float64   // sum of the outputs' norms
	noise     []float64 // norm of the rounding errors of each output
	gradNoise []float64 // those of each variable's gradient, of its largest element
	stepped   []bool    // outputs that stand still under small changes of the inputs
}

// variable is an input or a parameter whose gradient is checked.
type variable struct {
	input  int // position, or −1 for a parameter
	param  *autograd.Param
	number int // of the parameter among those of its name, from 1; 0 if it is the only one
	shape  []int
	value  []float64
	unit   []float64 // what steps are measured in: the elements' magnitudes, small ones raised
}

// magnitude is the element's own, or its unit where that is zero.
func (v *variable) magnitude(k int) float64 {
	if x := math.Abs(v.value[k]); x > 0 {
		return x
	}
	return v.unit[k]
}

func newChecker(f func(...*autograd.Var) []*autograd.Var, inputs []*tensor.Tensor, opt Options) (*checker, error) {
	if !(opt.Eps >= 0 && opt.Atol >= 0 && opt.Rtol >= 0) {
		return nil, errors.Errorf("want Eps, Atol and Rtol >= 0, got %v, %v and %v", opt.Eps, opt.Atol, opt.Rtol)
	}
	if opt.Eps == 0 {
		opt.Eps = 1e-6
	}
	if opt.Rtol == 0 {
		opt.Rtol = 1e-5
	}
	for _, i := range opt.Inputs {
		if i < 0 || i >= len(inputs) || inputs[i] == nil || !inputs[i].Dtype().IsFloat() {
			return nil, errors.Errorf("Options.Inputs: %d is not the position of a floating-point input", i)
		}
	}
	if f == nil {
		return nil, errors.New("the function is nil")
	}
	if i := slices.Index(opt.Params, nil); i >= 0 {
		return nil, errors.Errorf("Options.Params: parameter %d is nil", i)
	}
	c := &checker{f: f, opt: opt, scope: tensor.NewScope(), random: rand.New(rand.NewPCG(opt.Seed, 1))}
	for i, x := range inputs {
		if x == nil {
			return c.fail(errors.Errorf("input %d is nil", i))
		}
		x = c.scope.Use(x)
		c.given = append(c.given, x)
		skipped := "not asked for"
		if x.Dtype().IsFloat() {
			x = tensor.AsType(x, tensor.Float64)
			if opt.Inputs == nil || slices.Contains(opt.Inputs, i) {
				skipped = ""
				if err := c.add(&variable{input: i}, x); err != nil {
					return c.fail(errors.Wrapf(err, "input %d", i))
				}
			}
		} else {
			skipped = x.Dtype().String()
		}
		if skipped != "" {
			opt.Report.skip("input %d (%s)", i, skipped)
		}
		c.inputs = append(c.inputs, x)
	}
	none := errors.New("there is no floating-point input to check")
	if len(inputs) == 0 || len(c.vars) == 0 && len(opt.Params) == 0 && !opt.AllParams {
		return c.fail(none)
	}
	if err := c.addParams(); err != nil {
		return c.fail(err)
	}
	if len(c.vars) == 0 {
		return c.fail(none)
	}
	c.setParams(c.wide)
	return c, nil
}

// addParams makes variables of the parameters that are asked for, or of all that
// the function uses. The others become float64, too, lest they spoil the dtypes.
func (c *checker) addParams() error {
	used, err := c.usedParams()
	if err != nil {
		return errors.WithMessage(err, "forward pass")
	}
	c.params = union(c.opt.Params, used)
	inOrder := union(used, c.opt.Params)
	for _, p := range c.params {
		own := c.scope.Use(p.Value())
		x := tensor.AsType(own, tensor.Float64)
		c.kept, c.wide = append(c.kept, own), append(c.wide, x)
		v := &variable{input: -1, param: p, number: number(p, inOrder)}
		switch {
		case slices.Contains(c.opt.Params, p) || c.opt.AllParams && p.Trainable():
			if err := c.add(v, x); err != nil {
				return errors.Wrap(err, v.String())
			}
		case p.Trainable():
			c.opt.Report.skip("%v (not asked for)", v)
		default:
			c.opt.Report.skip("%v (not trainable)", v)
		}
	}
	return nil
}

// union lists the parameters of both lists, each once.
func union(a, b []*autograd.Param) []*autograd.Param {
	var list []*autograd.Param
	for _, p := range slices.Concat(a, b) {
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// number returns the place of p, from 1, among those of its name, and 0 if there
// is no other.
func number(p *autograd.Param, all []*autograd.Param) int {
	place, count := 0, 0
	for _, q := range all {
		if q.Name() == p.Name() {
			if count++; q == p {
				place = count
			}
		}
	}
	if count == 1 {
		return 0
	}
	return place
}

// usedParams calls the function once to see which parameters it puts on a tape.
func (c *checker) usedParams() (used []*autograd.Param, err error) {
	tape := autograd.NoGrad()
	defer tape.Close()
	err = tensor.Try(func() {
		args := make([]*autograd.Var, len(c.inputs))
		for i, x := range c.inputs {
			args[i] = tape.Const(x)
		}
		c.f(args...)
	})
	return tape.Params(), err
}

// setParams gives the parameters values.
func (c *checker) setParams(values []*tensor.Tensor) {
	for i, x := range values {
		c.params[i].SetValue(x)
	}
}

func (c *checker) fail(err error) (*checker, error) {
	c.close()
	return nil, err
}

func (c *checker) add(v *variable, x *tensor.Tensor) error {
	value, err := tensor.Data[float64](x)
	if err != nil {
		return err
	}
	for _, x := range value {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.Errorf("want finite values, got %v", x)
		}
	}
	rms := floats.Norm(value, 2) / math.Sqrt(float64(max(1, len(value))))
	v.shape, v.value, v.unit = x.Shape(), value, make([]float64, len(value))
	for i, x := range value {
		size := math.Abs(x)
		switch v.unit[i] = max(size, rms/10); {
		case v.unit[i] == 0:
			v.unit[i] = 1
		case size > 0: // lest derivatives overflow
			v.unit[i] = min(v.unit[i], 1e100*size)
		}
	}
	c.vars = append(c.vars, v)
	return nil
}

// close gives the parameters their values back and frees everything.
func (c *checker) close() {
	c.setParams(c.kept)
	c.scope.Close()
}

// normal draws n numbers.
func (c *checker) normal(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = c.random.NormFloat64()
	}
	return list
}
