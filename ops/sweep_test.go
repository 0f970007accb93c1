package ops

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// TestDocNamesEveryOp fails for an exported function that the list of the package
// documentation misses.
func TestDocNamesEveryOp(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(strings.ReplaceAll(file.Doc.Text(), ",", " "))
	for op := range declaredOps(t) {
		if !slices.Contains(words, op) {
			t.Errorf("the package documentation does not name %s", op)
		}
	}
}

// An exported function of the package as its source declares it.
type opDecl struct {
	operands   int  // parameters of type *autograd.Var
	broadcasts bool // by the rule for two or three operands
}

// declaredOps reads the exported functions from the source.
func declaredOps(t *testing.T) map[string]opDecl {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]opDecl{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() {
				continue
			}
			var decl opDecl
			for _, p := range f.Type.Params.List {
				if star, ok := p.Type.(*ast.StarExpr); ok && fmt.Sprint(star.X) == "&{autograd Var}" {
					decl.operands += len(p.Names)
				}
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					id, ok := call.Fun.(*ast.Ident)
					decl.broadcasts = decl.broadcasts || ok && (id.Name == "binary" || id.Name == "ternary")
				}
				return true
			})
			ops[f.Name.Name] = decl
		}
	}
	if len(ops) < 90 {
		t.Errorf("found %d exported functions, the package has more", len(ops))
	}
	return ops
}

// TestEveryOpHasCase fails for an exported function that the table misses, or
// has without more than one row, or without operands that broadcast where they
// may.
func TestEveryOpHasCase(t *testing.T) {
	cases := map[string][]gradCase{}
	for _, c := range gradCases {
		cases[c.op] = append(cases[c.op], c)
	}
	ops := declaredOps(t)
	for op := range cases {
		if _, ok := ops[op]; !ok {
			t.Errorf("gradCases has ops.%s, which is not exported", op)
		}
	}
	for op, decl := range ops {
		if op == "Detach" { // see TestDetach
			continue
		}
		rows := func(c gradCase) bool {
			return slices.ContainsFunc(c.in, func(x *tensor.Tensor) bool { return x.NDim() > 0 && x.Dim(0) > 1 })
		}
		mixed := func(c gradCase) bool { return len(c.in) > 1 && !sameShape(c.in[0], c.in[1]) }
		switch {
		case len(cases[op]) == 0:
			t.Errorf("ops.%s has no case in gradCases", op)
		case !slices.ContainsFunc(cases[op], rows):
			t.Errorf("ops.%s has no case with more than one row", op)
		case decl.broadcasts && decl.operands > 1 && !slices.ContainsFunc(cases[op], mixed):
			t.Errorf("ops.%s has no case whose operands broadcast", op)
		}
	}
}

// precisions are dtypes and how close to float64 they have to be.
var precisions = []struct {
	dtype tensor.Dtype
	tol   float64
}{{tensor.Float32, 1e-5}, {tensor.Float16, 4e-3}, {tensor.BFloat16, 5e-2}}

// TestPrecision compares every dtype with float64 on the same inputs.
func TestPrecision(t *testing.T) {
	for _, c := range gradCases {
		for _, d := range precisions {
			t.Run(c.String()+"/"+d.dtype.String(), func(t *testing.T) {
				in := convert(c.in, d.dtype)
				outs, got := grads(t, c.f, in, nil)
				wide := convert(in, tensor.Float64)
				seeds := make([]*tensor.Tensor, len(outs))
				for i, y := range outs {
					seeds[i] = tensor.AsType(seedLike(y), tensor.Float64)
				}
				wantOuts, want := grads(t, c.f, wide, seeds)
				compare(t, "output", outs, wantOuts, d.tol)
				compare(t, "gradient", got, want, d.tol)
			})
		}
	}
}

// layouts are ways in which the elements of a tensor lie in memory.
var layouts = []struct {
	name string
	f    func(x *tensor.Tensor) *tensor.Tensor
}{
	{"transposed", func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.Transpose(tensor.Contiguous(tensor.Transpose(x)))
	}},
	{"sliced", func(x *tensor.Tensor) *tensor.Tensor {
		start, stop, stride := make([]int, x.NDim()), make([]int, x.NDim()), make([]int, x.NDim())
		wide := x
		for axis := range x.NDim() {
			wide = tensor.Repeat(wide, 2, axis) // every second element of a larger tensor
			start[axis], stop[axis], stride[axis] = 1, 2*x.Dim(axis), 2
		}
		return tensor.Slice(tensor.Contiguous(wide), start, stop, stride...)
	}},
	{"reversed", func(x *tensor.Tensor) *tensor.Tensor { return tensor.Flip(tensor.Contiguous(tensor.Flip(x))) }},
	{"broadcast", func(x *tensor.Tensor) *tensor.Tensor { // other values: the first of each row
		if x.NDim() == 0 || x.Size() == 0 {
			return x
		}
		return tensor.BroadcastTo(tensor.SliceAxis(x, -1, 0, 1), x.Shape()...)
	}},
}

