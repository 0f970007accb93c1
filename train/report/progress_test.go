package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeClock is a clock that only moves when told to.
type fakeClock struct{ at time.Time }

func newFakeClock() *fakeClock { return &fakeClock{time.Unix(1e9, 0)} }

func (c *fakeClock) now() time.Time           { return c.at }
func (c *fakeClock) advance(d time.Duration)  { c.at = c.at.Add(d) }
func (c *fakeClock) step(s Step, p *Progress) { c.stepIn(time.Second, s, p) }
func (c *fakeClock) stepIn(d time.Duration, s Step, p *Progress) {
	c.advance(d)
	p.Update(s)
}

// typical returns step n of a run of total steps.
func typical(n, total int) Step {
	return Step{Step: n, Total: total, Loss: 2.5, BitsPerByte: 3.607, LearningRate: 3e-3, Tokens: 4096, Memory: 1_234_000_000}
}

// screen plays what was written to a terminal and returns its lines. It fails
// on anything but text, carriage returns and newlines, and on lines that reach the last
// column.
func screen(t *testing.T, written string, width int) []string {
	t.Helper()
	lines, column := [][]rune{nil}, 0
	for _, r := range written {
		last := len(lines) - 1
		switch {
		case r == '\r':
			column = 0
		case r == '\n':
			lines, column = append(lines, nil), 0
		case r < ' ' || r == 0x7f:
			t.Errorf("control character %q", r)
		case column < len(lines[last]):
			lines[last][column] = r
			column++
		default:
			lines[last] = append(lines[last], r)
			column++
		}
		if column >= width {
			t.Fatalf("line %q reaches column %d of %d", string(lines[last]), column, width)
		}
	}
	var text []string
	for _, line := range lines {
		text = append(text, strings.TrimRight(string(line), " "))
	}
	return text
}

func finish(t *testing.T, p *Progress) {
	t.Helper()
	if err := p.Finish(); err != nil {
		t.Error(err)
	}
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProgressPlain(t *testing.T) {
	var out bytes.Buffer
	clock := newFakeClock()
	p := newProgress(&out, false, ProgressOptions{Interval: 3 * time.Second}, clock.now)
	for i := 1; i <= 8; i++ {
		clock.step(typical(i, 8), p)
	}
	finish(t, p)
	finish(t, p)
	wantText(t, out.String(), `step 1/8  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  7s left  lr 3.0e-03
step 4/8  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  4s left  lr 3.0e-03
step 7/8  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  1s left  lr 3.0e-03
step 8/8  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  0s left  lr 3.0e-03
`)
}

func TestProgressPlainEverySteps(t *testing.T) {
	var out bytes.Buffer
	clock := newFakeClock()
	p := newProgress(&out, false, ProgressOptions{Steps: 10}, clock.now)
	for i := 1; i <= 27; i++ {
		clock.step(Step{Step: i, Loss: 1}, p)
	}
	p.Printf("stopped at step %d", 27)
	finish(t, p)
	wantText(t, out.String(), `step 1  loss 1.0000  lr 0.0e+00
step 10  loss 1.0000  lr 0.0e+00
step 20  loss 1.0000  lr 0.0e+00
stopped at step 27
step 27  loss 1.0000  lr 0.0e+00
`)
}

func TestProgressDefaultInterval(t *testing.T) {
	for _, tc := range []struct {
		live bool
		want int
	}{{false, 3}, {true, 101}} {
		var out bytes.Buffer
		clock := newFakeClock()
		p := newProgress(&out, tc.live, ProgressOptions{}, clock.now)
		for i := 1; i <= 1001; i++ { // 10 seconds.
			clock.stepIn(10*time.Millisecond, typical(i, 0), p)
		}
		finish(t, p)
		if got := strings.Count(out.String(), "loss"); got != tc.want {
			t.Errorf("live %t: %d lines, want %d", tc.live, got, tc.want)
		}
	}
}

func TestProgressLive(t *testing.T) {
	var out bytes.Buffer
	clock := newFakeClock()
	p := newProgress(&out, true, ProgressOptions{Width: 80}, clock.now)
	p.Printf("2 layers\n")
	for i := 8; i <= 10; i++ {
		clock.step(typical(i, 10), p)
	}
	wantText(t, strings.Join(screen(t, out.String(), 80), "\n"), `2 layers
step 10/10  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  0s left`)

	p.Printf("held out: %.2f bits/byte", 3.5)
	s := typical(11, 10)
	s.BitsPerByte, s.Memory = 0, 0 // A shorter line.
	clock.step(s, p)
	finish(t, p)
	finish(t, p)
	clock.step(s, p)
	p.Printf("saved")
	wantText(t, strings.Join(screen(t, out.String(), 80), "\n"), `2 layers
held out: 3.50 bits/byte
step 11/10  loss 2.5000  4.10k tok/s  0s left  lr 3.0e-03
saved
`)
}

func TestProgressLiveBytes(t *testing.T) {
	var out bytes.Buffer
	clock := newFakeClock()
	p := newProgress(&out, true, ProgressOptions{Width: 32}, clock.now)
	clock.step(Step{Step: 1, Total: 2, Loss: 12.5}, p)
	clock.stepIn(time.Millisecond, Step{Step: 2, Total: 2, Loss: 1}, p)
	finish(t, p)
	wantText(t, fmt.Sprintf("%q", out.String()), `"\rstep 1/2  loss 12.5000  1s left\rstep 2/2  loss 1.0000  0s left \n"`)
}

func TestProgressWidths(t *testing.T) {
	for _, tc := range []struct {
		width int
		want  string
	}{
		{200, "step    1/1000  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  16m39s left  lr 3.0e-03"},
		{80, "step    1/1000  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB  16m39s left"},
		{79, "step    1/1000  loss 2.5000  3.607 bits/byte  4.10k tok/s  1.23 GB"},
		{60, "step    1/1000  loss 2.5000  3.607 bits/byte  4.10k tok/s"},
		{20, "step    1/1000"},
		{10, "step    1"},
		{1, ""},
	} {
		var out bytes.Buffer
		clock := newFakeClock()
		p := newProgress(&out, true, ProgressOptions{Width: tc.width}, clock.now)
		clock.step(typical(1, 1000), p)
		finish(t, p)
		wantText(t, screen(t, out.String(), max(tc.width, 1))[0], tc.want)
	}
}

func TestProgressColumns(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  int
	}{{"", 80}, {"132", 132}, {"wide", 80}, {"-5", 80}, {"0", 80}} {
		t.Setenv("COLUMNS", tc.value)
		if p := NewProgress(io.Discard, ProgressOptions{}); p.width != tc.want {
			t.Errorf("COLUMNS=%s: width %d, want %d", tc.value, p.width, tc.want)
		}
	}
}

