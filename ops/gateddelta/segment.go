package gateddelta

import "github.com/deltatape/deltatape/tensor"

// segment is a run of n chunks that are worked on together, and what can be
// computed for them without the state. The letters are those of the package
// documentation; Q carries the scale.
type segment struct {
	z geometry
	span
	index int // in the plan
	masks masks

	Q, K   *tensor.Tensor // key rows
	QK, KK *tensor.Tensor // square, shared by the group: Q Kᵀ and K Kᵀ (not with NoDelta)
	β      *tensor.Tensor // gates
	decays
	P *tensor.Tensor // square: Γ∘QKᵀ

	chunks []chunk
}

// chunk is one chunk's slice of a segment, without the axis of chunks.
type chunk struct {
	z     geometry
	n     int            // number of sequences, below B
	Q, K  *tensor.Tensor // [B, Hk, C, K]
	V     *tensor.Tensor // value rows [B, Hk, r, C, V], a view
	β     *tensor.Tensor // [B, Hk, r, C, 1]
	γ, ρ  *tensor.Tensor // [B, Hk, r, C, 1]
	γC    *tensor.Tensor // [B, Hk, 1, r·V]: the decay of the wide state
	P     *tensor.Tensor // [B, Hk, r, C, C]
	T, Tβ *tensor.Tensor // [B, Hk, r, C, C]: (I + A)^-1, and with its columns scaled by β (not with NoDelta)
}

// segmentAt prepares a segment of the plan.
func (z geometry) segmentAt(in operands, index int) *segment {
	s := &segment{z: z, span: z.plan.segments[index], index: index}
	s.chunks = make([]chunk, len(s.active))
	s.Q = z.keyRows(z.queryTokens(in.q, index))
	s.K = z.keyRows(z.tokens(in.k, index))
	s.β = z.gates(z.gateTokens(in.β, index))
	s.masks = masksLike(s.K, z.C)
	s.decays = decaysOf(z.gates(z.gateTokens(in.g, index)), s.masks)

	// The Gram matrices belong to key heads; the r value heads broadcast them.
	s.QK = tensor.ExpandDims(tensor.MatMul(s.Q, transposed(s.K)), 3)
	s.P = tensor.Mul(s.Γ, s.QK)

	for i := range s.chunks {
		s.chunks[i].z, s.chunks[i].n = z, s.active[i]
	}
	s.slice(s.Q, func(c *chunk) **tensor.Tensor { return &c.Q })
	s.slice(s.K, func(c *chunk) **tensor.Tensor { return &c.K })
	s.slice(z.valueRows(z.tokens(in.v, index)), func(c *chunk) **tensor.Tensor { return &c.V })
	βRow := tensor.ExpandDims(s.β, -1)
	s.slice(βRow, func(c *chunk) **tensor.Tensor { return &c.β })
	s.slice(s.γ, func(c *chunk) **tensor.Tensor { return &c.γ })
	s.slice(s.ρ, func(c *chunk) **tensor.Tensor { return &c.ρ })
	s.slice(z.overValues(s.γC), func(c *chunk) **tensor.Tensor { return &c.γC })
	s.slice(s.P, func(c *chunk) **tensor.Tensor { return &c.P })
	if z.noDelta {
		return s
	}
	s.KK = tensor.ExpandDims(tensor.MatMul(s.K, transposed(s.K)), 3)
	A := tensor.Mul(βRow, tensor.Mul(s.Γs, s.KK))
	T := unitInverse(A, s.masks)
	s.slice(T, func(c *chunk) **tensor.Tensor { return &c.T })
	s.slice(tensor.Mul(T, tensor.ExpandDims(s.β, -2)), func(c *chunk) **tensor.Tensor { return &c.Tβ })
	return s
}

// slice gives each chunk its slice of x.
func (s *segment) slice(x *tensor.Tensor, field func(*chunk) **tensor.Tensor) {
	for i, part := range s.z.steps(x, s.active) {
		*field(&s.chunks[i]) = part
	}
}

// pass is what a chunk makes of the state S at its start.
type pass struct {
	S   *tensor.Tensor // wide state
	KS  *tensor.Tensor // wide rows: K S, what the state holds for the keys (not with NoDelta)
	E   *tensor.Tensor // value rows: V − γ∘(K S), the error before the chunk's own writes; V with NoDelta
	Vn  *tensor.Tensor // value rows: T (β∘E), the values that are written
	ρVn *tensor.Tensor // wide rows
}

// run computes the pass from state S and the state at the chunk's end,
// S⁺ = e^{G_C} S + Kᵀ(ρ∘Vn).
func (c chunk) run(S *tensor.Tensor) (p pass, next *tensor.Tensor) {
	p.S = S
	if c.z.noDelta {
		p.E = c.V
		p.Vn = tensor.Mul(c.β, p.E)
	} else {
		p.KS = tensor.MatMul(c.K, S)
		p.E = tensor.Sub(c.V, tensor.Mul(c.γ, c.z.byHead(p.KS)))
		p.Vn = tensor.MatMul(c.Tβ, p.E)
	}
	p.ρVn = c.z.wideScaled(c.ρ, p.Vn)
	next = tensor.AddMM(tensor.Mul(c.γC, S), transposed(c.K), p.ρVn, 1, 1)
	return p, next
}