// TestLayouts checks that it does not matter how the inputs lie in memory.
func TestLayouts(t *testing.T) {
	for _, c := range gradCases {
		for _, l := range layouts {
			t.Run(c.String()+"/"+l.name, func(t *testing.T) {
				var strided, dense []*tensor.Tensor
				for _, x := range convert(c.in, tensor.Float32) {
					y := l.f(x)
					data, err := tensor.Data[float32](y)
					if err != nil {
						t.Fatal(err)
					}
					z := tensor.FromSlice(data)
					strided, dense = append(strided, y), append(dense, tensor.Reshape(z, x.Shape()...))
				}
				wantOuts, want := grads(t, c.f, dense, nil)
				gotOuts, got := grads(t, c.f, strided, nil)
				agree(t, "output", gotOuts, wantOuts)
				agree(t, "gradient", got, want)
			})
		}
	}
}

// agree fails where two lists differ by more than the order of sums explains.
func agree(t *testing.T, what string, got, want []*tensor.Tensor) {
	t.Helper()
	for i := range want {
		for _, bad := range []func(*tensor.Tensor) *tensor.Tensor{tensor.IsNaN, tensor.IsInf} {
			compare(t, what, list(tensor.AsType(bad(got[i]), tensor.Float32)), list(tensor.AsType(bad(want[i]), tensor.Float32)), 0)
		}
		finite := func(x *tensor.Tensor) *tensor.Tensor {
			return tensor.Where(tensor.IsFinite(x), x, tensor.Like(x, 0))
		}
		compare(t, what, list(finite(got[i])), list(finite(want[i])), 1e-6)
	}
}

// numberless are the ops whose result for no elements is no number, which leaves
// nothing to check but shapes.
var numberless = []string{"Mean", "Var", "Std"}

// TestEmpty gives each axis of the inputs of every case length 0, in one input
// and in all that share the axis. What comes must be right, or a *tensor.Error
// of the op; and every op must take some tensor without elements.
func TestEmpty(t *testing.T) {
	taken := map[string]int{}
	for _, c := range gradCases {
		if slices.ContainsFunc(c.in, func(x *tensor.Tensor) bool { return x.Size() == 0 }) {
			taken[c.op]++ // TestGradients checks it
		}
		rank := 0
		for _, x := range c.in {
			rank = max(rank, x.NDim())
		}
		for axis := -1; axis >= -rank; axis-- {
			for only := -1; only < len(c.in); only++ {
				var shapes []string
				in := make([]*tensor.Tensor, len(c.in))
				empty := false
				for i, x := range c.in {
					if x.NDim() >= -axis && (only < 0 || only == i) {
						x, empty = tensor.SliceAxis(x, axis, 0, 0), true
					}
					in[i], shapes = x, append(shapes, fmt.Sprint(x.Shape()))
				}
				if !empty || only >= 0 && len(c.in) == 1 {
					continue
				}
				t.Run(c.String()+"/"+strings.Join(shapes, " "), func(t *testing.T) {
					err := withoutGradient(c.f, in)
					var refused *tensor.Error
					switch {
					case err == nil && slices.Contains(numberless, c.op):
						grads(t, c.f, in, nil)
						taken[c.op]++
					case err == nil:
						gradcheck.Run(t, c.f, in, gradcheck.Options{Fast: true})
						taken[c.op]++
					case !errors.As(err, &refused):
						t.Error(err)
					case !strings.HasPrefix(refused.Op, "ops."):
						t.Errorf("refused by %v, want an error of the op", refused)
					}
				})
			}
		}
	}
	t.Run("every op takes one", func(t *testing.T) {
		for op := range declaredOps(t) {
			if op != "Detach" && taken[op] == 0 {
				t.Errorf("ops.%s took no tensor without elements", op)
			}
		}
	})
}

// withoutGradient runs f alone and returns its misuse.
func withoutGradient(f func(...*autograd.Var) []*autograd.Var, in []*tensor.Tensor) error {
	return tensor.Try(func() {
		tape := autograd.NoGrad()
		defer tape.Close()
		vars := make([]*autograd.Var, len(in))
		for i, x := range in {
			vars[i] = tape.Const(x)
		}
		f(vars...)
	})
}
