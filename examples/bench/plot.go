package main

import (
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/pkg/errors"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/deltatape/deltatape/internal/safetensors"
	"github.com/deltatape/deltatape/train/report"
)

// plotRows draws tokens per second by length, a curve for each line, on
// logarithmic axes into a PNG that appears whole or not at all.
func plotRows(path string, rows []row) error {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = "T", "tokens/s"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(rateTicks)
	p.Legend.Top, p.Legend.Padding = true, vg.Points(4)
	p.Add(plotter.NewGrid())

	all := curves(rows)
	several := slices.ContainsFunc(all, func(c curve) bool { return c.setting() != all[0].setting() })
	if !several {
		p.Title.Text = all[0].setting()
	}
	var lengths []int
	for i, c := range all {
		points := make(plotter.XYs, len(c.rows))
		for j, r := range c.rows {
			points[j] = plotter.XY{X: float64(r.Shape.T()), Y: r.TokensPerS}
			lengths = append(lengths, r.Shape.T())
		}
		l, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return errors.WithStack(err)
		}
		l.Color, l.Width, l.Dashes = plotutil.Color(i), vg.Points(1.5), plotutil.Dashes(i/len(plotutil.DefaultColors))
		dots.Color, dots.Shape = l.Color, plotutil.Shape(i)
		p.Add(l, dots)
		name := c.String()
		if several {
			name += " at " + c.setting()
		}
		p.Legend.Add(name, l, dots)
	}
	slices.Sort(lengths)
	var ticks plot.ConstantTicks
	for _, T := range slices.Compact(lengths) {
		ticks = append(ticks, plot.Tick{Value: float64(T), Label: strconv.Itoa(T)})
	}
	p.X.Tick.Marker = ticks
	widen(&p.X)
	widen(&p.Y)
	legend := min(0.5, 0.05*float64(len(all))) // of the height
	p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, legend/(1-legend))
	image, err := p.WriterTo(800*vg.Inch/96, 500*vg.Inch/96, "png")
	if err != nil {
		return errors.WithStack(err)
	}
	return safetensors.AtomicWrite(path, func(w io.Writer) error {
		_, err := image.WriteTo(w)
		return errors.WithStack(err)
	})
}

// rateTicks puts ticks at 1, 2 and 5 times powers of ten.
func rateTicks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for unit := math.Pow(10, math.Floor(math.Log10(low))); unit <= high; unit *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * unit; v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: report.Count(v)})
			}
		}
	}
	return ticks
}

// widen leaves room beside the curves, and around a single point.
func widen(axis *plot.Axis) { axis.Min, axis.Max = axis.Min/1.3, axis.Max*1.3 }
