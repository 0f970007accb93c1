package gateddelta

// The formulas here are those of the package documentation under Memory, and the
// operation counts of its other formulas.

// keptBytes is the size of the states that the tape keeps: of those sequences
// that go on at the start of a segment.
func (z geometry) keptBytes() int64 {
	n := 0
	for _, s := range z.plan.segments {
		if !s.fresh {
			n += s.active[0]
		}
	}
	return int64(n) * z.bytes(z.K*z.V)
}

// backwardBytes is the bound on the peak of the backward pass, with gradients for
// all operands.
func (z geometry) backwardBytes(in Inputs) int64 {
	gradients := 2 * z.operandBytes(in)
	if z.threads > 1 && z.cpu == nil {
		gradients += z.operandBytes(in) // from two halves
	}
	if z.plan.packing != nil {
		gradients *= 2 // they are padded
	}
	if z.implementation == Recurrent {
		return gradients + int64(4*z.tokenCount())*z.bytes(z.K*z.V)
	}
	largest := 0
	for _, s := range z.plan.segments {
		each := 10 * z.chunkBytes(!s.stateless)
		if z.scan.parallel() && len(s.active) > 1 {
			each = 13*z.chunkBytes(true) + int(z.bytes(4*z.K*z.K))
		}
		largest = max(largest, s.size()*each)
	}
	return gradients + int64(largest)
}

// bytes is the size of n numbers of each value head.
func (z geometry) bytes(n int) int64 { return int64(z.Hk * z.R * n * z.dtype.Size()) }

// tokenCount returns the number of tokens of all sequences.
func (z geometry) tokenCount() int {
	if z.cuSeqlens == nil {
		return z.B * z.T
	}
	return z.cuSeqlens[len(z.cuSeqlens)-1]
}

// flops counts the operations of both passes.
func (z geometry) flops() (forward, backward float64) {
	C, K, V := float64(z.C), float64(z.K), float64(z.V)
	keyHeads, valueHeads := float64(z.tokenCount()*z.Hk), float64(z.tokenCount()*z.Hk*z.R)
	switch {
	case z.implementation == Recurrent && z.noDelta:
		return valueHeads * 5 * K * V, valueHeads * 14 * K * V
	case z.implementation == Recurrent:
		return valueHeads * 7 * K * V, valueHeads * 20 * K * V
	case z.noDelta: // no K Kᵀ, inverse and K S, and numbers for M
		return valueHeads*(4*K*V+2*C*V) + keyHeads*2*C*K, valueHeads * (10*K*V + 4*C*V + 4*C*K)
	}
	forward = valueHeads*(6*K*V+4*C*V+2./3*C*C) + keyHeads*4*C*K
	backward = valueHeads * (16*K*V + 10*C*V + 8*C*K)
	if z.scan.parallel() {
		matrices, through := z.scanFlops()
		forward += valueHeads * (matrices + through)
		backward += valueHeads * (matrices + 2*C*V + 2*through) // E has Tᵀ Pᵀ dO of its own
	}
	return forward, backward
}

// scanFlops counts what a scan of matrices takes beyond the sequential one, for a
// token of a value head: to make Y, M and N (in which N is for Kᵀ(ρ∘Vn)), and to
// take a state through the chunks one way.
func (z geometry) scanFlops() (matrices, through float64) {
	C, K, V := float64(z.C), float64(z.K), float64(z.V)
	matrices, through = 2*C*K+2*K*K, 2*K*K*V/C
	if n := z.plan.steps(); z.scan == ScanTwoLevel && z.runLength(n) < n {
		through += 2 * K * K * (K + V + V/float64(z.runLength(n))) / C
	}
	return matrices, through
}

// traffic returns the bytes of all that goes in and comes out.
func (z geometry) traffic(in Inputs, finalState bool) (forward, backward int64) {
	operands, out := z.operandBytes(in), in.V.Value().Bytes()
	if finalState {
		out += int64(z.sequences) * z.bytes(z.K*z.V)
	}
	return operands + out, 2*operands + out
}

// operandBytes is the size of the operands that the inputs become.
func (z geometry) operandBytes(in Inputs) int64 {
	var n int64
	for _, x := range in.tensors() {
		if x != nil {
			n += x.Bytes()
		}
	}
	for _, computed := range []bool{in.GateInput != nil, in.BetaLogits != nil} {
		if computed {
			n += z.bytes(z.B * z.T)
		}
	}
	return n
}
