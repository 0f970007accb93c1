package qla

import (
	"iter"
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/ops"
	"github.com/deltatape/deltatape/tensor"
)

// Block is one layer of a model: x + Mixer(norm(x)), then x + MLP(norm(x)).
type Block struct {
	InputNorm *nn.RMSNorm    `param:"input_layernorm"`
	Mixer     *GatedDeltaNet `param:"linear_attn"`
	MLPNorm   *nn.RMSNorm    `param:"post_attention_layernorm"`
	MLP       *nn.SwiGLU     `param:"mlp"`
}

// Model is a causal language model. Make one with New or Load.
type Model struct {
	Embedding *nn.Embedding `param:"model.embed_tokens"`
	Blocks    []*Block      `param:"model.layers"`
	Norm      *nn.RMSNorm   `param:"model.norm"`
	Head      *nn.Linear    `param:"lm_head"` // nil when the embedding is tied

	cfg Config
}

// branchScale is the initial size of what a branch adds to the stream, relative
// to unit features: small, so that a new model is close to its embedding and
// output layer, learns frequencies at once, and takes high learning rates.
const branchScale = 0.1

// New makes a model with random weights, which are functions of cfg and key: see
// the layers' constructors. Output projections of the branches begin at a tenth of
// that, and an embedding that is the output layer, too, at 1/√Hidden.
func New(cfg Config, key *tensor.Tensor) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := build(cfg.WithDefaults(), key)
	if err := evaluate(m); err != nil {
		return nil, errors.Wrap(err, "qla.New")
	}
	return m, nil
}

// build makes a model whose weights are not evaluated yet.
func build(cfg Config, key *tensor.Tensor) *Model {
	keys := tensor.Split(key, cfg.Layers+2)
	defer tensor.Free(keys...)
	m := &Model{
		Embedding: nn.NewEmbedding(keys[0], cfg.Vocab, cfg.Hidden),
		Norm:      nn.NewZeroCenteredRMSNorm(cfg.Hidden, cfg.NormEps),
		cfg:       cfg,
	}
	if cfg.TieEmbeddings {
		nn.Scale(m.Embedding.Weight, 1/math.Sqrt(float64(cfg.Hidden)))
	} else {
		m.Head = nn.NewLinear(keys[1], cfg.Hidden, cfg.Vocab, false)
	}
	for _, k := range keys[2:] {
		m.Blocks = append(m.Blocks, newBlock(cfg, k))
	}
	return m
}

func newBlock(cfg Config, key *tensor.Tensor) *Block {
	keys := tensor.Split(key, 2)
	defer tensor.Free(keys...)
	b := &Block{
		InputNorm: nn.NewZeroCenteredRMSNorm(cfg.Hidden, cfg.NormEps),
		Mixer:     newGatedDeltaNet(cfg, keys[0]),
		MLPNorm:   nn.NewZeroCenteredRMSNorm(cfg.Hidden, cfg.NormEps),
		MLP:       nn.NewSwiGLU(keys[1], cfg.Hidden, cfg.Intermediate),
	}
	nn.Scale(b.Mixer.OutProj.Weight, branchScale)
	nn.Scale(b.MLP.Down.Weight, branchScale)
	return b
}

func evaluate(m *Model) error {
	var values []*tensor.Tensor
	for _, p := range m.Params() {
		values = append(values, p.Value())
	}
	return tensor.Eval(values...)
}

// Config returns the model's configuration with defaults filled.
func (m *Model) Config() Config { return m.cfg }

// Params yields the parameters with their names, in a fixed order.
func (m *Model) Params() iter.Seq2[string, *autograd.Param] { return nn.Named(m) }

// Forward returns logits [B, T, vocab] for integer token ids [B, T]. Logits at t
// depend on tokens up to t and predict token t+1.
func (m *Model) Forward(tape *autograd.Tape, ids *tensor.Tensor) *autograd.Var {
	return m.logits(tape, m.features(tape, ids, nil))
}

// features returns what the output layer sees, [B, T, hidden], and moves a cache
// forward unless it is nil.
func (m *Model) features(tape *autograd.Tape, ids *tensor.Tensor, cache *Cache) *autograd.Var {
	if ids == nil {
		panic(tensor.NewError("qla.Model", nil, "the token ids are nil"))
	}
	if ids.NDim() != 2 || ids.Size() == 0 || !ids.Dtype().IsInteger() {
		panic(tensor.NewError("qla.Model", []*tensor.Tensor{ids}, "want integer token ids [B, T] with B, T >= 1, got %s", ids.Dtype()))
	}
	x := m.Embedding.Forward(tape, ids)
	pass := cache.begin(tape, x.Value())
	for i, b := range m.Blocks {
		y, after := b.Mixer.forward(tape, b.InputNorm.Forward(tape, x), pass.layer(i))
		pass.remember(after)
		x = ops.Add(x, y)
		x = ops.Add(x, b.MLP.Forward(tape, b.MLPNorm.Forward(tape, x)))
	}
	pass.end(ids.Dim(1))
	return m.Norm.Forward(tape, x)
}

func (m *Model) logits(tape *autograd.Tape, x *autograd.Var) *autograd.Var {
	if m.Head == nil {
		return m.Embedding.Logits(tape, x)
	}
	return m.Head.Forward(tape, x)
}
