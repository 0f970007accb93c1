package gateddelta

import (
	"maps"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// TestPeers holds all variants to the oracle on the cases of other projects'
// tests. Without -gateddelta.full heads and widths are theirs, lengths and batches
// are shortened, and variants take turns.
func TestPeers(t *testing.T) {
	turn := 0
	for _, row := range peerRows {
		t.Run(row.name, func(t *testing.T) {
			for i, c := range row.cases {
				for _, c := range row.expanded(c.sized(), turn) {
					t.Run(c.String(), func(t *testing.T) { row.run(t, uint64(i), turn, c) })
					turn++
				}
			}
		})
	}
	report.log(t)
}

// expanded returns the case with an initial state and without, or one of them in
// turn.
func (row peerRow) expanded(c peerCase, turn int) []peerCase {
	without := c
	without.withoutState = true
	switch {
	case !row.stateless:
		return []peerCase{c}
	case *full:
		return []peerCase{c, without}
	case turn%2 == 0:
		return []peerCase{c}
	}
	return []peerCase{without}
}

func (row peerRow) run(t *testing.T, seed uint64, turn int, c peerCase) {
	p := row.data.draw(t, seed, c, row.dtype)
	want := p.solve()
	for i, v := range row.variants(turn, c) {
		t.Run(v.String(), func(t *testing.T) {
			switch {
			case row.forward:
				p.checkForward(t, v, want)
				return
			case !row.layouts || *full || i%2 == 0:
				p.check(t, v, want)
			}
			if row.layouts && (*full || i%2 == 1) {
				p := p
				p.layout = VK
				p.check(t, v, p.turned(maps.Clone(want)))
			}
		})
	}
}

// variants are those to run a case with: the chunk form in float32 at two sizes
// that the turn tells and in the dtype of the source at one, and the recurrent form
// where the source has it; or all.
func (row peerRow) variants(turn int, c peerCase) []variant {
	var list []variant
	for i, d := range slices.Compact([]tensor.Dtype{tensor.Float32, row.dtype}) {
		all := variants(d)
		chunks := all[1:]
		switch {
		case *full && c.T > 2048 && !row.recurrent: // the graph of the recurrent form would be too large
			all = chunks
		case *full:
		case row.recurrent:
			all = []variant{all[0], chunks[(turn+i)%4]}
		case row.scans: // short sequences are to have some chunks
			all = chunks[i:][:1]
		case i == 1 || c.Hv >= 16:
			all = chunks[(turn+i)%4:][:1]
		default:
			all = []variant{chunks[(turn+i)%4], chunks[(turn+i+2)%4]}
		}
		list = append(list, all...)
	}
	if !row.scans {
		return list
	}
	var scans []variant
	for _, v := range list {
		if v.implementation == Chunk {
			for _, v.scan = range []Scan{ScanSequential, ScanTransition, ScanTwoLevel} {
				v.segment = 64
				scans = append(scans, v)
			}
		}
	}
	return scans
}

// checkForward compares outputs that are computed without recording.
func (p rawProblem) checkForward(t *testing.T, v variant, want result) {
	t.Helper()
	tape := autograd.NoGrad()
	defer tape.Close()
	in, _ := p.inputs(tape, v)
	out := p.apply(in, v)
	p.compare(t, v, "o", read(t, out.O.Value()), want["o"])
	p.compare(t, v, "ht", read(t, out.FinalState.Value()), want["ht"])
}
