package report

import (
	"image/color"
	"io"
	"math"
	"slices"

	"github.com/pkg/errors"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/deltatape/deltatape/internal/safetensors"
)

// A Series is a curve of a [LossPlot].
type Series struct {
	Name string
	// X are the steps of the values, ascending; nil stands for 1, 2, 3 and so
	// on.
	X []float64
	Y []float64
}

// smoothFrom is the number of values from which a curve is drawn twice, pale
// and smoothed.
const smoothFrom = 50

// maxPlotted bounds the values that are drawn: beyond it the positions on the
// canvas overflow.
const maxPlotted = 1e30

// buckets is the number of parts of a long curve that are drawn as the least
// and the greatest value only: about one for each pixel.
const buckets = 800

// pieceLen is the number of segments that are drawn as one line. The time that
// the rasteriser takes for a line grows with the square of it.
const pieceLen = 50

// LossPlot draws the series into one diagram, 800 by 500 pixels, and writes it
// as PNG to path, atomically: if it fails, what was at path is still there. A
// series of 50 values or more is drawn pale, with a smoothed curve over it; a
// single value is a dot. Values that are not finite, or beyond ±1e30, are gaps.
//
// It is an error if X and Y of a series differ in length, no series has a value
// to plot, or the file cannot be written.
func LossPlot(path string, series ...Series) error {
	image, err := draw(series)
	if err != nil {
		return errors.Wrap(err, "report.LossPlot")
	}
	err = safetensors.AtomicWrite(path, func(w io.Writer) error {
		_, err := image.WriteTo(w)
		return errors.WithStack(err)
	})
	return errors.Wrap(err, "report.LossPlot")
}

// draw returns the PNG of the diagram.
func draw(series []Series) (io.WriterTo, error) {
	p := plot.New()
	p.X.Label.Text = "step"
	p.Y.Label.Text = "loss"
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(4)
	p.Legend.XOffs = -vg.Points(8)
	p.Add(plotter.NewGrid())

	empty := true
	for i, s := range series {
		if s.X != nil && len(s.X) != len(s.Y) {
			return nil, errors.Errorf("series %q has %d steps and %d values: want as many", s.Name, len(s.X), len(s.Y))
		}
		drawn, err := addCurve(p, s, plotutil.Color(i))
		if err != nil {
			return nil, errors.Wrapf(err, "series %q", s.Name)
		}
		empty = empty && !drawn
	}
	if empty {
		return nil, errors.Errorf("no finite value to plot in %d series", len(series))
	}
	widen(&p.X)
	widen(&p.Y)
	// At 96 dots per inch this makes 800 by 500 pixels.
	image, err := p.WriterTo(800*vg.Inch/96, 500*vg.Inch/96, "png")
	return image, errors.WithStack(err)
}

// widen gives an axis a range that it can put ticks on, which fails where there
// are not enough digits between the ends.
func widen(axis *plot.Axis) {
	size := max(math.Abs(axis.Min), math.Abs(axis.Max))
	if axis.Max-axis.Min < max(size*1e-6, 1e-9) {
		margin := max(size*0.1, 0.5)
		axis.Min, axis.Max = axis.Min-margin, axis.Max+margin
	}
}

// addCurve adds a series to the plot and reports whether it had anything to
// show.
func addCurve(p *plot.Plot, s Series, c color.Color) (drawn bool, err error) {
	curves := []struct {
		values []float64
		color  color.Color
		width  vg.Length
	}{{s.Y, c, vg.Points(1.5)}}
	if len(s.Y) >= smoothFrom {
		curves[0].color, curves[0].width = pale(c), vg.Points(0.75)
		curves = append(curves, curves[0])
		curves[1].values, curves[1].color, curves[1].width = smooth(s.Y), c, vg.Points(2)
	}
	for i, curve := range curves {
		var entry plot.Thumbnailer
		for _, run := range runs(points(s.X, curve.values)) {
			if len(run) == 1 {
				dot, err := plotter.NewScatter(run)
				if err != nil {
					return false, errors.WithStack(err)
				}
				dot.Color, dot.Radius, dot.Shape = curve.color, vg.Points(2), plotutil.DefaultGlyphShapes[0]
				p.Add(dot)
				entry = dot
				continue
			}
			line, err := plotter.NewLine(run)
			if err != nil {
				return false, errors.WithStack(err)
			}
			line.Color, line.Width = curve.color, curve.width
			p.Add(line)
			entry = line
		}
		if entry == nil {
			return false, nil
		}
		if i == len(curves)-1 && s.Name != "" {
			p.Legend.Add(s.Name, entry)
		}
	}
	return true, nil
}

// points pairs steps and values, thinned to what the diagram can show. Values
// that cannot be drawn become NaN.
func points(x, y []float64) plotter.XYs {
	all := make(plotter.XYs, len(y))
	for i, v := range y {
		at := float64(i + 1)
		if x != nil {
			at = x[i]
		}
		if !(math.Abs(at) <= maxPlotted && math.Abs(v) <= maxPlotted) {
			v = math.NaN()
		}
		all[i] = plotter.XY{X: at, Y: v}
	}
	if len(all) <= 2*buckets {
		return all
	}
	thin := make(plotter.XYs, 0, 2*buckets)
	for i := range buckets {
		thin = append(thin, extremes(all[i*len(all)/buckets:(i+1)*len(all)/buckets])...)
	}
	return thin
}

// extremes returns the points with the least and the greatest value, in their
// order, or a NaN if no point has a value.
func extremes(part plotter.XYs) plotter.XYs {
	low, high := -1, -1
	for i, p := range part {
		if math.IsNaN(p.Y) {
			continue
		}
		if low < 0 || p.Y < part[low].Y {
			low = i
		}
		if high < 0 || p.Y > part[high].Y {
			high = i
		}
	}
	switch {
	case low < 0:
		return part[:1]
	case low == high:
		return part[low : low+1]
	}
	return plotter.XYs{part[min(low, high)], part[max(low, high)]}
}

// runs splits points at the gaps, and what lies between into pieces that share
// their ends.
func runs(points plotter.XYs) []plotter.XYs {
	var all []plotter.XYs
	start := 0
	for i := range len(points) + 1 {
		switch {
		case i == len(points) || math.IsNaN(points[i].Y):
			if start < i {
				all = append(all, points[start:i])
			}
			start = i + 1
		case i-start == pieceLen:
			all = append(all, points[start:i+1])
			start = i
		}
	}
	return all
}

// smooth returns, for each value, the mean of all with weights that fall off
// exponentially to both sides, over about a fortieth of them: as it looks ahead
// as far as back, it does not lag behind. Gaps stay gaps.
func smooth(values []float64) []float64 {
	keep := 1 - 1/(1+float64(len(values))/80)
	sums, weights := make([]float64, len(values)), make([]float64, len(values))
	pass := func(i int, sum, weight *float64) {
		*sum *= keep
		*weight *= keep
		sums[i] += *sum
		weights[i] += *weight
		if v := values[i]; math.Abs(v) <= maxPlotted {
			*sum += v
			*weight++
		}
	}
	var sum, weight float64
	for i := range values {
		pass(i, &sum, &weight)
	}
	sum, weight = 0, 0
	for i := range slices.Backward(values) {
		pass(i, &sum, &weight)
	}
	for i, v := range values {
		sums[i] = (sums[i] + v) / (weights[i] + 1)
	}
	return sums
}

// pale mixes a colour with white.
func pale(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	mix := func(v uint32) uint8 { return uint8((v>>8 + 2*255) / 3) }
	return color.RGBA{mix(r), mix(g), mix(b), 255}
}
