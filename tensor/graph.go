package tensor

import (
	"regexp"
	"runtime"

	"github.com/deltatape/deltatape/internal/mlxc"
)

// CountNodes returns how many of the engine's primitives evaluating ts would
// run: the size of the lazy graph behind them. What is evaluated already counts
// as nothing, what several tensors share counts once.
func CountNodes(ts ...*Tensor) int {
	total := 0
	for _, n := range nodes("CountNodes", ts) {
		total += n
	}
	return total
}

// Primitives is CountNodes by name of the primitive, such as "Matmul".
func Primitives(ts ...*Tensor) map[string]int { return nodes("Primitives", ts) }

// primitive matches the node of a primitive in the engine's drawing of a graph.
var primitive = regexp.MustCompile(`\[label ="([^"]*)", shape=rectangle\]`)

func nodes(op string, ts []*Tensor) map[string]int {
	counts := make(map[string]int)
	if len(ts) == 0 {
		return counts
	}
	text, err := mlxc.Dot(handles(op, ts))
	runtime.KeepAlive(ts)
	if err != nil {
		raise(op, err, ts...)
	}
	for _, m := range primitive.FindAllStringSubmatch(text, -1) {
		counts[m[1]]++
	}
	return counts
}
