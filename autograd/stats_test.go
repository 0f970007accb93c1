package autograd_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// wantStats compares the figures and checks that the operations add up.
func wantStats(t *testing.T, tape *autograd.Tape, nodes int, saved, leaves int64, ops ...autograd.OpStats) {
	t.Helper()
	s := tape.Stats()
	if s.Nodes != nodes || s.SavedBytes != saved || s.LeafBytes != leaves || !slices.Equal(s.Ops, ops) {
		t.Errorf("want %d nodes, %d bytes, %d of leaves, %+v; got\n%v", nodes, saved, leaves, ops, s)
	}
	count, bytes := 0, int64(0)
	for _, op := range s.Ops {
		count, bytes = count+op.Nodes, bytes+op.SavedBytes
	}
	if count != s.Nodes || bytes != s.SavedBytes {
		t.Errorf("the operations add up to %d nodes and %d bytes; got\n%v", count, bytes, s)
	}
}

const (
	mulName  = "autograd_test.mulOp"
	sumName  = "autograd_test.sumOp"
	siluName = "SiLU"
)

func TestStats(t *testing.T) {
	w := autograd.NewParam("w", tensor.Ones(tensor.Float32, 2, 3)) // 24 bytes
	x := tensor.Ones(tensor.Float32, 4, 2, 3)                      // 96 bytes
	tape := newTape(t)
	wantStats(t, tape, 0, 0, 0)

	v := tape.Const(x)
	mul(v, v) // not recorded
	wantStats(t, tape, 0, 0, 0)

	h := mul(v, tape.Param(w))
	wantStats(t, tape, 1, 120, 120, autograd.OpStats{Name: mulName, Nodes: 1, SavedBytes: 120})
	h = mul(h, tape.Param(w)) // the parameter is there already
	wantStats(t, tape, 2, 216, 120, autograd.OpStats{Name: mulName, Nodes: 2, SavedBytes: 216, SharedBytes: 24})
	h = mul(h, h) // one tensor, saved twice by one operation
	wantStats(t, tape, 3, 312, 120, autograd.OpStats{Name: mulName, Nodes: 3, SavedBytes: 312, SharedBytes: 24})
	h = silu(h) // saves its operand, and a temporary
	h = mul(h, h.Detach())
	wantStats(t, tape, 5, 312+3*96, 120,
		autograd.OpStats{Name: mulName, Nodes: 4, SavedBytes: 312 + 96, SharedBytes: 24},
		autograd.OpStats{Name: siluName, Nodes: 1, SavedBytes: 192})
	loss := sum(h)
	if got, want := tape.Stats().Tensors, 2+7+1; got != want {
		t.Errorf("%d tensors, want %d: 2 leaves, 7 results and a temporary", got, want)
	}

	backward(t, loss)
	wantStats(t, tape, 6, 0, 0, autograd.OpStats{Name: siluName, Nodes: 1},
		autograd.OpStats{Name: mulName, Nodes: 4}, autograd.OpStats{Name: sumName, Nodes: 1})
	tape.Close()
	if s := tape.Stats(); s.Nodes != 0 || s.Tensors != 0 || s.Ops != nil {
		t.Errorf("a closed tape has %v", s)
	}
}

func TestStatsOfRetainedTape(t *testing.T) {
	tape := newTape(t)
	tape.Retain()
	x := tape.Var(vec(1, 2, 3))
	loss := sum(mul(x, x))
	before := tape.Stats()
	backward(t, loss)
	if after := tape.Stats(); after.SavedBytes != before.SavedBytes || after.SavedBytes != 24+24 {
		t.Errorf("%d bytes, and %d after a pass; want 48 both times", before.SavedBytes, after.SavedBytes)
	}
}

// A checkpoint keeps its operands and what its function reaches, and nothing
// of what that computes.
func TestStatsOfCheckpoint(t *testing.T) {
	tape := newTape(t)
	x, y := tape.Var(vec(1, 2, 3)), tape.Var(vec(4))
	h := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{silu(silu(mul(in[0], y)))}
	}, x, nil)[0]
	wantStats(t, tape, 1, 32, 32, autograd.OpStats{Name: "autograd.Checkpoint", Nodes: 1, SavedBytes: 32})
	backward(t, sum(h))
	if got := tape.Stats().SavedBytes; got != 0 {
		t.Errorf("after the pass %d bytes are saved", got)
	}
}

func TestStatsWithoutRecording(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	silu(tape.Var(vec(1, 2)))
	if s := tape.Stats(); s.Nodes != 0 || s.SavedBytes != 0 || s.Tensors != 2 {
		t.Errorf("got %v", s)
	}
}

func TestParamsOfTape(t *testing.T) {
	a, b := autograd.NewParam("a", vec(1)), autograd.NewParam("b", vec(2))
	tape := newTape(t)
	mul(tape.Param(b), tape.Param(a))
	tape.Param(b)
	list := tape.Params()
	if !slices.Equal(list, []*autograd.Param{b, a}) {
		t.Errorf("got %d parameters, want b and a", len(list))
	}
	list[0] = nil
	if tape.Params()[0] != b {
		t.Error("the list is the tape's own")
	}
}

func ExampleTape_Stats() {
	tape := autograd.NewTape()
	defer tape.Close()
	x := tape.Var(tensor.Ones(tensor.Float32, 10, 10))
	h := silu(silu(mul(x, x)))
	fmt.Print(tape.Stats())
	if _, err := tape.Backward(sum(h)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tape.Stats().SavedBytes, "bytes after the backward pass")
	// Output:
	// 3 nodes, 6 tensors, 2000 bytes saved, 400 of them in leaves
	// operation            nodes  bytes saved  shared
	// SiLU                 2      1600         0
	// autograd_test.mulOp  1      400          0
	// 0 bytes after the backward pass
}
