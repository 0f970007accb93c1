package train

import "math"

// Schedule gives the learning rate of a step, counted from 0.
type Schedule func(step int) float64

// Constant always gives rate.
func Constant(rate float64) Schedule { return func(int) float64 { return rate } }

// WarmupCosine rises linearly to peak over warmup steps, then falls to
// final·peak at the last of steps along half a cosine (Loshchilov and Hutter,
// SGDR, arXiv 1608.03983).
func WarmupCosine(peak float64, warmup, steps int, final float64) Schedule {
	return func(step int) float64 {
		if step < warmup {
			return peak * float64(step+1) / float64(warmup)
		}
		span := max(1, steps-1-warmup)
		done := min(1, float64(step-warmup)/float64(span))
		return peak * (final + (1-final)*(1+math.Cos(math.Pi*done))/2)
	}
}