// Speed and time left forget what is long ago, and count from where a run is
// resumed.
func TestProgressSpeed(t *testing.T) {
	var out bytes.Buffer
	clock := newFakeClock()
	p := newProgress(&out, false, ProgressOptions{Steps: 50}, clock.now)
	clock.stepIn(time.Hour, typical(1001, 1100), p)
	for i := 1002; i <= 1050; i++ {
		clock.stepIn(500*time.Millisecond, typical(i, 1100), p)
	}
	finish(t, p)
	wantText(t, out.String(), `step 1001/1100  loss 2.5000  3.607 bits/byte   1.14 tok/s  1.23 GB  4d03h left  lr 3.0e-03
step 1050/1100  loss 2.5000  3.607 bits/byte  8.19k tok/s  1.23 GB  25s left  lr 3.0e-03
`)
}

func TestProgressOddValues(t *testing.T) {
	for _, tc := range []struct {
		name string
		step Step
		want string
	}{
		{"not a number", Step{Step: 1, Loss: math.NaN(), BitsPerByte: math.NaN()}, "step 1  loss NaN  NaN bits/byte  lr 0.0e+00\n"},
		{"infinite", Step{Step: 1, Loss: math.Inf(1), BitsPerByte: math.Inf(1)}, "step 1  loss +Inf  +Inf bits/byte  lr 0.0e+00\n"},
		{"endless", Step{Step: 1, Total: math.MaxInt}, "step                   1/9223372036854775807  loss 0.0000  11574d02h left  lr 0.0e+00\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			clock := newFakeClock()
			p := newProgress(&out, false, ProgressOptions{}, clock.now)
			clock.step(tc.step, p)
			finish(t, p)
			wantText(t, out.String(), tc.want)
		})
	}
	t.Run("no time passed", func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, false, ProgressOptions{}, newFakeClock().now)
		p.Update(typical(1, 2))
		finish(t, p)
		wantText(t, out.String(), "step 1/2  loss 2.5000  3.607 bits/byte  1.23 GB  0s left  lr 3.0e-03\n")
	})
	t.Run("no step", func(t *testing.T) {
		var out bytes.Buffer
		finish(t, newProgress(&out, true, ProgressOptions{}, newFakeClock().now))
		wantText(t, out.String(), "")
	})
}

// A fullDisk fails after some writes.
type fullDisk struct{ left, calls int }

var errFull = errors.New("disk full")

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.calls++; d.calls > d.left {
		return 0, errFull
	}
	return len(b), nil
}

func TestProgressWriteError(t *testing.T) {
	disk := &fullDisk{left: 2}
	clock := newFakeClock()
	p := newProgress(disk, false, ProgressOptions{Steps: 1}, clock.now)
	for i := 1; i <= 10; i++ {
		clock.step(typical(i, 10), p)
	}
	for range 2 {
		if err := p.Finish(); !errors.Is(err, errFull) {
			t.Errorf("Finish() = %v, want %v", err, errFull)
		}
	}
	if disk.calls != 3 {
		t.Errorf("%d writes, want none after the one that failed", disk.calls)
	}
}

func TestProgressPipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p := NewProgress(writer, ProgressOptions{Steps: 1})
	for i := 1; i <= 3; i++ {
		p.Update(Step{Step: i, Loss: 1})
	}
	finish(t, p)
	writer.Close()
	got, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, string(got), "step 1  loss 1.0000  lr 0.0e+00\nstep 2  loss 1.0000  lr 0.0e+00\nstep 3  loss 1.0000  lr 0.0e+00\n")
}

func TestIsTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	closed, err := os.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	for _, tc := range []struct {
		name, term string
		out        io.Writer
		want       bool
	}{
		{"buffer", "xterm", new(bytes.Buffer), false},
		{"file", "xterm", file, false},
		{"closed file", "xterm", closed, false},
		{"character device", "xterm", device, true},
		{"dumb terminal", "dumb", device, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("TERM", tc.term)
			if got := isTerminal(tc.out); got != tc.want {
				t.Errorf("isTerminal = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestProgressConcurrent(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, true, ProgressOptions{Width: 100, Interval: time.Nanosecond}, time.Now)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 50 {
				p.Update(typical(i+1, 50))
				p.Printf("message %d %d", g, i)
			}
		})
	}
	group.Wait()
	finish(t, p)
	lines := screen(t, out.String(), 100)
	messages := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "message ") {
			messages++
		}
	}
	if messages != 200 || lines[len(lines)-1] != "" || len(lines) != 202 {
		t.Errorf("%d messages in %d lines, the last %q", messages, len(lines), lines[len(lines)-1])
	}
}
