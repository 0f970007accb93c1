package metal

// Work is what launches cost: FLOPs with a multiplication and an addition counted
// as two, and the fewest bytes that go to or from memory, everything once.
type Work struct {
	FLOPs    float64
	Bytes    float64
	Launches int
}

// Add returns the sum of two costs.
func (w Work) Add(other Work) Work {
	return Work{w.FLOPs + other.FLOPs, w.Bytes + other.Bytes, w.Launches + other.Launches}
}

// work is the cost of one launch for a number of tokens, chunks and runs.
type work func(c Config, tokens, chunks, runs int) Work

// sizes are the bytes of the arrays that kernels read and write.
type sizes struct {
	keys, values   float64 // tokens of q or k; of v or o
	rows, wide     float64 // of q or k, and of v or o, as float32 in chunks
	scalars        float64 // tokens of g or β
	squares, gates float64 // chunks
	states, run    float64 // states of chunks; of runs
}

func (c Config) sizes(tokens, chunks, runs int) sizes {
	t, n := float64(tokens), float64(chunks)
	e := float64(c.Dtype.Size())
	state := float64(4 * c.HV * c.DK * c.DV)
	return sizes{
		keys: t * e * float64(c.HK*c.DK), values: t * e * float64(c.HV*c.DV),
		rows: n * 4 * float64(c.Chunk*c.HK*c.DK), wide: n * 4 * float64(c.Chunk*c.HV*c.DV),
		scalars: t * 4 * float64(c.HV),
		squares: n * 4 * float64(c.HV*c.Chunk*c.Chunk), gates: n * 4 * float64(c.HV*gateKinds*c.Chunk),
		states: n * state, run: float64(runs) * state,
	}
}

// products are the FLOPs of products of matrices, in chunks that may be padded.
// Triangular matrices count half.
type products struct {
	keyState   float64 // C x K x V of a value head
	squareKeys float64 // C x C x K of a value head, triangular
	squareVals float64 // C x C x V of a value head, triangular
	gram       float64 // C x C x K of a key head, triangular
}

func (c Config) products(chunks int) products {
	rows := float64(chunks * c.Chunk)
	return products{
		keyState:   2 * rows * float64(c.HV*c.DK*c.DV),
		squareKeys: rows * float64(c.HV*c.Chunk*c.DK),
		squareVals: rows * float64(c.HV*c.Chunk*c.DV),
		gram:       rows * float64(c.HK*c.Chunk*c.DK),
	}
}

func prepareWork(c Config, tokens, chunks, runs int) Work {
	s, p := c.sizes(tokens, chunks, runs), c.products(chunks)
	inverse := float64(chunks*c.HV*c.Chunk*c.Chunk*c.Chunk) / 3
	return Work{2*p.gram + inverse, 2*s.keys + 2*s.rows + 2*s.scalars + 2*s.squares + s.gates, 1}
}

func forwardWork(c Config, tokens, chunks, runs int) Work {
	s, p := c.sizes(tokens, chunks, runs), c.products(chunks)
	return Work{3*p.keyState + 2*p.squareVals, 2*s.rows + 2*s.values + 2*s.squares + s.gates + 2*s.run, 1}
}

func replayWork(c Config, tokens, chunks, runs int) Work {
	s, p := c.sizes(tokens, chunks, runs), c.products(chunks)
	return Work{2*p.keyState + p.squareVals, s.rows + s.values + s.squares + s.gates + s.run + s.wide + s.states, 1}
}

func backWork(c Config, tokens, chunks, runs int) Work {
	s, p := c.sizes(tokens, chunks, runs), c.products(chunks)
	return Work{3*p.keyState + 2*p.squareVals, 2*s.rows + 2*s.values + 2*s.squares + s.gates + 2*s.run + s.wide + s.states, 1}
}

func gradsWork(c Config, tokens, chunks, runs int) Work {
	s, p := c.sizes(tokens, chunks, runs), c.products(chunks)
	return Work{
		3*p.keyState + 2*p.squareVals + 4*p.squareKeys + 2*p.gram,
		2*s.rows + 2*s.keys + 2*s.values + 2*s.wide + 2*s.states + s.gates + 2*s.scalars, 1,
	}
}

func sequentialWork(c Config, tokens, chunks, runs int) Work {
	s := c.sizes(tokens, chunks, runs)
	return Work{7 * float64(tokens*c.HV*c.DK*c.DV), 2*s.keys + 2*s.values + 2*s.scalars + 2*s.run, 1}
}

// DecodeWork is the cost of Decode for a batch, with a convolution of so many taps.
func (c Config) DecodeWork(batch, taps int) Work {
	s, n, e := c.sizes(batch, 0, batch), float64(batch), float64(c.Dtype.Size())
	heads, channels := float64(c.HV), float64(2*c.HK*c.DK+c.HV*c.DV)
	kept := float64(taps - 1 + max(1, taps-1)) // inputs, read and written
	return Work{
		FLOPs:    n*heads*float64(7*c.DK*c.DV+6*c.DK+12*c.DV) + n*channels*float64(2*taps+4),
		Bytes:    2*s.run + n*e*(channels*(1+kept)+2*heads) + 2*s.values + 4*(channels*float64(taps)+2*heads+float64(c.DV)),
		Launches: 1,
	}
}

func solveWork(c Config, tokens, chunks, runs int) Work {
	n := float64(chunks * c.HV * c.Chunk * c.Chunk)
	return Work{n * float64(c.Chunk) / 3, 8 * n, 1}
}

// gateKinds is GATE_KINDS.
const gateKinds = 5
