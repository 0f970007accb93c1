package gateddelta

import (
	"cmp"
	"slices"

	"github.com/deltatape/deltatape/tensor"
)

// levels is how the rows of a segment's steps fall into runs of L steps. A run is
// one row's, shorter than L where the segment or its sequence ends. Runs are put
// in order, longest first, so that those that go on are always the first rows;
// they are worked on side by side, place by place.
type levels struct {
	z      geometry
	length int
	counts []int // number of runs that have each place
	starts []int // number of rows at the first step of each run

	// Constants.
	order, place *tensor.Tensor // rows of the steps in the order of places and runs; inverse. order of packed sequences alone
	byRun, byAge *tensor.Tensor // runs in the order of steps and rows among those in order of length; inverse. nil if they change nothing
}

// levelsOf lays out the runs of a segment with the given numbers of rows, and
// hands its constants to keep.
func (z geometry) levelsOf(rows []int, length int, keep func(*tensor.Tensor) *tensor.Tensor) *levels {
	type run struct{ step, row, length int }
	r := &levels{z: z, length: length, counts: make([]int, length)}
	var runs []run
	before := make([]int, len(rows)) // rows of earlier steps
	for step, n := range rows {
		if step+1 < len(rows) {
			before[step+1] = before[step] + n
		}
		if step%length != 0 {
			continue
		}
		r.starts = append(r.starts, n)
		for row := range n {
			places := 0
			for places < length && step+places < len(rows) && row < rows[step+places] {
				r.counts[places]++
				places++
			}
			runs = append(runs, run{step, row, places})
		}
	}
	byAge := make([]int32, len(runs))
	for i := range byAge {
		byAge[i] = int32(i)
	}
	slices.SortStableFunc(byAge, func(a, b int32) int { return cmp.Compare(runs[b].length, runs[a].length) })
	var order []int32
	for place, n := range r.counts {
		for _, i := range byAge[:n] {
			order = append(order, int32(before[runs[i].step+place]+runs[i].row))
		}
	}
	r.place = keep(tensor.FromSlice(inverse(order)))
	if z.plan.packing != nil {
		r.order = keep(tensor.FromSlice(order))
	}
	if !slices.IsSorted(byAge) {
		r.byAge, r.byRun = keep(tensor.FromSlice(byAge)), keep(tensor.FromSlice(inverse(byAge)))
	}
	return r
}

// inverse returns the inverse of a permutation.
func inverse(order []int32) []int32 {
	place := make([]int32, len(order))
	for i, x := range order {
		place[x] = int32(i)
	}
	return place
}

// cut cuts x, rows of all steps, by the places of runs.
func (r *levels) cut(x *tensor.Tensor) []*tensor.Tensor {
	if r.order != nil {
		return r.z.parted(tensor.Take(x, r.order, 0), r.counts)
	}
	parts := make([]*tensor.Tensor, r.length)
	stop, strides := x.Shape(), slices.Repeat([]int{1}, x.NDim())
	strides[0] = r.length
	for place := range parts {
		start := make([]int, x.NDim())
		start[0] = place
		parts[place] = tensor.Slice(x, start, stop, strides...)
	}
	return parts
}

// uncut puts rows in the order of places and runs back in that of the steps.
func (r *levels) uncut(x *tensor.Tensor) *tensor.Tensor { return tensor.Take(x, r.place, 0) }

// taken returns the rows of x at indices, or x if these are nil.
func taken(x, indices *tensor.Tensor) *tensor.Tensor {
	if indices == nil {
		return x
	}
	return tensor.Take(x, indices, 0)
}

// through takes S through the steps, whose M and N are cut by places, as
// moves.through does. A run by itself makes of a state Π S + Z; both are computed
// from zero and one for all runs at once. Then S goes from run to run, and at last
// what meets the runs goes to all of their places.
func (r *levels) through(backward bool, M, N []*tensor.Tensor, S *tensor.Tensor, fit func(S *tensor.Tensor, rows int) *tensor.Tensor) (meets []*tensor.Tensor, left *tensor.Tensor) {
	Zs, Z := r.alone(backward, moves{M, N})
	Πs, Π := r.alone(backward, moves{M: M})
	overRuns := moves{r.z.parted(taken(Π, r.byRun), r.starts), r.z.parted(taken(Z, r.byRun), r.starts)}
	heads, left := overRuns.through(backward, S, fit)
	head := taken(stacked(heads, r.starts), r.byAge)
	for place, n := range r.counts {
		at := rows(head, 0, n)
		if Zs[place] != nil {
			at = plusMove(Zs[place], Πs[place], at)
		}
		meets = append(meets, at)
	}
	return meets, left
}

// alone takes zero, or one for products, through each run by itself, and returns
// what meets its places and what is left of all runs.
func (r *levels) alone(backward bool, m moves) (meets []*tensor.Tensor, left *tensor.Tensor) {
	var ended runs
	meets, left = m.through(backward, nil, func(S *tensor.Tensor, n int) *tensor.Tensor {
		switch {
		case S == nil || S.Dim(0) == n:
			return S
		case !backward:
			return ended.narrow(S, 0, n)
		case m.N != nil:
			return tensor.Concat(0, S, zeroRows(S, n-S.Dim(0)))
		}
		one := tensor.Like(S, 1)
		if S.Dim(-1) > 1 {
			one = r.z.masks.unit
		}
		shape := append([]int{n - S.Dim(0)}, S.Shape()[1:]...)
		return tensor.Concat(0, S, tensor.BroadcastTo(one, shape...))
	})
	ended.end(0, left)
	return meets, ended.result()
}
