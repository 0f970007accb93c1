package gateddelta

import "github.com/deltatape/deltatape/tensor"

// Step is Apply for one token of each of B sequences, as decoding takes them:
// Q and K [B, 1, Hk, K] and the rest likewise. It returns O [B, 1, Hv, V] and
// always the state after the token, to be the next call's InitialState. Work and
// memory don't depend on how many tokens came before, provided the state is
// evaluated at times: until then it holds on to the graph of all of them.
//
// The tape must be one of autograd.NoGrad. All options of Apply are honoured, so
// that those which read the prompt serve here; ChunkSize, Segment, Scan and
// FinalState mean nothing for one token. T other than 1, CuSeqlens, Implementation Chunk and
// a recording tape panic with *tensor.Error.
func Step(in Inputs, opt Options) Output {
	opt.checkScan()
	opt.Scan, opt.ScanLength = ScanAuto, 0
	if opt.Implementation == Auto || opt.Implementation == "" {
		opt.Implementation = Recurrent
	}
	z := resolve(in, opt)
	wrong := func(format string, args ...any) {
		panic(tensor.NewError("gateddelta.Step", []*tensor.Tensor{in.Q.Value()}, format, args...))
	}
	switch {
	case in.Q.Tape().Recording():
		wrong("the tape records, want one made by autograd.NoGrad: no gradient passes a step")
	case z.T != 1:
		wrong("got %d tokens, want Q, K [B, 1, Hk, K]", z.T)
	case opt.CuSeqlens != nil:
		wrong("CuSeqlens is given, want one token of each of B sequences")
	case z.implementation != Recurrent:
		wrong("Implementation is %q, which works on chunks of many tokens, want %q or %q", z.implementation, Auto, Recurrent)
	}
	in, valid := z.prepared(in, opt)
	o, next := z.oneToken(operandsOf(in.tensors()).withDefaults())
	tape := in.Q.Tape()
	return Output{O: whereValid(valid, tape.Const(o)), FinalState: opt.StateLayout.turned(tape.Const(next))}
}

// oneToken is recurrentForward for a batch with T = 1, in fewer operations.
func (z geometry) oneToken(in operands) (o, next *tensor.Tensor) {
	row := func(x *tensor.Tensor, r, d int) *tensor.Tensor {
		return tensor.Reshape(tensor.AsType(x, z.dtype), z.B, z.Hk, r, 1, d)
	}
	t := token{
		q: tensor.MulScalar(row(in.q, 1, z.K), z.scale), k: row(in.k, 1, z.K), v: row(in.v, z.R, z.V),
		a: tensor.Exp(row(in.g, z.R, 1)), β: row(in.β, z.R, 1),
		noDelta: z.noDelta,
	}
	_, S := t.step(z.headState(in.h0, in.v))
	o = tensor.Reshape(tensor.MatMul(t.q, S), z.B, 1, z.Hk*z.R, z.V)
	return tensor.AsType(o, in.v.Dtype()), z.fromHeadState(S)
}
