package metal

// rowSimdgroups are those of the kernels for norms and convolutions.
const rowSimdgroups = 4

func fourSimdgroups(Config) int { return rowSimdgroups }

// rowElements are those of an array of rows, one a token.
func rowElements(c Config, tokens, _, _ int) float64 { return float64(tokens * c.DK) }

// channelElements are those of an array of channels, with what fills the last
// threadgroups: a launch knows no more of them.
func channelElements(_ Config, _, chunks, runs int) float64 {
	return float64(chunks*convTokens) * float64(runs*32*rowSimdgroups)
}

// rowKernel is an entry for a kernel over rows or channels: its cost is so many FLOPs
// for each element and tap, and the memory traffic of the arrays.
func rowKernel(name, file string, flops float64, elements func(c Config, tokens, chunks, runs int) float64, in, out []argument) *kernel {
	return &kernel{
		name: name, files: []string{"activation.h", file}, in: in, out: out,
		simdgroups: fourSimdgroups, sharedFloats: noFloats,
		width:  func(_ Config, chunks, _ int) int { return chunks },
		height: func(_ Config, _, runs int) int { return max(1, runs) },
		work: func(c Config, tokens, chunks, runs int) Work {
			arrays := 0
			for _, a := range append(append([]argument{}, in...), out...) {
				if a.kind == element {
					arrays++
				}
			}
			n := elements(c, tokens, chunks, runs)
			return Work{flops * n, n * float64(arrays*c.Dtype.Size()), 1}
		},
	}
}

// convKernel is rowKernel for convolutions, whose FLOPs are by tap.
func convKernel(name string, flops float64, in, out []argument) *kernel {
	k := rowKernel(name, "short_conv.metal", flops, channelElements, in, out)
	perTap := k.work
	k.work = func(c Config, tokens, chunks, runs int) Work {
		w := perTap(c, tokens, chunks, runs)
		w.FLOPs *= float64(c.DV)
		return w
	}
	return k
}

var (
	argX  = argument{"x", element}
	argY  = argument{"y", element}
	argZ  = argument{"z", element}
	argW  = argument{"w", real}
	argDX = argument{"dx", element}
	argDY = argument{"dy", element}
	argDW = argument{"dw", real}
	argDZ = argument{"dz", element}

	l2normKernel     = rowKernel("l2norm", "norm.metal", 3, rowElements, []argument{argX, argParams, argPlan}, []argument{argY})
	l2normBackKernel = rowKernel("l2norm_back", "norm.metal", 7, rowElements,
		[]argument{argX, argDY, argParams, argPlan}, []argument{argDX})
	gatedNormKernel = rowKernel("gated_norm", "norm.metal", 9, rowElements,
		[]argument{argX, argW, argZ, argParams, argPlan}, []argument{argY})
	gatedNormBackKernel = rowKernel("gated_norm_back", "norm.metal", 24, rowElements,
		[]argument{argX, argW, argZ, argDY, argParams, argPlan}, []argument{argDX, argDW, argDZ})
	shortConvKernel     = convKernel("short_conv", 3, []argument{argX, argW, argPlan}, []argument{argY})
	shortConvBackKernel = convKernel("short_conv_back", 9, []argument{argX, argW, argDY, argPlan}, []argument{argDX, argDW})
)
