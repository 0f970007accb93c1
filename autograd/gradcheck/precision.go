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
	const far = 0.01 // where the inputs have moved by about a hundredth
	line := make([][]float64, len(c.vars))
	for i, v := range c.vars {
		line[i] = c.normal(len(v.value))
		for k, x := range line[i] {
			line[i][k] = v.magnitude(k) * (0.5 + c.random.Float64()) * math.Copysign(1, x)
		}
	}
	near, err := c.walk(line, 1e-7, 7) // about one unit of float32
	if err != nil {
		return err
	}
	end, err := c.along(line, far)
	if err != nil {
		return err
	}
	var fine [][][]float64
	c.scale = 0
	for _, y := range near[0] {
		c.scale += floats.Norm(y, 2)
	}
	c.noise, c.stepped = make([]float64, len(base.values)), make([]bool, len(base.values))
	for o, y := range near[0] {
		last := end[o]
		still, moved := 0, 0 // elements that move over the longer way only, and over that at all
		for k := range y {
			if math.Abs(last[k]-y[k]) > 1e-6*math.Abs(y[k]) {
				if moved++; near[len(near)-1][o][k] == y[k] {
					still++
				}
			}
		}
		c.stepped[o] = still > moved/2
		// An output near 0 may come of large terms; what it gains over a longer
		// way tells their size.
		size := floats.Norm(y, 2)
		if gained := floats.Distance(y, last, 2) / far; gained > size && !math.IsInf(gained, 0) {
			size = gained
		}
		rough := roughness(near, o)
		if floats.Norm(rough, 2) > 1e-10*size {
			if fine == nil {
				if fine, err = c.walk(line, 1e-8, 13); err != nil {
					return err
				}
			}
			smoothen(rough, fine, o)
		}
		noise := floats.Norm(rough, 2)
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

// walk evaluates the function at a number of points along a line, from the
// variables' values on.
func (c *checker) walk(line [][]float64, step float64, points int) ([][][]float64, error) {
	values := make([][][]float64, points)
	for p := range values {
		var err error
		if values[p], err = c.along(line, float64(p)*step); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (c *checker) along(line [][]float64, distance float64) ([][]float64, error) {
	at := make([][]float64, len(c.vars))
	for i, v := range c.vars {
		at[i] = floats.AddScaledTo(make([]float64, len(v.value)), v.value, distance, line[i])
	}
	return c.shifted(at)
}

// roughness estimates the rounding error of each element of output o from its
// fourth differences along a walk.
func roughness(walk [][][]float64, o int) []float64 {
	const gain = 70 // sum of the squared binomial coefficients of 4
	list := make([]float64, len(walk[0][o]))
	fourth := make([]float64, len(walk)-4)
	for k := range list {
		step := func(p int) float64 { return walk[p+1][o][k] - walk[p][o][k] }
		for p := range fourth {
			fourth[p] = step(p+3) - 3*step(p+2) + 3*step(p+1) - step(p)
		}
		list[k] = floats.Norm(fourth, 2) / math.Sqrt(float64(gain*len(fourth)))
	}
	return list
}

// smoothen forgets the roughness of elements that only bend much: in steps of a
// tenth that falls by the fourth power, which rounding errors don't.
func smoothen(rough []float64, fine [][][]float64, o int) {
	first, last := fine[0][o], fine[len(fine)-1][o]
	for k, r := range roughness(fine, o) {
		if first[k] != last[k] && r <= 1e-3*rough[k] {
			rough[k] = 0
		}
	}
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
