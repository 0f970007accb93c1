package gateddelta

import "github.com/deltatape/deltatape/tensor"

// peerRow is a family of another project's cases. They are held to this
// project's tolerances and to the float64 oracle on the same inputs, forward and
// backward, where many of the sources look at less.
type peerRow struct {
	name      string
	data      peerData
	dtype     tensor.Dtype // of the source; float32 runs, too
	recurrent bool         // the source tests the recurrent form
	forward   bool         // it looks at outputs only
	layouts   bool         // each case is run with states in both layouts
	stateless bool         // each is run without an initial state, too
	scans     bool         // each is run by every way to take states from chunk to chunk
	cases     []peerCase
}

var packedLong = []int{0, 15, 100, 300, 1200, 2000}

// peerRows are the cases of the gated delta rule itself of
// flash-linear-attention, FlashQLA and its port to MLX. Cases of single stages,
// of repeatability and of sequences in segments have tests of their own.
var peerRows = []peerRow{
	{name: "fla-recurrent", data: flaRecurrent, dtype: tensor.Float32, recurrent: true, layouts: true, cases: []peerCase{
		{B: 1, T: 63, Hk: 1, Hv: 1, D: 64, scale: 1, norm: 1, l2norm: true},
		{B: 2, T: 500, Hk: 4, Hv: 4, D: 60, scale: 1, norm: 1, l2norm: true},
		{B: 2, T: 1000, Hk: 2, Hv: 8, D: 128, scale: 1, norm: 0.1, l2norm: true},
		{B: 3, T: 1024, Hk: 2, Hv: 2, D: 128, scale: 0.1, norm: 1, l2norm: true},
		{B: 4, T: 1024, Hk: 3, Hv: 3, D: 128, scale: 1, norm: 10, l2norm: true},
		{B: 4, T: 2048, Hk: 4, Hv: 4, D: 64, scale: 0.1, norm: 1, l2norm: true},
	}},
	{name: "fla-recurrent-half", data: flaRecurrent, dtype: tensor.Float16, recurrent: true, cases: []peerCase{
		{B: 2, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 1, norm: 0.1, l2norm: true},
		{B: 2, T: 1024, Hk: 4, Hv: 8, D: 128, scale: 1, norm: 10, l2norm: true},
	}},
	{name: "fla-chunk", data: flaChunk, dtype: tensor.Float16, cases: []peerCase{
		{B: 4, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1, norm: 1, mask: 1},
		{B: 2, T: 75, Hk: 4, Hv: 4, D: 64, scale: 1, norm: 0.01},
		{B: 2, T: 500, Hk: 3, Hv: 3, D: 60, scale: 1, norm: 1},
		{B: 2, T: 1000, Hk: 3, Hv: 3, D: 64, scale: 0.1, norm: 1, mask: 0.5},
		{B: 3, T: 1024, Hk: 4, Hv: 4, D: 100, scale: 1, norm: 0.1},
		{B: 4, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1, norm: 1, l2norm: true},
		{B: 2, T: 1500, Hk: 4, Hv: 4, D: 128, scale: 0.1, norm: 10},
		{B: 4, T: 2048, Hk: 8, Hv: 8, D: 64, scale: 0.1, norm: 1},
		{B: 2, T: 256, Hk: 2, Hv: 4, D: 64, scale: 1, norm: 1},
		{B: 2, T: 512, Hk: 2, Hv: 8, D: 64, scale: 1, norm: 0.1, l2norm: true},
		{B: 2, T: 1024, Hk: 4, Hv: 8, D: 128, scale: 0.1, norm: 1},
	}},
	{name: "fla-chunk-sizes", data: flaChunk, dtype: tensor.Float32, cases: []peerCase{
		{B: 1, T: 64, Hk: 2, Hv: 4, D: 32, scale: 0.1, norm: 1},
	}},
	{name: "fla-chunk-beta", data: flaChunk, dtype: tensor.Float16, cases: []peerCase{
		{B: 2, T: 500, Hk: 4, Hv: 4, D: 64, scale: 1, logits: true},
		{B: 3, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1, logits: true, doubled: true, l2norm: true},
		{B: 2, T: 1024, Hk: 4, Hv: 8, D: 128, scale: 0.1, logits: true, doubled: true},
		{B: 4, T: 2048, Hk: 8, Hv: 8, D: 64, scale: 0.1, logits: true, l2norm: true},
	}},
	{name: "fla-recurrent-beta", data: flaRecurrent, dtype: tensor.Float32, recurrent: true, cases: []peerCase{
		{B: 1, T: 64, Hk: 1, Hv: 1, D: 64, scale: 1, l2norm: true, logits: true},
		{B: 2, T: 512, Hk: 2, Hv: 4, D: 64, scale: 0.1, l2norm: true, logits: true, doubled: true},
		{B: 3, T: 1000, Hk: 2, Hv: 8, D: 128, scale: 1, l2norm: true, logits: true, doubled: true},
		{B: 4, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1, l2norm: true, logits: true},
	}},
	{name: "fla-chunk-layout", data: withState(flaChunk), dtype: tensor.Float32, layouts: true, cases: []peerCase{
		{B: 1, T: 63, Hk: 1, Hv: 1, D: 64, scale: 1},
		{B: 2, T: 500, Hk: 3, Hv: 3, D: 60, scale: 1},
		{B: 3, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1},
		{B: 4, T: 2048, Hk: 8, Hv: 8, D: 64, scale: 0.1},
	}},
	{name: "fla-recurrent-gate", data: flaRecurrent, dtype: tensor.Float32, recurrent: true, cases: []peerCase{
		{B: 1, T: 64, Hk: 1, Hv: 1, D: 64, scale: 1, l2norm: true, gate: true},
		{B: 2, T: 256, Hk: 2, Hv: 2, D: 64, scale: 1, l2norm: true, gate: true, bias: true},
		{B: 2, T: 512, Hk: 2, Hv: 4, D: 64, scale: 0.1, l2norm: true, gate: true, bias: true},
		{B: 3, T: 1000, Hk: 2, Hv: 8, D: 128, scale: 1, l2norm: true, gate: true},
		{B: 4, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1, l2norm: true, gate: true, bias: true},
	}},
	{name: "fla-chunk-gate", data: flaChunk, dtype: tensor.Float16, cases: []peerCase{
		{B: 2, T: 75, Hk: 4, Hv: 4, D: 64, scale: 1, gate: true, bias: true, l2norm: true},
		{B: 2, T: 500, Hk: 3, Hv: 3, D: 60, scale: 1, gate: true},
		{B: 2, T: 1000, Hk: 3, Hv: 3, D: 64, scale: 0.1, gate: true, bias: true},
		{B: 3, T: 1024, Hk: 4, Hv: 4, D: 100, scale: 1, gate: true, bias: true, l2norm: true},
		{B: 4, T: 1024, Hk: 4, Hv: 4, D: 128, scale: 0.1, gate: true, l2norm: true},
		{B: 4, T: 2048, Hk: 8, Hv: 8, D: 64, scale: 0.1, gate: true, bias: true},
		{B: 2, T: 256, Hk: 2, Hv: 4, D: 64, scale: 1, gate: true, bias: true, l2norm: true},
		{B: 2, T: 512, Hk: 1, Hv: 4, D: 64, scale: 0.1, gate: true, l2norm: true},
		{B: 2, T: 512, Hk: 2, Hv: 8, D: 64, scale: 1, gate: true, bias: true, l2norm: true},
		{B: 2, T: 1024, Hk: 4, Hv: 8, D: 128, scale: 0.1, gate: true, bias: true, l2norm: true},
	}},
	{name: "fla-packed-gate", data: flaPacked, dtype: tensor.Float16, cases: []peerCase{
		{Hk: 4, Hv: 4, D: 60, gate: true, bias: true, l2norm: true, cu: []int{0, 15}},
		{Hk: 4, Hv: 4, D: 64, gate: true, l2norm: true, cu: []int{0, 256, 500, 1000}},
		{Hk: 4, Hv: 4, D: 64, gate: true, bias: true, l2norm: true, cu: []int{0, 256, 500, 1000}},
		{Hk: 4, Hv: 4, D: 100, gate: true, bias: true, l2norm: true, cu: packedLong},
	}},
	{name: "fla-recurrent-packed-gate", data: flaRecurrent, dtype: tensor.Float32, recurrent: true, cases: []peerCase{
		{Hk: 2, Hv: 2, D: 64, gate: true, bias: true, l2norm: true, cu: []int{0, 15, 100, 300}},
		{Hk: 2, Hv: 4, D: 64, gate: true, l2norm: true, cu: []int{0, 256, 500, 1000}},
		{Hk: 4, Hv: 4, D: 128, gate: true, bias: true, l2norm: true, cu: packedLong},
	}},
	{name: "fla-packed", data: flaPacked, dtype: tensor.Float16, cases: []peerCase{
		{Hk: 4, Hv: 4, D: 60, cu: []int{0, 15}},
		{Hk: 4, Hv: 4, D: 64, cu: []int{0, 256, 500, 1000}},
		{Hk: 4, Hv: 4, D: 64, cu: []int{0, 256, 500, 1000}, mask: 0.5},
		{Hk: 4, Hv: 4, D: 100, cu: packedLong},
		{Hk: 2, Hv: 4, D: 64, cu: []int{0, 256, 500, 1000}},
		{Hk: 2, Hv: 8, D: 64, cu: []int{0, 256, 500, 1000}},
	}},
	{name: "fla-packed-forward", data: flaPacked, dtype: tensor.Float16, forward: true, cases: []peerCase{
		{Hk: 4, Hv: 4, D: 60, cu: []int{0, 15}},
		{Hk: 4, Hv: 4, D: 60, cu: []int{0, 8192}},
		{Hk: 4, Hv: 4, D: 64, cu: []int{0, 256, 500, 1000}},
		{Hk: 4, Hv: 4, D: 64, cu: []int{0, 256, 500, 1000}, mask: 0.5},
		{Hk: 4, Hv: 4, D: 100, cu: packedLong},
	}},
	{name: "fla-backward", data: flashQLAMLX, dtype: tensor.Float32, cases: []peerCase{
		{B: 2, T: 128, Hk: 2, Hv: 2, D: 64, norm: 16},
		{B: 2, T: 128, Hk: 2, Hv: 4, D: 64, norm: 16, withoutState: true},
		{B: 1, T: 128, Hk: 4, Hv: 4, D: 32, norm: 16},
	}},
	{name: "fla-many-documents", data: flaPacked, dtype: tensor.Float32, cases: []peerCase{
		{Hk: 1, Hv: 1, D: 16, cu: offsets(randomLengths(19, 70000, 5)...)},
	}},
	{name: "fla-backends", data: flaBackends, dtype: tensor.BFloat16, layouts: true, cases: []peerCase{
		{B: 1, T: 1024, Hk: 4, Hv: 4, D: 128, l2norm: true},
		{B: 2, T: 2048, Hk: 8, Hv: 8, D: 128, l2norm: true},
		{B: 1, T: 4096, Hk: 16, Hv: 16, D: 128, l2norm: true},
		{B: 1, T: 1024, Hk: 2, Hv: 8, D: 128, l2norm: true},
		{B: 2, T: 2048, Hk: 4, Hv: 16, D: 128, l2norm: true},
		{Hk: 4, Hv: 4, D: 128, l2norm: true, cu: []int{0, 256, 500, 1000}},
		{Hk: 8, Hv: 8, D: 128, l2norm: true, cu: []int{0, 100, 300, 1200, 2000}},
		{Hk: 16, Hv: 16, D: 128, l2norm: true, cu: []int{0, 101, 303, 1205, 3007, 4096}},
	}},
	{name: "flashqla", data: flashQLA, dtype: tensor.BFloat16, layouts: true, stateless: true, cases: []peerCase{
		{B: 1, T: 4096, Hk: 4, Hv: 4, D: 128},
		{B: 1, T: 4096, Hk: 2, Hv: 8, D: 128},
		{B: 1, T: 4096, Hk: 4, Hv: 16, D: 128},
		{Hk: 4, Hv: 4, D: 128, cu: offsets(randomLengths(23, 3, 4095)...)},
		{Hk: 16, Hv: 32, D: 128, cu: []int{0, 410, 841, 1135, 2126, 2512, 4096}},
		{Hk: 16, Hv: 64, D: 128, cu: []int{0, 211, 985}, T: 1000},
	}},
	{name: "flashqla-long", data: flashQLA, dtype: tensor.BFloat16, cases: []peerCase{
		{B: 1, T: 32768, Hk: 4, Hv: 4, D: 128},
		{B: 1, T: 32768, Hk: 8, Hv: 8, D: 128},
		{B: 1, T: 32768, Hk: 16, Hv: 16, D: 128},
		{Hk: 1, Hv: 1, D: 128, cu: offsets(randomLengths(1, 11, 32)...)},
		{Hk: 1, Hv: 1, D: 128, cu: offsets(randomLengths(2, 7, 4320)...)},
		{Hk: 1, Hv: 1, D: 128, cu: offsets(randomLengths(3, 3, 16788)...)},
		{Hk: 1, Hv: 1, D: 128, cu: offsets(randomLengths(4, 5, 8191)...)},
		{Hk: 1, Hv: 1, D: 128, cu: offsets(randomLengths(5, 10, 1023)...)},
		{Hk: 1, Hv: 1, D: 128, cu: offsets(randomLengths(6, 20, 511)...)},
	}},
	{name: "flashqla-packed", data: flashQLA, dtype: tensor.BFloat16, cases: []peerCase{
		{Hk: 2, Hv: 4, D: 128, cu: []int{0, 47, 128}},
		{Hk: 2, Hv: 4, D: 128, cu: []int{0, 517, 883, 1010, 3767, 4096}},
		{Hk: 2, Hv: 4, D: 128, cu: []int{0, 4096, 6893, 7665, 8192, 12288, 16384}},
		{Hk: 2, Hv: 4, D: 128, cu: []int{0, 73, 115, 209}, T: 256},
	}},
	{name: "flashqla-scans", data: flashQLA, dtype: tensor.BFloat16, scans: true, cases: []peerCase{
		{B: 1, T: 16384, Hk: 4, Hv: 4, D: 128},
		{Hk: 4, Hv: 4, D: 128, cu: []int{0, 4096, 8192, 12288, 16384}},
		{B: 1, T: 32768, Hk: 4, Hv: 4, D: 128},
		{B: 1, T: 32768, Hk: 8, Hv: 8, D: 128},
		{B: 1, T: 32768, Hk: 16, Hv: 16, D: 128},
	}},
	{name: "flashqla-mlx", data: flashQLAMLX, dtype: tensor.Float32, cases: []peerCase{
		{B: 2, T: 256, Hk: 4, Hv: 4, D: 128, norm: 16, withoutState: true},
		{B: 1, T: 256, Hk: 4, Hv: 8, D: 128, norm: 16, withoutState: true},
		{B: 2, T: 128, Hk: 4, Hv: 4, D: 128, norm: 16},
		{B: 1, T: 192, Hk: 2, Hv: 2, D: 128, norm: 16, withoutState: true},
		{B: 1, T: 128, Hk: 2, Hv: 2, D: 128, norm: 16, withoutState: true},
		{B: 1, T: 128, Hk: 2, Hv: 4, D: 128, norm: 16, withoutState: true},
		{B: 1, T: 128, Hk: 2, Hv: 2, D: 128, norm: 16},
	}},
}

// withState has states that are not zero.
func withState(d peerData) peerData {
	d.h0 = normal
	return d
}
