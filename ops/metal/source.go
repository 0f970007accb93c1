package metal

import (
	"fmt"
	"strings"

	"github.com/deltatape/deltatape/ops/metal/kernels"
	"github.com/deltatape/deltatape/tensor"
)

// source returns the text of a kernel for a GPU. The sizes are macros, so that
// loops over them have known bounds.
func (k *kernel) source(c Config, language tensor.Language) tensor.KernelSource {
	s := tensor.KernelSource{Name: c.unique(k.name)}
	var arguments []string
	for _, a := range k.in {
		s.Inputs = append(s.Inputs, a.name)
		arguments = append(arguments, a.name)
	}
	for _, a := range k.out {
		s.Outputs = append(s.Outputs, a.name)
		arguments = append(arguments, a.name)
	}

	var header strings.Builder
	target, elementType := "cuda.h", elementTypes[c.Dtype].cuda
	shared, position := "__shared__ float shared[%d];\n", "threadIdx.x & 31, threadIdx.x >> 5, blockIdx.x, blockIdx.y"
	if language == tensor.Metal {
		target, elementType = "metal.h", elementTypes[c.Dtype].metal
		shared = "threadgroup float shared[%d];\n"
		position = "thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threadgroup_position_in_grid.x, threadgroup_position_in_grid.y"
		header.WriteString("#include <metal_simdgroup_matrix>\n")
	}
	for _, size := range []struct {
		name  string
		value any
	}{
		{"C", c.Chunk}, {"DK", c.DK}, {"DV", c.DV}, {"HK", c.HK}, {"HV", c.HV}, {"R", c.group()},
		{"SIMDGROUPS", k.simdgroups(c)}, {"MAX_DK", c.DK}, {"MAX_GRADS_SHARE", "GRADS_SHARE"},
		{"MAX_ROW_SHARE", "ROW_SHARE"}, {"MAX_WIDTH", c.DV},
	} {
		fmt.Fprintf(&header, "#define %s %v\n", size.name, size.value)
	}
	fmt.Fprintf(&header, "namespace deltatape {\nusing Element = %s;\n", elementType)
	for _, name := range append([]string{target, "tile.h"}, k.files...) {
		header.WriteString(kernels.Source(name))
	}
	header.WriteString("}\n")
	s.Header = header.String()

	if n := k.sharedFloats(c); n > 0 {
		s.Body = fmt.Sprintf(shared, n)
		arguments = append(arguments, "shared")
	}
	s.Body += fmt.Sprintf("deltatape::%s(%s, deltatape::thread_at(%s));\n", k.name, strings.Join(arguments, ", "), position)
	return s
}
