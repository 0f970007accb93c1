package metal

import "github.com/deltatape/deltatape/tensor"

// kind is the type of an argument's elements.
type kind int

const (
	element kind = iota // Config.Dtype
	real                // float32
	integer             // int32
)

// dtype returns the dtype of a kind.
func (c Config) dtype(k kind) tensor.Dtype {
	switch k {
	case element:
		return c.Dtype
	case real:
		return tensor.Float32
	}
	return tensor.Int32
}

// argument is an array that a kernel reads or writes.
type argument struct {
	name string
	kind kind
}

// kernel is an entry of the registry: everything about a kernel but its body.
type kernel struct {
	name    string   // of the function
	files   []string // that hold it and what it needs, in order
	in, out []argument
	work    work

	// simdgroups is their number in a threadgroup, and sharedFloats the size of its
	// memory.
	simdgroups, sharedFloats func(Config) int

	// width and height are those of the grid, in threadgroups.
	width, height func(c Config, chunks, runs int) int
}

// The parts of kernels' arguments that are alike. docs/kernels.md and chunk.h say
// what they are.
var (
	argQueries  = argument{"queries", real}
	argKeys     = argument{"keys", real}
	argV        = argument{"v", element}
	argDO       = argument{"dout", element}
	argInverse  = argument{"inverse", real}
	argScores   = argument{"scores", real}
	argGates    = argument{"gates", real}
	argParams   = argument{"params", real}
	argPlan     = argument{"plan", integer}
	argWritten  = argument{"written", real}
	argDBound   = argument{"dbound", real}
	argStates   = argument{"states", real}
	argDStates  = argument{"dstates", real}
	scanHeaders = []string{"chunk.h", "chunk_scan.metal"}
)

var registry = []*kernel{
	prepareKernel, forwardKernel, replayKernel, backKernel, gradsKernel, sequentialKernel, solveKernel, blocksKernel,
	l2normKernel, l2normBackKernel, gatedNormKernel, gatedNormBackKernel, shortConvKernel, shortConvBackKernel,
	decodeKernel,
}

var prepareKernel = &kernel{
	name:  "chunk_prepare",
	files: []string{"chunk.h", "chunk_prepare.metal"},
	in:    []argument{{"q", element}, {"k", element}, {"g", real}, {"beta", real}, argParams, argPlan},
	out:   []argument{argQueries, argKeys, argInverse, argScores, argGates},
	work:  prepareWork,

	simdgroups:   func(c Config) int { return c.Chunk / 8 },
	sharedFloats: func(c Config) int { return prepareHeads(c) * (c.Chunk*(c.Chunk+1) + 3*c.Chunk) },
	width:        perChunk, height: perKeyHead,
}

var forwardKernel = &kernel{
	name:  "chunk_forward",
	files: scanHeaders,
	in:    []argument{argQueries, argKeys, argV, argInverse, argScores, argGates, {"h0", real}, argParams, argPlan},
	out:   []argument{{"o", element}, {"ht", real}},
	work:  forwardWork,

	simdgroups: scanSimdgroups, sharedFloats: noFloats,
	width: perRun, height: perColumns,
}

var replayKernel = &kernel{
	name:  "chunk_replay",
	files: scanHeaders,
	in:    []argument{argKeys, argV, argInverse, argGates, {"h0", real}, argParams, argPlan},
	out:   []argument{argWritten, argStates},
	work:  replayWork,

	simdgroups: scanSimdgroups, sharedFloats: noFloats,
	width: perRun, height: perColumns,
}

var backKernel = &kernel{
	name:  "chunk_back",
	files: append(scanHeaders[:2:2], "chunk_scan_back.metal"),
	in:    []argument{argQueries, argKeys, argDO, argInverse, argScores, argGates, {"dht", real}, argParams, argPlan},
	out:   []argument{{"dv", element}, argDBound, argDStates, {"dh0", real}},
	work:  backWork,

	simdgroups: scanSimdgroups, sharedFloats: noFloats,
	width: perRun, height: perColumns,
}

