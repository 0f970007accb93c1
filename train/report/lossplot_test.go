package report

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot/plotutil"
)

// plotFile plots the series and returns the picture.
func plotFile(t *testing.T, series ...Series) image.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loss.png")
	if err := LossPlot(path, series...); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size != image.Pt(800, 500) {
		t.Errorf("the picture has %v pixels", size)
	}
	return picture
}

// pixels counts the pixels of a colour, left of the legend.
func pixels(picture image.Image, c color.Color) (n int) {
	r, g, b, _ := c.RGBA()
	for y := range picture.Bounds().Dy() {
		for x := range 600 {
			if pr, pg, pb, _ := picture.At(x, y).RGBA(); pr>>8 == r>>8 && pg>>8 == g>>8 && pb>>8 == b>>8 {
				n++
			}
		}
	}
	return n
}

func TestLossPlotCurves(t *testing.T) {
	noisy := make([]float64, 600)
	for i := range noisy {
		noisy[i] = 2 + 6*math.Exp(-float64(i)/60) + 0.2*math.Sin(float64(i*i))
	}
	picture := plotFile(t,
		Series{Name: "training", Y: noisy},
		Series{Name: "held out", X: []float64{100, 300, 600}, Y: []float64{4, 3, 2.5}},
		Series{Name: "order 2", X: []float64{0, 600}, Y: []float64{3.5, 3.5}})
	for _, tc := range []struct {
		name  string
		color color.Color
		least int
	}{
		{"raw curve", pale(plotutil.Color(0)), 50},
		{"smoothed curve", plotutil.Color(0), 300},
		{"second curve", plotutil.Color(1), 100},
		{"level", plotutil.Color(2), 400},
	} {
		if n := pixels(picture, tc.color); n < tc.least {
			t.Errorf("%s: %d pixels, want %d or more", tc.name, n, tc.least)
		}
	}
}

func TestLossPlotOddSeries(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	gaps := make([]float64, 200)
	for i := range gaps {
		gaps[i] = float64(i)
		if i%3 == 0 {
			gaps[i] = nan
		}
	}
	for _, tc := range []struct {
		name   string
		series []Series
	}{
		{"single point", []Series{{Y: []float64{3}}}},
		{"single point beside a gap", []Series{{Y: []float64{nan, 3, inf, -inf}}}},
		{"gaps", []Series{{Y: gaps}}},
		{"one series without values", []Series{{Name: "x", Y: []float64{1, 2}}, {Name: "nan", Y: []float64{nan}}, {Name: "none"}}},
		{"constant", []Series{{Y: []float64{2, 2, 2}}}},
		{"all zero", []Series{{Y: []float64{0, 0}}}},
		{"nearly constant", []Series{{Y: []float64{1, 1 + 1e-15}}}},
		{"one huge", []Series{{Y: []float64{1e30}}}},
		{"both huge", []Series{{Y: []float64{1e30, -1e30}}}},
		{"too huge", []Series{{Y: []float64{1, math.MaxFloat64, 2, -math.MaxFloat64}}}},
		{"tiny", []Series{{Y: []float64{5e-324, 1e-310}}}},
		{"steps that are not finite", []Series{{X: []float64{nan, 1, inf}, Y: []float64{1, 2, 3}}}},
		{"one step only", []Series{{X: []float64{5, 5}, Y: []float64{1, 2}}}},
		{"odd name", []Series{{Name: "50%\n\x00\xff", Y: []float64{1, 2}}}},
	} {
		t.Run(tc.name, func(t *testing.T) { plotFile(t, tc.series...) })
	}
}

// A long run must not take long to plot, and its single spike must stay.
func TestLossPlotLong(t *testing.T) {
	long := make([]float64, 200_000)
	for i := range long {
		long[i] = math.Sin(float64(i * i))
	}
	start := time.Now()
	plotFile(t, Series{Y: long})
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	long[77_777] = 50
	highest := math.Inf(-1)
	all := points(nil, long)
	for _, p := range all {
		highest = max(highest, p.Y)
	}
	if highest != 50 || len(all) > 2*buckets {
		t.Errorf("%d points up to %v, want at most %d up to 50", len(all), highest, 2*buckets)
	}
}

// The pieces of a curve join: their ends are shared, and no point is lost.
func TestRuns(t *testing.T) {
	y := make([]float64, 5*pieceLen)
	for i := range y {
		y[i] = float64(i)
	}
	gap := 2*pieceLen + 7
	y[gap] = math.NaN()
	next := 0.0
	for _, run := range runs(points(nil, y)) {
		if len(run) > pieceLen+1 {
			t.Errorf("a piece has %d points", len(run))
		}
		switch first := run[0].Y; {
		case first == float64(gap+1) && next == float64(gap):
		case first != max(next-1, 0):
			t.Errorf("a piece begins at %v after %v", first, next-1)
		}
		next = run[len(run)-1].Y + 1
	}
	if next != float64(len(y)) {
		t.Errorf("the last point is %v", next-1)
	}
}

func TestSmooth(t *testing.T) {
	level, ramp := make([]float64, 400), make([]float64, 400)
	for i := range level {
		level[i], ramp[i] = 3, float64(i)
	}
	level[100], level[200] = math.NaN(), math.Inf(1)
	for i, v := range smooth(level) {
		if gap := i == 100 || i == 200; gap == isFinite(v) || !gap && math.Abs(v-3) > 1e-12 {
			t.Fatalf("value %d of a level is %v", i, v)
		}
	}
	for i, v := range smooth(ramp)[100:300] { // No lag.
		if math.Abs(v-float64(100+i)) > 0.01 {
			t.Fatalf("value %d of a ramp is %v", 100+i, v)
		}
	}
}

func TestLossPlotErrors(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "loss.png")
	if err := os.WriteFile(path, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	ok := Series{Name: "ok", Y: []float64{1, 2}}
	for _, tc := range []struct {
		name, path string
		series     []Series
		want       string
	}{
		{"no series", path, nil, "no finite value to plot in 0 series"},
		{"no finite values", path, []Series{{Y: []float64{math.NaN()}}, {}}, "no finite value to plot in 2 series"},
		{"lengths differ", path, []Series{ok, {Name: "short", X: []float64{1}, Y: []float64{1, 2}}}, `series "short" has 1 steps and 2 values`},
		{"no folder", filepath.Join(folder, "missing", "loss.png"), []Series{ok}, "no such file"},
		{"a folder", folder, []Series{ok}, folder},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := LossPlot(tc.path, tc.series...)
			if err == nil || !strings.HasPrefix(err.Error(), "report.LossPlot: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want it to contain %q", err, tc.want)
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != 1 {
				t.Errorf("the folder has %v, %v: want the older file only", entries, err)
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != "older" {
				t.Errorf("the older file has %q, %v", text, err)
			}
		})
	}
	if err := LossPlot(path, ok); err != nil {
		t.Error(fmt.Errorf("replacing the older file: %w", err))
	}
}
