package metal

import "github.com/deltatape/deltatape/tensor"

// What the kernels of layers compute, by operations of the engine in float32. None of
// them multiplies matrices, which devices may do with less precision.

func l2normFormula(x *tensor.Tensor, eps float64) *tensor.Tensor {
	return tensor.Mul(x, tensor.Rsqrt(tensor.AddScalar(tensor.Sum(tensor.Square(x), true, -1), eps)))
}

func gatedNormFormula(x, w, z *tensor.Tensor, eps float64) *tensor.Tensor {
	r := tensor.Rsqrt(tensor.AddScalar(tensor.Mean(tensor.Square(x), true, -1), eps))
	return tensor.Mul(tensor.Mul(tensor.Mul(x, r), w), tensor.SiLU(z))
}

// convSiLUFormula takes x [B, T, channels] and w [channels, W].
func convSiLUFormula(x, w *tensor.Tensor) *tensor.Tensor {
	T, width := x.Dim(1), w.Dim(1)
	past := tensor.Pad(x, [][2]int{{0, 0}, {width - 1, 0}, {0, 0}}, 0)
	var y *tensor.Tensor
	for i := range width {
		term := tensor.Mul(tensor.SliceAxis(past, 1, i, i+T), tensor.Reshape(tensor.SliceAxis(w, 1, i, i+1), -1))
		if y == nil {
			y = term
		} else {
			y = tensor.Add(y, term)
		}
	}
	return tensor.SiLU(y)
}

// decodeFormula returns what Decode does, from operands in float32 and weights as
// NewDecodeWeights takes them.
func (c Config) decodeFormula(in Token, taps, aLog, dtBias, norm *tensor.Tensor, numbers DecodeNumbers) []*tensor.Tensor {
	B, R, width := in.QKV.Dim(0), c.group(), taps.Dim(1)
	window := tensor.Concat(1, in.Past, tensor.ExpandDims(in.QKV, 1))
	x := tensor.SiLU(tensor.Sum(tensor.Mul(window, tensor.Transpose(taps)), false, 1))
	parts := tensor.SplitAt(x, -1, c.HK*c.DK, 2*c.HK*c.DK)
	column := func(x *tensor.Tensor) *tensor.Tensor {
		return l2normFormula(tensor.Reshape(x, B, c.HK, 1, c.DK), numbers.L2Eps)
	}
	q := tensor.MulScalar(tensor.ExpandDims(column(parts[0]), -1), numbers.Scale)
	k := tensor.ExpandDims(column(parts[1]), -1)
	v := tensor.Reshape(parts[2], B, c.HK, R, 1, c.DV)
	perHead := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Reshape(x, B, c.HK, R, 1, 1) }
	g := tensor.Mul(tensor.Exp(aLog), tensor.Softplus(tensor.Add(in.A, dtBias)))
	decayed := tensor.Mul(perHead(tensor.Exp(tensor.Neg(g))), tensor.Reshape(in.State, B, c.HK, R, c.DK, c.DV))
	d := tensor.Mul(perHead(tensor.Sigmoid(in.B)), tensor.Sub(v, tensor.Sum(tensor.Mul(k, decayed), true, -2)))
	state := tensor.Add(decayed, tensor.Mul(k, d))
	o := tensor.Reshape(tensor.Sum(tensor.Mul(q, state), false, -2), B, c.HV, c.DV)
	y := gatedNormFormula(o, norm, tensor.Reshape(in.Z, B, c.HV, c.DV), numbers.NormEps)
	return []*tensor.Tensor{
		tensor.Reshape(y, B, -1),
		tensor.SliceAxis(window, 1, min(1, width-1), width),
		tensor.Reshape(state, B, c.HV, c.DK, c.DV),
	}
}