var gradsKernel = &kernel{
	name:  "chunk_grads",
	files: []string{"chunk.h", "chunk_grads.metal"},
	in:    []argument{argQueries, argKeys, argV, argDO, argWritten, argDBound, argStates, argDStates, argGates, argParams, argPlan},
	out:   []argument{{"dq", element}, {"dk", element}, {"dg", real}, {"dbeta", real}},
	work:  gradsWork,

	simdgroups: gradsSimdgroups,
	sharedFloats: func(c Config) int {
		area := max(3*gradsSimdgroups(c)*c.Chunk, c.Chunk*(c.Chunk+4))
		return area + c.Chunk/8*c.Chunk + 4*c.Chunk + gradsSimdgroups(c)
	},
	width: perChunk, height: perKeyHead,
}

var sequentialKernel = &kernel{
	name:  "sequential",
	files: []string{"chunk.h", "sequential.metal"},
	in:    []argument{{"q", element}, {"k", element}, argV, {"g", real}, {"beta", real}, {"h0", real}, argParams, argPlan},
	out:   []argument{{"o", element}, {"ht", real}},
	work:  sequentialWork,

	simdgroups: sequentialSimdgroups,
	sharedFloats: func(c Config) int {
		if c.DK > 128 {
			return 2 * 8 * c.DK
		}
		return 2 * 16 * c.DK
	},
	width:  perRun,
	height: func(c Config, _, _ int) int { return c.HV * ceilDiv(c.DV, 4*sequentialSimdgroups(c)) },
}

// sequentialSimdgroups share the queries and keys of a value head.
func sequentialSimdgroups(c Config) int { return min(4, ceilDiv(c.DV, 4)) }

var solveKernel = &kernel{
	name:  "kkt_solve",
	files: []string{"kkt_solve.metal"},
	in:    []argument{{"a", real}},
	out:   []argument{{"x", real}},
	work:  solveWork,

	simdgroups:   func(c Config) int { return ceilDiv(c.Chunk, 32) },
	sharedFloats: func(c Config) int { return c.Chunk * c.Chunk },
	width:        perChunk, height: perValueHead,
}

var blocksKernel = &kernel{
	name:  "solve_blocks",
	files: []string{"kkt_solve.metal"},
	in:    []argument{{"a", real}},
	out:   []argument{{"x", real}},
	work:  solveWork,

	simdgroups:   func(Config) int { return 1 },
	sharedFloats: func(c Config) int { return c.Chunk * (c.Chunk + 4) },
	width:        perChunk, height: perValueHead,
}

// prepareHeads is PREPARE_HEADS.
func prepareHeads(c Config) int {
	if c.Chunk == 64 {
		return 1
	}
	return c.Chunk / 8
}

// gradsTiles is GRADS_TILES, the tiles of 8 columns that a simdgroup owns.
func gradsTiles(c Config) int {
	if c.Chunk == 64 {
		return 1
	}
	return 2
}

// gradsSquares is GRADS_SQUARES, the tiles of a C x C matrix.
func gradsSquares(c Config) int { return c.Chunk / 16 * c.Chunk / 8 }

// gradsSimdgroups are enough to own all columns, with at most four C x C tiles
// each.
func gradsSimdgroups(c Config) int {
	return max(ceilDiv(c.DK, 8*gradsTiles(c)), ceilDiv(gradsSquares(c), 4))
}

// scanSimdgroups share a value head, for what they read to be in the cache.
func scanSimdgroups(c Config) int { return min(2, ceilDiv(c.DV, 16)) }

func noFloats(Config) int { return 0 }

func perChunk(_ Config, chunks, _ int) int { return chunks }
func perRun(_ Config, _, runs int) int     { return runs }
func perKeyHead(c Config, _, _ int) int    { return c.HK }
func perValueHead(c Config, _, _ int) int  { return c.HV }
func perColumns(c Config, _, _ int) int    { return c.HV * ceilDiv(c.DV, 16*scanSimdgroups(c)) }

func ceilDiv(a, b int) int { return (a + b - 1) / b }
