package gateddelta

import "github.com/deltatape/deltatape/tensor"

// decays are the factors by which a segment's gates shrink things.
type decays struct {
	Γ  *tensor.Tensor // square: Γ_ij = e^{g_{j+1} + … + g_i} for i >= j, else 0
	γ  *tensor.Tensor // [n, B, Hk, r, C, 1]: from the chunk's start to row i
	ρ  *tensor.Tensor // [n, B, Hk, r, C, 1]: from row i to the chunk's end
	γC *tensor.Tensor // [n, B, Hk, r]: over the whole chunk, e^{G_C}
}

// decaysOf computes the factors of gates g [n, B, Hk, r, C].
//
// All are exponentials of sums over the tokens concerned, scanned for each of
// them, and never of differences of sums: these lose what strong gates leave,
// and ∞ − ∞ is not a number. Γ is the scan of products over the rows, which
// takes C exponentials per chunk in place of the C² of the scan of sums (an
// eighth of the time of a whole step) and agrees with it in accuracy.
func decaysOf(g *tensor.Tensor, m masks) decays {
	last := g.NDim() - 1
	column := func(x *tensor.Tensor) *tensor.Tensor { return tensor.ExpandDims(x, -1) }
	a := column(tensor.Exp(g))
	Γ := tensor.CumProd(tensor.Where(m.isStrict, a, tensor.Like(a, 1)), last, false, false)
	return decays{
		Γ:  tensor.Mul(Γ, m.lower),
		γ:  column(tensor.Exp(tensor.CumSum(g, last, false, false))),
		ρ:  column(tensor.Exp(tensor.CumSum(g, last, true, true))),
		γC: tensor.Exp(tensor.Sum(g, false, last)),
	}
}
