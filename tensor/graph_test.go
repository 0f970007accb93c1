package tensor

import (
	"maps"
	"testing"
)

func TestCountNodes(t *testing.T) {
	x := FromSlice([]float32{1, 2, 3, 4}, 2, 2)
	product := MatMul(x, x)
	done := Exp(x)
	if err := Eval(done); err != nil {
		t.Fatal(err)
	}
	parts := SplitEqual(product, 2, 0)
	for _, c := range []struct {
		name string
		ts   []*Tensor
		want map[string]int
	}{
		{"nothing", nil, map[string]int{}},
		{"from the host", []*Tensor{x}, map[string]int{}},
		{"one", []*Tensor{product}, map[string]int{"Matmul": 1}},
		{"the same twice", []*Tensor{product, product}, map[string]int{"Matmul": 1}},
		{"shared", []*Tensor{Exp(product), Neg(product)}, map[string]int{"Matmul": 1, "Exp": 1, "Negative": 1}},
		{"the same computed twice", []*Tensor{Exp(Exp(x)), Exp(x)}, map[string]int{"Exp": 3}},
		{"evaluated", []*Tensor{done}, map[string]int{}},
		{"on what is evaluated", []*Tensor{Neg(done)}, map[string]int{"Negative": 1}},
		{"one of two results", parts[:1], map[string]int{"Matmul": 1, "Split": 1}},
		{"both results", parts, map[string]int{"Matmul": 1, "Split": 1}},
		{"broadcast", []*Tensor{Mul(product, Ones(Float32, 2))}, map[string]int{"Matmul": 1, "Broadcast": 2, "Multiply": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Primitives(c.ts...); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			total := 0
			for _, n := range c.want {
				total += n
			}
			if got := CountNodes(c.ts...); got != total {
				t.Errorf("got %d nodes, want %d", got, total)
			}
		})
	}
	Free(done)
	if err := Try(func() { CountNodes(done) }); err == nil {
		t.Error("a closed tensor is accepted")
	}
}

// Counting follows the graph to any depth, and inside a trace.
func TestCountNodesOfLongChain(t *testing.T) {
	const depth = 100_000
	s := NewScope()
	x := s.Use(Scalar(float32(1)))
	y := x
	for range depth {
		y = Neg(y)
	}
	if got := CountNodes(y); got != depth {
		t.Errorf("got %d nodes, want %d", got, depth)
	}
	s.Close()

	inside := 0
	_, _, err := VJP(func(in []*Tensor) []*Tensor {
		y := Exp(in[0])
		inside = CountNodes(y) - CountNodes(in[0])
		return []*Tensor{y}
	}, []*Tensor{Scalar(float32(1))}, []*Tensor{Scalar(float32(1))})
	if err != nil || inside != 1 {
		t.Errorf("inside a trace: got %d nodes and error %v, want 1", inside, err)
	}
}
