package nn

import (
	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// Embedding is a table of vectors, one for each token of a vocabulary.
type Embedding struct {
	Weight *autograd.Param `param:"weight"` // [vocab, dim]
}

// NewEmbedding makes a table of standard normal numbers. Where it is the output
// layer, too, Scale it by 1/√dim, so that unit features give unit logits.
func NewEmbedding(key *tensor.Tensor, vocab, dim int) *Embedding {
	checkSizes("nn.NewEmbedding", vocab, dim)
	return &Embedding{Weight: normal("weight", key, 1, vocab, dim)}
}

// Forward looks up integer ids [...] and returns their vectors [..., dim].
func (e *Embedding) Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var {
	return ops.Embedding(tape.Param(e.Weight), ids)
}

// Logits uses the table as an output layer: it maps x [..., dim] to the dot
// products with all vectors [..., vocab].
func (e *Embedding) Logits(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	return autograd.Apply(linear{}, x, tape.Param(e.Weight), nil)[0]
}
