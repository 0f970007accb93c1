package gradcheck

import (
	"math"

	"github.com/pkg/errors"
	"gonum.org/v1/gonum/floats"
)

const (
	double = 0x1p-52 // what float64 rounds by

	// coarsest is the relative error above which differences say nothing: that
	// of float32 is about 1e-7, that of half precision 1e-4 and more.
	coarsest = 1e-5
)

// measureGradNoise estimates the rounding errors of the gradients: what is
// float64 outside may be a float32 kernel inside.
func (c *checker) measureGradNoise(base *trial) error {
	off, err := c.additivity(base)
	if err != nil {
		return err
	}
	c.gradNoise = make([]float64, len(c.vars))
	for i, r := range off {
		if r > double && r <= coarsest {
			c.gradNoise[i] = r
		}
	}
	return nil
}

// measureNoise looks at the fourth differences of the outputs along a short
// line, where those of a smooth function vanish and those of rounding errors
// don't.
func (c *checker) measureNoise(base *trial) error {
	const (
		points = 7
		step   = 1e-7 // about one unit of float32
		far    = 1e5  // steps
		gain   = 70   // sum of the squared binomial coefficients of 4
	)
	line := make([][]float64, len(c.vars))
	for i, v := range c.vars {
		line[i] = c.normal(len(v.value))
		for k, x := range line[i] {
			line[i][k] = step * v.magnitude(k) * (0.5 + c.random.Float64()) * math.Copysign(1, x)
		}
	}
	along := func(steps float64) ([][]float64, error) {
		at := make([][]float64, len(c.vars))
		for i, v := range c.vars {
			at[i] = floats.AddScaledTo(make([]float64, len(v.value)), v.value, steps, line[i])
		}
		return c.shifted(at)
	}
	var values [points][][]float64
	for p := range points {
		var err error
		if values[p], err = along(float64(p)); err != nil {
			return err
		}
	}
	last, err := along(far)
	if err != nil {
		return err
	}
	c.scale = 0
	for _, y := range values[0] {
		c.scale += floats.Norm(y, 2)
	}
	c.noise, c.stepped = make([]float64, len(base.values)), make([]bool, len(base.values))
	for o, y := range values[0] {
		squares := 0.0
		still, moved := 0, 0 // elements that move over the longer way only, and over that at all
		for k := range y {
			if math.Abs(last[o][k]-y[k]) > 1e-6*math.Abs(y[k]) {
				if moved++; values[points-1][o][k] == y[k] {
					still++
				}
			}
			for p := range points - 4 {
				d := values[p][o][k] - 4*values[p+1][o][k] + 6*values[p+2][o][k] - 4*values[p+3][o][k] + values[p+4][o][k]
				squares += d * d / gain / (points - 4)
			}
		}
		c.stepped[o] = still > moved/2
		// An output near 0 may come of large terms; what it gains over a longer
		// way tells their size.
		size := floats.Norm(y, 2)
		if gained := floats.Distance(y, last[o], 2) / (far * step); gained > size && !math.IsInf(gained, 0) {
			size = gained
		}
		noise := math.Sqrt(squares)
		switch {
		case !(noise > double*size): // NaN included
		case noise > coarsest*size:
			return errors.Errorf("output %d changes in jumps of %.1g of its size where the inputs move by 1e-7 of theirs: the function rounds to less than float32, or it is not continuous here; differences can't tell its gradient, but Parity can compare it with another implementation", base.at[o], noise/size)
		default:
			c.noise[o] = noise
			c.opt.Report.Single = c.opt.Report.Single || noise > 1e-10*size
		}
	}
	return nil
}

// additivity returns by how much the gradient for a sum of seeds differs from
// the sum of the gradients, of the largest element of each variable's gradient.
func (c *checker) additivity(base *trial) ([]float64, error) {
	u, v := base.seeds(), base.seeds()
	sum := make([][]float64, len(u))
	for o := range u {
		sum[o] = floats.AddTo(make([]float64, len(u[o])), u[o], v[o])
	}
	var grads [3][][]float64
	for i, seeds := range [][][]float64{u, v, sum} {
		var err error
		if grads[i], err = base.gradients(seeds); err != nil {
			return nil, err
		}
	}
	list := make([]float64, len(c.vars))
	for i, v := range c.vars {
		largest := 0.0
		for _, g := range grads {
			largest = max(largest, floats.Norm(g[i], math.Inf(1)))
		}
		for k, total := range grads[2][i] {
			off := math.Abs(grads[0][i][k] + grads[1][i][k] - total)
			if size := max(largest, c.rounding(v, k)/coarsest); off > list[i]*size {
				list[i] = off / size
			}
		}
	}
	return list, nil
}

// rounding is an absolute bound for rounding errors in element k of a gradient
// that comes to nothing by cancellation.
func (c *checker) rounding(v *variable, k int) float64 {
	r := 1e-12
	if c.opt.Report.Single {
		r = coarsest
	}
	return r * c.scale / v.unit[k]
}
