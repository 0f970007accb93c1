package metal

// rowSimdgroups are those of the kernels for norms and convolutions.
const rowSimdgroups = 4

func fourSimdgroups(Config) int { return rowSimdgroups }

// rowKernel is an entry for a kernel over rows or channels, whose cost is that of
// its memory traffic.
func rowKernel(name, file string, flops float64, in, out []argument) *kernel {
	return &kernel{
		name: name, files: []string{file}, in: in, out: out,
		simdgroups: fourSimdgroups, sharedFloats: noFloats,
		width:  func(_ Config, chunks, _ int) int { return chunks },
		height: func(_ Config, _, runs int) int { return max(1, runs) },
		work: func(c Config, tokens, _, _ int) Work {
			arrays := 0
			for _, a := range append(append([]argument{}, in...), out...) {
				if a.kind == element {
					arrays++
				}
			}
			n := float64(tokens * c.DK)
			return Work{flops * n, n * float64(arrays*c.Dtype.Size()), 1}
		},
	}
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

	l2normKernel        = rowKernel("l2norm", "norm.metal", 3, []argument{argX, argParams, argPlan}, []argument{argY})
	l2normBackKernel    = rowKernel("l2norm_back", "norm.metal", 7, []argument{argX, argDY, argParams, argPlan}, []argument{argDX})
	gatedNormKernel     = rowKernel("gated_norm", "norm.metal", 9, []argument{argX, argW, argZ, argParams, argPlan}, []argument{argY})
	gatedNormBackKernel = rowKernel("gated_norm_back", "norm.metal", 24,
		[]argument{argX, argW, argZ, argDY, argParams, argPlan}, []argument{argDX, argDW, argDZ})
	shortConvKernel     = rowKernel("short_conv", "short_conv.metal", 12, []argument{argX, argW, argPlan}, []argument{argY})
	shortConvBackKernel = rowKernel("short_conv_back", "short_conv.metal", 36,
		[]argument{argX, argW, argDY, argPlan}, []argument{argDX, argDW})
)
