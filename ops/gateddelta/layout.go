package gateddelta

import (
	"slices"

	"github.com/deltatape/deltatape/internal/cpukernel"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// Inside a segment of n chunks the arrays lie as follows. A chunk's slice along
// the first axis is dense.
//
//	key rows    [n, B, Hk, C, K]     one matrix per key head
//	value rows  [n, B, Hk, r, C, V]  one matrix per value head
//	wide rows   [n, B, Hk, C, r·V]   the r matrices of a key head side by side
//	gates       [n, B, Hk, r, C]
//	square      [n, B, Hk, r, C, C]  or with 1 for r, shared by the group
//	state       [B, Hk, K, r·V]      wide, without the axis of chunks
//
// Packed sequences are one row of n chunks, B = 1, in the order of the plan. What
// serves one step has the sequences that take part in it in place of B.
//
// Products with Q, K or the state take the wide form: one large product per key
// head does the work of its r value heads, and nothing of the keys is repeated.
// Products with the square matrices take the form by value head. Elementwise
// operations pass from one form to the other as they go, through views.

// geometry holds the sizes of one application of the rule.
type geometry struct {
	B, T, Hk, K, V int
	R              int // value heads per key head
	C              int // tokens in a chunk
	scale          float64
	noDelta        bool
	initial, final bool            // whether an initial state is given, and the final one asked for
	dtype          tensor.Dtype    // of the arithmetic
	implementation Implementation  // Recurrent, Chunk, CPU or Metal
	kernels        *metal.Plan     // of Metal
	cpu            *cpukernel.Rule // of CPU
	scan           Scan            // none but ScanSequential for Recurrent
	segment        int             // Options.Segment
	scanLength     int             // Options.ScanLength
	compile        Compile         // none of ""
	threads        int             // 2 to work on halves side by side, or those of CPU
	meet           meeting         // of a half with the other one
	why            reasons

	cuSeqlens []int // nil for a batch
	sequences int   // B, or the number of packed sequences
	plan      plan

	// Constants, while loaded.
	masks   masks
	indices *indices  // of packed sequences
	levels  []*levels // for each segment, nil if its scan has one level
}

// A segment grows up to a size of its arrays: one array of value rows, one of
// square matrices and the states at the chunks' starts. A larger one leaves the
// processor's cache; a GPU wants enough to be filled. Packed sequences go together
// up to a size of one step's arrays. More of them make fewer and larger operations,
// and take more memory.
const (
	segmentBytes    = 2 << 20
	segmentBytesGPU = 128 << 20
	waveBytes       = 8 << 20
	waveBytesGPU    = 32 << 20
)

func (z geometry) segmentBytes() int {
	if onGPU(z.dtype) {
		return segmentBytesGPU
	}
	return segmentBytes
}

func (z geometry) waveBytes() int {
	if onGPU(z.dtype) {
		return waveBytesGPU
	}
	return waveBytes
}

// chunkBytes is what a chunk of one sequence adds to the size of a segment, with
// or without its state.
func (z geometry) chunkBytes(state bool) int {
	n := z.C*max(z.K, z.V) + z.C*z.C
	if state {
		n += z.K * z.V
	}
	return z.Hk * z.R * n * z.dtype.Size()
}

// recurrentUpTo is the length up to which the token by token form beats the
// padding of a chunk.
const recurrentUpTo = 2

// chooseChunk returns a chunk size, and why: about K, where the work within
// chunks and that on states are in balance (and little of a state is erased in
// one chunk), at most 64, and no longer than the sequence needs. Packed sequences
// get a smaller one if that saves a quarter of the tokens, padding included.
func chooseChunk(z geometry) (C int, why string) {
	i := 0
	for longest := z.longest(); chunkSizes[i] < min(64, z.K, longest); {
		i++
	}
	C, why = chunkSizes[i], "about K and at most 64 balances the work within chunks and that on states, and longer than the sequence would be padding"
	if z.cuSeqlens != nil {
		for _, smaller := range slices.Backward(chunkSizes[:i]) {
			if 4*z.padded(smaller) <= 3*z.padded(C) {
				C, why = smaller, "smaller than K asks for, which saves a quarter of the tokens: the rest was padding"
			}
		}
	}
	return C, why
}

// tokens returns the tokens of a segment of x [B, T, ...] in the dtype of the
// arithmetic, padded to whole chunks. A padded token neither decays (g = 0) nor
// writes (β = 0) nor reads (q = 0): see gateTokens and queryTokens. Padding
// repeats the last token of packed sequences and is zeros otherwise.
func (z geometry) tokens(x *tensor.Tensor, segment int) *tensor.Tensor {
	if z.plan.packing != nil {
		return tensor.AsType(z.gather(x, segment), z.dtype)
	}
	s := z.plan.segments[segment]
	lo, hi := s.chunk*z.C, (s.chunk+len(s.active))*z.C
	end := min(hi, z.T)
	x = tensor.AsType(tensor.SliceAxis(x, 1, lo, end), z.dtype)
	if pad := hi - end; pad > 0 {
		widths := make([][2]int, x.NDim())
		widths[1][1] = pad
		x = tensor.Pad(x, widths, 0)
	}
	return x
}

// gateTokens is tokens with zeros in the padding.
func (z geometry) gateTokens(x *tensor.Tensor, segment int) *tensor.Tensor {
	x = z.tokens(x, segment)
	if z.plan.packing != nil {
		x = tensor.Where(z.indices.real[segment], x, tensor.Like(x, 0))
	}
	return x
}

// queryTokens is tokens times the scale, with zeros in the padding.
func (z geometry) queryTokens(x *tensor.Tensor, segment int) *tensor.Tensor {
	x = z.tokens(x, segment)
	if z.plan.packing != nil {
		return tensor.Mul(x, z.indices.scale[segment])
	}
	return tensor.MulScalar(x, z.scale)
}

// keyRows lays out tokens [B, n·C, Hk, K] as key rows.
func (z geometry) keyRows(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Contiguous(tensor.Transpose(tensor.Reshape(x, z.B, -1, z.C, z.Hk, z.K), 1, 0, 3, 2, 4))
}

// fromKeyRows is the inverse of keyRows.
func (z geometry) fromKeyRows(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Reshape(tensor.Transpose(x, 1, 0, 3, 2, 4), z.B, -1, z.Hk, z.K)
}

// valueRows views tokens [B, n·C, Hv, V] as value rows. It copies nothing, so
// that the rows are dense only after an elementwise operation or Contiguous.
func (z geometry) valueRows(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Transpose(tensor.Reshape(x, z.B, -1, z.C, z.Hk, z.R, z.V), 1, 0, 3, 4, 2, 5)
}

// gates lays out tokens [B, n·C, Hv] as gates.
func (z geometry) gates(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Contiguous(tensor.Transpose(tensor.Reshape(x, z.B, -1, z.C, z.Hk, z.R), 1, 0, 3, 4, 2))
}

// fromGates is the inverse of gates.
func (z geometry) fromGates(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Reshape(tensor.Transpose(x, 1, 0, 4, 2, 3), z.B, -1, z.Hk*z.R)
}

// state lays out states [N, Hv, K, V] of all sequences in the wide form and in
// the order of the plan; nil gives zeros, in the scope of x.
func (z geometry) state(h, x *tensor.Tensor) *tensor.Tensor {
	if h == nil {
		return tensor.BroadcastTo(z.constant(x, 0), z.sequences, z.Hk, z.K, z.R*z.V)
	}
	h = tensor.SwapAxes(tensor.Reshape(z.ordered(h), -1, z.Hk, z.R, z.K, z.V), 2, 3)
	return tensor.Reshape(h, -1, z.Hk, z.K, z.R*z.V)
}

// fromState is the inverse of state.
func (z geometry) fromState(s *tensor.Tensor) *tensor.Tensor {
	s = tensor.SwapAxes(tensor.Reshape(s, -1, z.Hk, z.K, z.R, z.V), 2, 3)
	return z.restored(tensor.Reshape(s, -1, z.Hk*z.R, z.K, z.V))
}

// overValues repeats numbers of value heads [n, B, Hk, r] along the wide state's
// columns, [n, B, Hk, 1, r·V].
func (z geometry) overValues(x *tensor.Tensor) *tensor.Tensor {
	n := x.Dim(0)
	x = tensor.BroadcastTo(tensor.ExpandDims(x, 3, -1), n, z.B, z.Hk, 1, z.R, z.V)
	return tensor.Reshape(x, n, z.B, z.Hk, 1, z.R*z.V)
}

// constant returns a number in the dtype of the arithmetic, in the scope of x.
func (z geometry) constant(x *tensor.Tensor, v float64) *tensor.Tensor {
	return tensor.AsType(tensor.Like(x, v), z.dtype)
}

// The functions below serve one chunk, without the axis of chunks.

// byHead views wide rows [B, Hk, C, r·V] as value rows [B, Hk, r, C, V].
func (z geometry) byHead(x *tensor.Tensor) *tensor.Tensor {
	return tensor.SwapAxes(tensor.Reshape(x, -1, z.Hk, z.C, z.R, z.V), 2, 3)
}

// byToken views value rows [B, Hk, r, C, D] in the order of tokens,
// [B, C, Hk, r, D].
func byToken(x *tensor.Tensor) *tensor.Tensor { return tensor.Transpose(x, 0, 3, 1, 2, 4) }

// fromRows turns rows in the order of tokens, [B, C, Hk, r, D], into tokens
// [B, C, Hv, D]; of chunks in place of sequences, [n·B, C, Hk, r, D], into
// [B, n·C, Hv, D].
func (z geometry) fromRows(x *tensor.Tensor) *tensor.Tensor {
	if x.Dim(0) > z.B && z.B > 1 {
		x = tensor.SwapAxes(tensor.Reshape(x, -1, z.B, z.C, z.Hk*z.R, z.V), 0, 1)
	}
	return tensor.Reshape(x, z.B, -1, z.Hk*z.R, z.V)
}

// wideScaled multiplies value rows [.., r, C, V] by f [.., r, C, 1] and returns
// the wide rows [.., C, r·V].
func (z geometry) wideScaled(f, x *tensor.Tensor) *tensor.Tensor {
	y := tensor.Mul(tensor.SwapAxes(f, -3, -2), tensor.SwapAxes(x, -3, -2))
	shape := y.Shape()
	n := len(shape)
	return tensor.Reshape(y, append(shape[:n-2], z.R*z.V)...)
}

// perHead sums wide columns [B, Hk, r·V] to value heads [B, Hk, r].
func (z geometry) perHead(x *tensor.Tensor) *tensor.Tensor {
	return tensor.Sum(tensor.Reshape(x, -1, z.Hk, z.R, z.V), false, -1)
}

// overGroup sums square matrices [n, B, Hk, r, C, C] over the value heads of a
// key head.
func (z geometry) overGroup(x *tensor.Tensor) *tensor.Tensor {
	if z.R == 1 {
		return tensor.Squeeze(x, 3)
	}
	return tensor.Sum(x, false, 3)
}

// transposed returns the matrices' transposes.
func transposed(x *tensor.Tensor) *tensor.Tensor { return tensor.SwapAxes(x, -1, -2) }

// joined concatenates parts along an axis.
func joined(axis int, parts []*tensor.Tensor) *tensor.Tensor {
	if len(parts) == 1 {
		return parts[0]
	}
	return tensor.Concat(axis, parts...)
}

// Operations of several results are for graphs that are not compiled: when MLX
// drops a compiled function with such operations it forgets to free its graph.

// parted cuts x along the first axis into parts of the given lengths.
func (z geometry) parted(x *tensor.Tensor, lengths []int) []*tensor.Tensor {
	if len(lengths) == 1 {
		return []*tensor.Tensor{x}
	}
	ends := make([]int, len(lengths)+1)
	for i, n := range lengths {
		ends[i+1] = ends[i] + n
	}
	if z.compile == CompileOff {
		return tensor.SplitAt(x, 0, ends[1:len(lengths)]...)
	}
	parts := make([]*tensor.Tensor, len(lengths))
	for i := range parts {
		parts[i] = tensor.SliceAxis(x, 0, ends[i], ends[i+1])
	}
	return parts
}

// unstacked returns the slices of x along an axis, without that axis.
func (z geometry) unstacked(x *tensor.Tensor, axis int) []*tensor.Tensor {
	if z.compile == CompileOff {
		return tensor.Unstack(x, axis)
	}
	parts := make([]*tensor.Tensor, x.Dim(axis))
	for i := range parts {
		parts[i] = tensor.Squeeze(tensor.SliceAxis(x, axis, i, i+1), axis)
	}
	return parts
}

// after returns tensors that are there only after those that are done.
func (z geometry) after(xs, done []*tensor.Tensor) []*tensor.Tensor {
	if z.compile == CompileOff {
		return tensor.Depends(xs, done)
	}
	tied := make([]*tensor.Tensor, len(xs))
	for i, x := range xs {
		tied[i] = tensor.Depends([]*tensor.Tensor{x}, done)[0]
	}
	return tied
}
