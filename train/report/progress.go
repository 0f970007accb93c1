package report

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pkg/errors"
)

// A Step is what a training loop knows after a step.
type Step struct {
	Step  int // Number of the step just done, from 1.
	Total int // Number of the last step; 0 if unknown, which leaves out the time left.

	Loss         float64 // Mean loss, in nats per token.
	BitsPerByte  float64 // 0 leaves it out.
	LearningRate float64
	Tokens       int   // Tokens of this step, for the rate; 0 leaves it out.
	Memory       int64 // Peak memory in bytes; 0 leaves it out.
}

// ProgressOptions adjust a [Progress]. The zero value suits most programs.
type ProgressOptions struct {
	// Interval is the least time between two lines or updates of the line; 0
	// means 5 seconds between plain lines and 0.1 seconds between updates. The
	// first and the last step are always shown.
	Interval time.Duration
	// Steps, if not 0, replaces the interval of plain lines: the steps that are
	// a multiple of it are shown, besides the first and the last.
	Steps int
	// Width is the number of columns of the terminal; 0 means $COLUMNS, or 80
	// if that is not set.
	Width int
}

// window is the number of steps over which speed is measured.
const window = 32

// A Progress reports the steps of a training run on one line:
//
//	step  120/600  loss 1.2345  1.781 bits/byte  12.3k tok/s  1.20 GB  2m05s left  lr 3.0e-03
//
// Speed and time left are those of the last 32 steps. On a terminal the line is
// updated in place and fields that don't fit into it are left out from the
// right. Its methods may be called from many goroutines.
type Progress struct {
	mu       sync.Mutex
	out      io.Writer
	live     bool
	width    int
	interval time.Duration
	steps    int
	now      func() time.Time

	marks []mark // Of the last steps, the oldest first.
	last  []string
	shown time.Time // When a line was last written.
	stale bool      // Whether last is newer than the line written.
	drawn int       // Columns of the terminal's line that are in use.
	done  bool
	err   error
}

// A mark is a point in time with all that was done until then.
type mark struct {
	at            time.Time
	steps, tokens int
}

// NewProgress returns a Progress that writes to out, updating a line in place
// if out is a terminal. The clock starts now.
func NewProgress(out io.Writer, options ProgressOptions) *Progress {
	return newProgress(out, isTerminal(out), options, time.Now)
}

func newProgress(out io.Writer, live bool, options ProgressOptions, now func() time.Time) *Progress {
	p := &Progress{out: out, live: live, width: options.Width, interval: options.Interval, now: now}
	if p.width <= 0 {
		p.width = columns()
	}
	if !live {
		p.steps = options.Steps
	}
	if p.interval <= 0 {
		p.interval = 5 * time.Second
		if live {
			p.interval = 100 * time.Millisecond
		}
	}
	p.marks = []mark{{at: now()}}
	return p
}

// isTerminal reports whether out is a terminal that understands a carriage
// return.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// columns returns the width of the terminal as far as it is known.
func columns() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 80
}

// Update reports a step. It has no effect after Finish.
func (p *Progress) Update(s Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	now := p.now()
	newest := p.marks[len(p.marks)-1]
	p.marks = append(p.marks, mark{now, newest.steps + 1, newest.tokens + s.Tokens})
	if len(p.marks) > window+1 {
		p.marks = p.marks[1:]
	}
	first := p.last == nil
	p.last = p.fields(s)
	p.stale = true
	if first || s.Step == s.Total || p.due(s.Step, now) {
		p.show(now)
	}
}

// due reports whether a step that is neither the first nor the last is to be
// shown.
func (p *Progress) due(step int, now time.Time) bool {
	if p.steps > 0 {
		return step%p.steps == 0
	}
	return now.Sub(p.shown) >= p.interval
}

// fields returns the parts of the line, the most important first.
func (p *Progress) fields(s Step) []string {
	oldest, newest := p.marks[0], p.marks[len(p.marks)-1]
	span := newest.at.Sub(oldest.at)
	tokens, steps := newest.tokens-oldest.tokens, newest.steps-oldest.steps

	step := fmt.Sprintf("step %d", s.Step)
	if s.Total > 0 {
		step = fmt.Sprintf("step %*d/%d", len(strconv.Itoa(s.Total)), s.Step, s.Total)
	}
	fields := []string{step, fmt.Sprintf("loss %.4f", s.Loss)}
	if s.BitsPerByte != 0 {
		fields = append(fields, fmt.Sprintf("%.3f bits/byte", s.BitsPerByte))
	}
	if tokens > 0 && span > 0 {
		fields = append(fields, fmt.Sprintf("%5s tok/s", Count(float64(tokens)/span.Seconds())))
	}
	if s.Memory > 0 {
		fields = append(fields, Bytes(s.Memory))
	}
	if s.Total > 0 {
		left := span.Seconds() / float64(steps) * float64(s.Total-s.Step)
		fields = append(fields, Duration(time.Duration(min(left, 1e9)*float64(time.Second)))+" left")
	}
	return append(fields, fmt.Sprintf("lr %.1e", s.LearningRate))
}

// show writes the line of the last step.
func (p *Progress) show(now time.Time) {
	p.shown, p.stale = now, false
	if !p.live {
		p.write(strings.Join(p.last, separator) + "\n")
		return
	}
	// The last column stays free: some terminals break the line after it.
	line := fit(p.last, p.width-1)
	used := utf8.RuneCountInString(line)
	p.write("\r" + line + strings.Repeat(" ", max(p.drawn-used, 0)))
	p.drawn = used
}

const separator = "  "

// fit joins as many of the fields, from the first on, as fit into width
// columns. It cuts the first if even that is too long.
func fit(fields []string, width int) string {
	line := fields[0]
	if len(line) > width {
		return line[:max(width, 0)]
	}
	for _, field := range fields[1:] {
		if len(line)+len(separator)+len(field) > width {
			break
		}
		line += separator + field
	}
	return line
}

// Printf writes a message on lines of its own, above the progress line. A
// newline is added if the message does not end with one.
func (p *Progress) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	message := fmt.Sprintf(format, args...)
	if !strings.HasSuffix(message, "\n") {
		message += "\n"
	}
	if p.drawn == 0 {
		p.write(message)
		return
	}
	p.write("\r" + strings.Repeat(" ", p.drawn) + "\r" + message)
	p.drawn = 0
	p.show(p.now())
}

// Finish shows the last step, if it is not shown yet, and ends the line. It
// returns the first error of the writer. Calling it again only returns that.
func (p *Progress) Finish() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.done {
		p.done = true
		if p.stale {
			p.show(p.now())
		}
		if p.drawn > 0 {
			p.write("\n")
			p.drawn = 0
		}
	}
	return p.err
}

// write writes a text unless an earlier one failed.
func (p *Progress) write(text string) {
	if p.err != nil {
		return
	}
	_, err := io.WriteString(p.out, text)
	p.err = errors.Wrap(err, "report.Progress")
}
