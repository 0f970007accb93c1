package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train/report"
)

// row is a result as -json prints it.
type row struct {
	Impl        string  `json:"impl"`
	Shape       shape   `json:"shape"`
	Chunk       int     `json:"chunk"`
	Dtype       string  `json:"dtype"`
	Device      string  `json:"device"`
	Pass        string  `json:"pass"`
	TokensPerS  float64 `json:"tokens_per_s"`
	MsMedian    float64 `json:"ms_median"`
	MsMin       float64 `json:"ms_min"`
	PeakBytes   int64   `json:"peak_bytes"`
	ExtraBytes  int64   `json:"extra_bytes"`
	GraphNodes  int     `json:"graph_nodes"`
	Launches    int     `json:"launches"`
	FLOPs       float64 `json:"flops"`
	Bytes       float64 `json:"bytes"`
	MatmulShare float64 `json:"matmul_share"`
	Scan        string  `json:"scan,omitempty"`
	Threads     int     `json:"threads,omitempty"`

	line     line
	roofline float64 // the least time by the machine's limits, as a share of the median
}

// row returns the result of a case on a machine of limits.
func (b *benchmark) row(l limits) row {
	middle := median(b.times)
	flops, bytes := b.cost()
	device := tensor.DefaultDevice()
	if b.dtype == tensor.Float64 {
		device = tensor.CPU
	}
	return row{
		Impl: b.impl, Shape: b.shape, Chunk: b.chunk, Dtype: b.dtype.String(), Device: device.String(), Pass: b.pass,
		TokensPerS: digits(b.tokens()/middle.Seconds(), 1),
		MsMedian:   milliseconds(middle), MsMin: milliseconds(slices.Min(b.times)),
		PeakBytes: b.peak, ExtraBytes: b.extra, GraphNodes: b.nodes, Launches: b.launches,
		FLOPs: b.flops, Bytes: b.bytes,
		MatmulShare: digits(b.flops/middle.Seconds()/l[b.cores].flops, 4), Scan: b.scan, Threads: b.threads,
		line: b.asked, roofline: l[b.cores].seconds(flops, bytes) / middle.Seconds(),
	}
}

// fourDigits formats x with four digits, or more before the point.
func fourDigits(x float64) string {
	if x >= 1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// way is the implementation, with scan and threads if the options name them.
func (r row) way() string {
	text := r.Impl
	if r.Scan != "" {
		text += " " + r.Scan
	}
	if r.Threads > 0 {
		text += fmt.Sprintf(" on %d", r.Threads)
	}
	return text
}

func (b *benchmark) tokens() float64 { return float64(b.shape.B()) * float64(b.shape.T()) }

func milliseconds(d time.Duration) float64 { return digits(1e3*d.Seconds(), 4) }

// digits rounds x to n decimals.
func digits(x float64, n int) float64 {
	scale := math.Pow10(n)
	return math.Round(x*scale) / scale
}

func writeJSON(w io.Writer, rows []row) error {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	for _, r := range rows {
		if err := encoder.Encode(r); err != nil {
			return errors.WithStack(err)
		}
	}
	_, err := io.WriteString(w, text.String())
	return errors.Wrap(err, "write")
}

// table lays the results out for people.
func table(rows []row) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "B,T,Hk,Hv,K,V\timpl\tchunk\tdtype\tpass\ttokens/s\tms median\tms min\tGFLOP/s\tof sgemm\tof roofline\tpeak\textra\tnodes\tlaunches\t")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%.0f\t%s\t%s\t%.3g\t%.0f %%\t%.0f %%\t%s\t%s\t%d\t%d\t\n",
			r.Shape, r.way(), r.Chunk, r.Dtype, r.Pass, r.TokensPerS, fourDigits(r.MsMedian), fourDigits(r.MsMin), r.FLOPs/r.MsMedian/1e6, 100*r.MatmulShare, 100*r.roofline,
			report.Bytes(r.PeakBytes), report.Bytes(r.ExtraBytes), r.GraphNodes, r.Launches)
	}
	_ = w.Flush() // to a string
	return text.String()
}
