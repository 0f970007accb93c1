package report

import (
	"math"
	"strings"
)

// Sparkline draws the values as a row of at most width block characters, from ▁
// for the least to █ for the greatest. If there are more values than width, a
// character stands for the mean of its share of them. Values that are not
// finite are left out; a share without any other is a space.
func Sparkline(values []float64, width int) string {
	width = min(width, len(values))
	if width <= 0 {
		return ""
	}
	means := make([]float64, width)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range means {
		means[i] = finiteMean(values[i*len(values)/width : (i+1)*len(values)/width])
		if !math.IsNaN(means[i]) {
			low, high = min(low, means[i]), max(high, means[i])
		}
	}
	blocks := []rune("▁▂▃▄▅▆▇█")
	var line strings.Builder
	for _, mean := range means {
		switch {
		case math.IsNaN(mean):
			line.WriteByte(' ')
		case high == low:
			line.WriteRune(blocks[0])
		default:
			// Halves keep the difference of huge values finite.
			share := (mean/2 - low/2) / (high/2 - low/2)
			line.WriteRune(blocks[min(int(share*float64(len(blocks))), len(blocks)-1)])
		}
	}
	return line.String()
}

// finiteMean returns the mean of the finite values, NaN if there is none.
func finiteMean(values []float64) float64 {
	mean, n := 0.0, 0.0
	for _, v := range values {
		if isFinite(v) {
			n++
			mean += v/n - mean/n
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return mean
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
