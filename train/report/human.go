package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Bytes formats a size in decimal units with three digits: "512 B", "12.3 MB",
// "1.20 GB".
func Bytes(n int64) string {
	number, prefix := scale(float64(n))
	return number + " " + prefix + "B"
}

// Count formats a count or a rate in decimal units with three digits: "512",
// "12.3k", "1.20M".
func Count(x float64) string {
	number, prefix := scale(x)
	return number + prefix
}

// scale writes x with three digits in the unit that prefix stands for. Numbers
// below 1000 have no more decimals than they need.
func scale(x float64) (number, prefix string) {
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	// What would round to 1000 belongs to the next unit.
	for ; math.Abs(x) >= 999.5 && i < len(prefixes)-1 && !math.IsInf(x, 0); i++ {
		x /= 1000
	}
	decimals := 0
	switch a := math.Abs(x); {
	case i == 0 && x == math.Trunc(x):
	case a < 9.995:
		decimals = 2
	case a < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(x, 'f', decimals, 64), prefixes[i]
}

// Duration formats a span of time by its two largest units: "850ms", "12s",
// "4m05s", "1h02m", "3d04h". Negative spans count as none.
func Duration(d time.Duration) string {
	d = max(d, 0)
	if d > 0 && d < time.Second-time.Millisecond/2 {
		return fmt.Sprintf("%dms", d.Round(time.Millisecond).Milliseconds())
	}
	seconds := int64(d.Round(time.Second) / time.Second)
	switch minutes := (seconds + 30) / 60; {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 60*60:
		return fmt.Sprintf("%dm%02ds", seconds/60, seconds%60)
	case minutes < 24*60:
		return fmt.Sprintf("%dh%02dm", minutes/60, minutes%60)
	default:
		hours := (minutes + 30) / 60
		return fmt.Sprintf("%dd%02dh", hours/24, hours%24)
	}
}
