package metal

import (
	"fmt"
	"strings"

	"github.com/deltatape/deltatape/ops/metal/kernels"
	"github.com/deltatape/deltatape/tensor"
)

// doneOutput and afterInput are arguments beside those of the body: their one use is
// to put launches in order.
const doneOutput = "done"

func afterInput(i int) string { return fmt.Sprintf("after%d", i) }

// source returns the text of a kernel for a GPU. The sizes are macros, so that
// loops over them have known bounds. Outputs that are written in place are inputs to
// the engine.
func (k *kernel) source(c Config, language tensor.Language) tensor.KernelSource {
	s := tensor.KernelSource{Name: c.unique(k.name)}
	target, elementType, space := "cuda.h", elementTypes[c.Dtype].cuda, ""
	shared, position := "__shared__ float shared[%d];\n", "threadIdx.x & 31, threadIdx.x >> 5, blockIdx.x, blockIdx.y"
	var header strings.Builder
	if language == tensor.Metal {
		target, elementType, space = "metal.h", elementTypes[c.Dtype].metal, "device "
		shared = "threadgroup float shared[%d];\n"
		position = "thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threadgroup_position_in_grid.x, threadgroup_position_in_grid.y"
		header.WriteString("#include <metal_simdgroup_matrix>\n")
	}
	position = "deltatape::thread_at(" + position + ")"
	var arguments []string
	for _, a := range k.in {
		s.Inputs = append(s.Inputs, a.name)
		arguments = append(arguments, a.name)
	}
	for i, a := range k.out {
		if i >= k.inPlace {
			s.Outputs = append(s.Outputs, a.name)
			arguments = append(arguments, a.name)
			continue
		}
		s.Inputs = append(s.Inputs, a.name)
		kind := map[kind]string{element: "deltatape::Element", real: "float", integer: "int"}[a.kind]
		arguments = append(arguments, fmt.Sprintf("(%s%s*)%s", space, kind, a.name))
	}
	for i := range k.after {
		s.Inputs = append(s.Inputs, afterInput(i))
	}
	done := ""
	if k.inPlace > 0 {
		s.Outputs = append(s.Outputs, doneOutput)
		done = fmt.Sprintf("const deltatape::Thread self = %s;\nif (self.x == 0 && self.y == 0 && self.simdgroup == 0 && self.lane < %d) %s[self.lane] = 0;\n", position, doneSize, doneOutput)
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
	s.Body += fmt.Sprintf("deltatape::%s(%s, %s);\n%s", k.name, strings.Join(arguments, ", "), position, done)
	return s
}
