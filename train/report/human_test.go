package report

import (
	"math"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for _, tc := range []struct {
		n    int64
		want string
	}{
		{0, "0 B"}, {1, "1 B"}, {999, "999 B"}, {1000, "1.00 kB"}, {9994, "9.99 kB"}, {9996, "10.0 kB"},
		{99_940, "99.9 kB"}, {99_960, "100 kB"}, {999_499, "999 kB"}, {999_500, "1.00 MB"}, {12_345_678, "12.3 MB"},
		{1_204_000_000, "1.20 GB"}, {-2_500_000, "-2.50 MB"}, {math.MaxInt64, "9.22 EB"}, {math.MinInt64, "-9.22 EB"},
	} {
		if got := Bytes(tc.n); got != tc.want {
			t.Errorf("Bytes(%d) = %q, want %q", tc.n, got, tc.want)
		}
	}
}

func TestCount(t *testing.T) {
	for _, tc := range []struct {
		x    float64
		want string
	}{
		{0, "0"}, {7, "7"}, {0.25, "0.25"}, {12.34, "12.3"}, {123.4, "123"}, {999.6, "1.00k"}, {512, "512"},
		{12_345, "12.3k"}, {1.2e6, "1.20M"}, {5e20, "500E"}, {5e24, "5000000E"},
		{math.NaN(), "NaN"}, {math.Inf(1), "+Inf"}, {math.Inf(-1), "-Inf"},
	} {
		if got := Count(tc.x); got != tc.want {
			t.Errorf("Count(%v) = %q, want %q", tc.x, got, tc.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {-time.Hour, "0s"}, {time.Microsecond, "0ms"}, {850 * time.Millisecond, "850ms"},
		{999*time.Millisecond + 600*time.Microsecond, "1s"}, {time.Second, "1s"}, {12_400 * time.Millisecond, "12s"},
		{59_600 * time.Millisecond, "1m00s"}, {4*time.Minute + 5*time.Second, "4m05s"},
		{59*time.Minute + 59*time.Second, "59m59s"}, {59*time.Minute + 59_600*time.Millisecond, "1h00m"},
		{62 * time.Minute, "1h02m"}, {24*time.Hour - time.Second, "1d00h"}, {76 * time.Hour, "3d04h"},
	} {
		if got := Duration(tc.d); got != tc.want {
			t.Errorf("Duration(%v) = %q, want %q", tc.d, got, tc.want)
		}
	}
}

func TestSparkline(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tc := range []struct {
		name   string
		values []float64
		width  int
		want   string
	}{
		{"ramp", []float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, "▁▂▃▄▅▆▇█"},
		{"falling", []float64{7, 6, 5, 4, 3, 2, 1, 0}, 20, "█▇▆▅▄▃▂▁"},
		{"means", []float64{0, 2, 4, 6, 9, 11}, 3, "▁▄█"},
		{"constant", []float64{3, 3, 3}, 3, "▁▁▁"},
		{"single", []float64{3}, 10, "▁"},
		{"gaps", []float64{0, nan, inf, -inf, 1}, 5, "▁   █"},
		{"gap in a share", []float64{0, nan, inf, 1}, 2, "▁█"},
		{"no finite value", []float64{nan, inf}, 2, "  "},
		{"huge", []float64{-math.MaxFloat64, 0, math.MaxFloat64, math.MaxFloat64}, 4, "▁▅██"},
		{"huge mean", []float64{-math.MaxFloat64, math.MaxFloat64, math.MaxFloat64, math.MaxFloat64}, 2, "▁█"},
		{"empty", nil, 10, ""},
		{"no width", []float64{1, 2}, 0, ""},
		{"negative width", []float64{1, 2}, -3, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Sparkline(tc.values, tc.width); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
