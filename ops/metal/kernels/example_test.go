package kernels_test

import (
	"fmt"
	"strings"

	"github.com/deltatape/deltatape/ops/metal/kernels"
)

func Example() {
	for _, name := range kernels.Names() {
		if strings.HasSuffix(name, ".metal") {
			first, _, _ := strings.Cut(kernels.Source(name), "\n")
			fmt.Println(name, strings.HasPrefix(first, "// "))
		}
	}
	// Output:
	// chunk_grads.metal true
	// chunk_prepare.metal true
	// chunk_scan.metal true
	// chunk_scan_back.metal true
	// decode.metal true
	// kkt_solve.metal true
	// norm.metal true
	// sequential.metal true
	// short_conv.metal true
}
