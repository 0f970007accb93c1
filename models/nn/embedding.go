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

// NewEmbedding makes a table of normal numbers with standard deviation 1/√dim,
// so that vectors have length 1, and logits of unit features unit size where
// the table is the output layer, too.
func NewEmbedding(key *tensor.Tensor, vocab, dim int) *Embedding {
	checkSizes("nn.NewEmbedding", vocab, dim)
	return &Embedding{Weight: normal("weight", key, lecun(dim), vocab, dim)}
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
