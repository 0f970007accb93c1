package qla

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// Mixer is what a layer does between its projections.
type Mixer string

// The mixers. MixerNone is the control experiment: the same layer with the
// values v in place of the rule's output, so that tokens meet only in the short
// convolution. Parameters that only the rule uses stay, but don't train.
const (
	MixerDelta Mixer = "delta"
	MixerNone  Mixer = "none"
)

// Layout is how a GatedDeltaNet stores its input projections.
type Layout string

// The layouts. LayoutQwen35 has in_proj_qkv, in_proj_z, in_proj_b and in_proj_a
// with plain rows. LayoutQwen3Next has in_proj_qkvz and in_proj_ba, whose rows
// are interleaved: for each key head its q, k, v, z and its b, a.
const (
	LayoutQwen35    Layout = "qwen3_5"
	LayoutQwen3Next Layout = "qwen3_next"
)

// Config holds the sizes and choices of a model. Zero fields mean the defaults
// that their comments name. In JSON, unknown fields are errors.
type Config struct {
	Layers        int     `json:"layers"`         // blocks; default 4
	Hidden        int     `json:"hidden"`         // width of the stream; default 128
	Vocab         int     `json:"vocab"`          // number of tokens; default 256, bytes
	KeyHeads      int     `json:"key_heads"`      // default half of ValueHeads if that is even, else all
	ValueHeads    int     `json:"value_heads"`    // a multiple of KeyHeads; default 2·KeyHeads if set, else Hidden/ValueDim
	KeyDim        int     `json:"key_dim"`        // per head; default 32
	ValueDim      int     `json:"value_dim"`      // per head; default 32
	ConvWidth     int     `json:"conv_width"`     // taps of the short convolution; default 4
	Intermediate  int     `json:"intermediate"`   // width inside the SwiGLU; default 8/3 Hidden, up to a multiple of 16
	NormEps       float64 `json:"norm_eps"`       // ε of all norms; default 1e-6
	TieEmbeddings bool    `json:"tie_embeddings"` // the embedding is the output layer, too

	ChunkSize      int                       `json:"chunk_size,omitempty"`     // of all implementations but Recurrent; 0 lets the rule choose
	Mixer          Mixer                     `json:"mixer"`                    // default MixerDelta
	Layout         Layout                    `json:"layout"`                   // default LayoutQwen35
	Implementation gateddelta.Implementation `json:"implementation,omitempty"` // of the rule; default gateddelta.Auto

	// CheckKernels compares the fused kernels that layers take (of the rule, of norms
	// and convolutions, of a step), before their first use on a device, with other
	// operations on a little noise. Where one differs, or can't be run, Forward and Step
	// panic with *tensor.Error. It means nothing where no kernels are taken.
	CheckKernels bool `json:"check_kernels,omitempty"`
}

// Limits that keep a hostile configuration from exhausting the machine before
// its weights are looked at.
const (
	maxSize   = 1 << 20
	maxLayers = 1 << 12
)

// WithDefaults returns c with its zero fields filled.
func (c Config) WithDefaults() Config {
	def := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	def(&c.Layers, 4)
	def(&c.Hidden, 128)
	def(&c.Vocab, 256)
	def(&c.KeyDim, 32)
	def(&c.ValueDim, 32)
	if c.KeyHeads != 0 {
		def(&c.ValueHeads, 2*c.KeyHeads)
	} else if c.ValueDim > 0 {
		def(&c.ValueHeads, max(1, c.Hidden/c.ValueDim))
	}
	if c.ValueHeads%2 == 0 {
		def(&c.KeyHeads, c.ValueHeads/2)
	} else {
		def(&c.KeyHeads, c.ValueHeads)
	}
	def(&c.ConvWidth, 4)
	def(&c.Intermediate, (8*c.Hidden/3+15)/16*16)
	if c.NormEps == 0 {
		c.NormEps = 1e-6
	}
	if c.Mixer == "" {
		c.Mixer = MixerDelta
	}
	if c.Layout == "" {
		c.Layout = LayoutQwen35
	}
	if c.Implementation == "" {
		c.Implementation = gateddelta.Auto
	}
	return c
}

// Validate checks c with its defaults filled and names everything that is wrong
// in one error.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var wrong []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	for _, size := range []struct {
		name       string
		value, max int
	}{
		{"layers", c.Layers, maxLayers}, {"hidden", c.Hidden, maxSize}, {"vocab", c.Vocab, maxSize},
		{"key_heads", c.KeyHeads, maxSize}, {"value_heads", c.ValueHeads, maxSize},
		{"key_dim", c.KeyDim, maxSize}, {"value_dim", c.ValueDim, maxSize},
		{"conv_width", c.ConvWidth, maxSize}, {"intermediate", c.Intermediate, maxSize},
	} {
		check(size.value >= 1 && size.value <= size.max, "%s is %d, want 1 to %d", size.name, size.value, size.max)
	}
	check(c.keyWidth() <= maxSize && c.valueWidth() <= maxSize, "the heads are %d and %d wide together, want %d at most", c.keyWidth(), c.valueWidth(), maxSize)
	if c.KeyHeads > 0 && c.ValueHeads > 0 {
		check(c.ValueHeads%c.KeyHeads == 0, "value_heads is %d, want a multiple of key_heads, which is %d", c.ValueHeads, c.KeyHeads)
	}
	check(c.NormEps > 0 && !math.IsInf(c.NormEps, 0), "norm_eps is %v, want a finite number above 0", c.NormEps)
	switch c.ChunkSize {
	case 0, 16, 32, 64, 128:
	default:
		check(false, "chunk_size is %d, want 16, 32, 64, 128, or 0 to choose", c.ChunkSize)
	}
	check(c.Mixer == MixerDelta || c.Mixer == MixerNone, "mixer is %q, want %q or %q", c.Mixer, MixerDelta, MixerNone)
	check(c.Layout == LayoutQwen35 || c.Layout == LayoutQwen3Next, "layout is %q, want %q or %q", c.Layout, LayoutQwen35, LayoutQwen3Next)
	switch c.Implementation {
	case gateddelta.Auto, gateddelta.Recurrent, gateddelta.Chunk, gateddelta.CPU:
	case gateddelta.Metal:
		kernels := metal.Config{Dtype: tensor.Float32, Chunk: cmp.Or(c.ChunkSize, 16), DK: c.KeyDim, DV: c.ValueDim, HK: c.KeyHeads, HV: c.ValueHeads}
		if wrong == nil {
			why := kernels.Refusal()
			check(why == "", "implementation is %q: %s", c.Implementation, why)
		}
	default:
		check(false, "implementation is %q, want %q, %q, %q, %q or %q", c.Implementation, gateddelta.Auto, gateddelta.Recurrent, gateddelta.Chunk, gateddelta.CPU, gateddelta.Metal)
	}
	if wrong != nil {
		return errors.Errorf("qla.Config: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// UnmarshalJSON reads a configuration and refuses unknown fields.
func (c *Config) UnmarshalJSON(data []byte) error {
	type plain Config // without this method
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return errors.Wrap(d.Decode((*plain)(c)), "qla.Config")
}

// The widths of a layer's inner vectors.

func (c Config) keyWidth() int   { return c.KeyHeads * c.KeyDim }
func (c Config) valueWidth() int { return c.ValueHeads * c.ValueDim }
func (c Config) convWidth() int  { return 2*c.keyWidth() + c.valueWidth() }
