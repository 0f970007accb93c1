package gateddelta

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

// fault is something that the values of an input may not be.
type fault struct {
	input, what string
	where       *tensor.Tensor // bools of the input's shape
}

// validate looks for faults in the inputs and panics with the first that it
// finds; valid is that of validTokens.
func validate(in Inputs, valid *tensor.Tensor) {
	s := tensor.NewScope()
	defer s.Close()
	faults := in.faults(s, valid)
	counts := make([]*tensor.Tensor, len(faults))
	for i, f := range faults {
		counts[i] = tensor.Sum(tensor.AsType(f.where, tensor.Int32), false)
	}
	for i, n := range evaluated(tensor.Stack(0, counts...)) {
		if n > 0 {
			f := faults[i]
			first := evaluated(tensor.ArgMax(tensor.AsType(tensor.Flatten(f.where), tensor.Int32), 0, false))[0]
			panic(mistake(nil, "%s is %s in %d of %d places, the first at %v",
				f.input, f.what, n, f.where.Size(), position(int(first), f.where.Shape())))
		}
	}
}

// faults lists what is looked for, in the scope s.
func (in Inputs) faults(s *tensor.Scope, valid *tensor.Tensor) []fault {
	var list []fault
	if in.Mask != nil {
		m := s.Use(in.Mask)
		other := tensor.LogicalAnd(tensor.AsType(m, tensor.Bool), tensor.NotEqual(m, tensor.Like(m, 1)))
		list = append(list, fault{"Mask", "neither 0 nor 1", other})
	}
	add := func(input string, tokens bool, v *autograd.Var, what string, where func(x *tensor.Tensor) *tensor.Tensor) {
		if v == nil {
			return
		}
		bad := where(s.Use(v.Value()))
		if tokens && valid != nil {
			bad = tensor.LogicalAnd(bad, overTokens(valid, bad.NDim()))
		}
		list = append(list, fault{input, what, bad})
	}
	notFinite := func(x *tensor.Tensor) *tensor.Tensor { return tensor.LogicalNot(tensor.IsFinite(x)) }
	aboveZero := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Greater(x, tensor.Like(x, 0)) }
	for _, x := range []struct {
		name   string
		v      *autograd.Var
		tokens bool
	}{
		{"Q", in.Q, true}, {"K", in.K, true}, {"V", in.V, true}, {"Beta", in.Beta, true}, {"GateInput", in.GateInput, true},
		{"BetaLogits", in.BetaLogits, true}, {"DtBias", in.DtBias, false}, {"InitialState", in.InitialState, false},
	} {
		add(x.name, x.tokens, x.v, "NaN or infinite", notFinite)
	}
	add("LogDecay", true, in.LogDecay, "NaN", tensor.IsNaN)
	add("LogDecay", true, in.LogDecay, "above 0", aboveZero)
	add("ALog", false, in.ALog, "NaN or +Inf", func(x *tensor.Tensor) *tensor.Tensor {
		return tensor.LogicalOr(tensor.IsNaN(x), tensor.LogicalAnd(tensor.IsInf(x), aboveZero(x)))
	})
	return list
}

// evaluated reads x, whose inputs may fail to evaluate.
func evaluated(x *tensor.Tensor) []int32 {
	data, err := tensor.Data[int32](tensor.AsType(x, tensor.Int32))
	if err != nil {
		panic(mistake(nil, "Validate cannot read the inputs: %v", err))
	}
	return data
}

// position returns the indices of the i-th element of an array.
func position(i int, shape []int) []int {
	at := make([]int, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		at[axis] = i % shape[axis]
		i /= shape[axis]
	}
	return at
}
