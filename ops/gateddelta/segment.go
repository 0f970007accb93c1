package gateddelta

import "github.com/deltatape/deltatape/tensor"

// segment is a run of n chunks that are worked on together, and what can be
// computed for them without the state. The letters are those of the package
// documentation; Q carries the scale.
type segment struct {
	z geometry
	span
	index int  // in the plan
	whole bool // its chunks are one, rather than one for each step

	Q, K   *tensor.Tensor // key rows
	QK, KK *tensor.Tensor // square, shared by the group: Q Kᵀ and K Kᵀ (not with NoDelta)
	β      *tensor.Tensor // gates
	decays
	P *tensor.Tensor // square: Γ∘QKᵀ

	M, N *tensor.Tensor // of scans, once they are needed: see segment.moves

	chunks []chunk
}

// chunk is what one step takes of a segment, without the axis of chunks; or all
// of a segment, with its chunks in place of sequences: see segment.parts.
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
	s.whole = z.scan.parallel() && len(s.active) > 1
	s.Q = z.keyRows(z.queryTokens(in.q, index))
	s.K = z.keyRows(z.tokens(in.k, index))
	s.β = z.gates(z.gateTokens(in.β, index))
	s.decays = decaysOf(z.gates(z.gateTokens(in.g, index)), z.masks)

	// The Gram matrices belong to key heads; the r value heads broadcast them.
	s.QK = tensor.ExpandDims(tensor.MatMul(s.Q, transposed(s.K)), 3)
	s.P = tensor.Mul(s.Γ, s.QK)

	counts := s.active
	if s.whole {
		counts = []int{s.K.Dim(0) * s.K.Dim(1)}
	}
	s.chunks = make([]chunk, len(counts))
	for i := range s.chunks {
		s.chunks[i].z, s.chunks[i].n = z, counts[i]
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
	T := unitInverse(A, z.masks)
	s.slice(T, func(c *chunk) **tensor.Tensor { return &c.T })
	s.slice(tensor.Mul(T, tensor.ExpandDims(s.β, -2)), func(c *chunk) **tensor.Tensor { return &c.Tβ })
	return s
}

// slice gives each chunk its part of x.
func (s *segment) slice(x *tensor.Tensor, field func(*chunk) **tensor.Tensor) {
	for i, part := range s.parts(x) {
		*field(&s.chunks[i]) = part
	}
}

// parts cuts arrays with chunks along the first axis into those of the chunks,
// with sequences along it: [n, B, ...] or, for packed sequences, [n, 1, ...]. A
// whole segment is one part of n·B rows. One row is cut like packed sequences,
// which takes one view less for each part.
func (s *segment) parts(x *tensor.Tensor) []*tensor.Tensor {
	switch {
	case s.z.B == 1 && s.whole:
		return []*tensor.Tensor{tensor.Squeeze(x, 1)}
	case s.z.B == 1:
		return s.z.parted(tensor.Squeeze(x, 1), s.active)
	case s.whole:
		return []*tensor.Tensor{tensor.Reshape(x, append([]int{-1}, x.Shape()[2:]...)...)}
	}
	return s.z.unstacked(x, 0)
}

// fromParts is the inverse of parts.
func (s *segment) fromParts(parts []*tensor.Tensor) *tensor.Tensor {
	switch {
	case s.z.B == 1:
		return tensor.ExpandDims(joined(0, parts), 1)
	case s.whole:
		return tensor.Reshape(parts[0], append([]int{-1, s.z.B}, parts[0].Shape()[1:]...)...)
	}
	return tensor.Stack(0, parts...)
}

// pass is what a chunk makes of the state S at its start. A state of nil is zero,
// and so is what is nil of it here.
type pass struct {
	S   *tensor.Tensor // wide state
	QS  *tensor.Tensor // wide rows: Q S, what the state holds for the queries
	KS  *tensor.Tensor // wide rows: K S, what the state holds for the keys (not with NoDelta)
	E   *tensor.Tensor // value rows: V − γ∘(K S), the error before the chunk's own writes; V with NoDelta
	Vn  *tensor.Tensor // value rows: T (β∘E), the values that are written
	ρVn *tensor.Tensor // wide rows
}

// from computes the pass from state S.
func (c chunk) from(S *tensor.Tensor) pass {
	p := pass{S: S, E: c.V}
	if S != nil {
		p.QS = tensor.MatMul(c.Q, S)
	}
	if c.z.noDelta {
		p.Vn = tensor.Mul(c.β, p.E)
	} else {
		if S != nil {
			p.KS = tensor.MatMul(c.K, S)
			p.E = tensor.Sub(c.V, tensor.Mul(c.γ, c.z.byHead(p.KS)))
		}
		p.Vn = tensor.MatMul(c.Tβ, p.E)
	}
	p.ρVn = c.z.wideScaled(c.ρ, p.Vn)
	return p
}

// next returns the state at the chunk's end, S⁺ = e^{G_C} S + Kᵀ(ρ∘Vn).
func (c chunk) next(p pass) *tensor.Tensor {
	var decayed *tensor.Tensor
	if p.S != nil {
		decayed = tensor.Mul(c.γC, p.S)
	}
	return plusProduct(decayed, transposed(c.K), p.ρVn, 1)
}

// plusProduct returns c + sign·(a x b), where nil stands for a c of zeros.
func plusProduct(c, a, b *tensor.Tensor, sign float64) *tensor.Tensor {
	if c != nil {
		return tensor.AddMM(c, a, b, sign, 1)
	}
	if sign < 0 {
		a = tensor.Neg(a)
	}
	return tensor.MatMul(a, b)
}
