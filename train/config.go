package train

import (
	"fmt"
	"math"
	"strings"

	"github.com/pkg/errors"
)

// Config holds the settings of a run. Zero values mean the defaults that the
// fields' comments name.
type Config struct {
	Steps        int     // number of optimiser steps; required
	LearningRate float64 // peak learning rate; required unless Schedule is set

	// Schedule gives the learning rate of a step, counted from 0; nil means
	// WarmupCosine over Steps.
	Schedule Schedule `json:"-"`

	WarmupSteps   int     // length of the linear warm-up; default Steps/20, −1 for none
	FinalFraction float64 // the schedule's last rate over its peak; default 0.1

	Beta1, Beta2 float64 // AdamW's averaging of gradients and squares; default 0.9 and 0.95
	Epsilon      float64 // AdamW's ε; default 1e-8
	WeightDecay  float64 // decoupled decay of matrices; default 0.1, −1 for none
	ClipNorm     float64 // greatest global norm of the gradients; default 1, −1 for none

	// Checkpoint is a path to save weights to, at the end, every CheckpointEvery
	// steps (0: only at the end), and when the run is cancelled after its first
	// step. It needs a model that is a Saver. "" saves nothing.
	Checkpoint      string
	CheckpointEvery int

	// OnStep, if set, is called after every step.
	OnStep func(StepResult) `json:"-"`
}

// StepResult is what a step did.
type StepResult struct {
	Step         int     // from 1
	Loss         float64 // mean cross-entropy in nats per token, before the update
	GradNorm     float64 // global norm of the gradients before clipping
	LearningRate float64
	Tokens       int // tokens of the batch

	// PeakMemory is how many bytes the engine's tensors took at most during the
	// step. What else the process holds is not in it: Go's own memory, memory that
	// the engine keeps for reuse, and what kernels of the CPU take for a call.
	PeakMemory int64
}

// withDefaults fills zero fields.
func (c Config) withDefaults() Config {
	def := func(field *float64, value float64) {
		switch *field {
		case 0:
			*field = value
		case -1:
			*field = 0
		}
	}
	def(&c.Beta1, 0.9)
	def(&c.Beta2, 0.95)
	def(&c.Epsilon, 1e-8)
	def(&c.WeightDecay, 0.1)
	def(&c.ClipNorm, 1)
	def(&c.FinalFraction, 0.1)
	switch c.WarmupSteps {
	case 0:
		c.WarmupSteps = c.Steps / 20
	case -1:
		c.WarmupSteps = 0
	}
	if c.Schedule == nil {
		c.Schedule = WarmupCosine(c.LearningRate, c.WarmupSteps, c.Steps, c.FinalFraction)
	}
	return c
}

// Validate checks the settings and names all that are wrong in one error.
func (c Config) Validate() error {
	var wrong problems
	wrong.unless(c.Steps >= 1, "Steps is %d, want 1 or more", c.Steps)
	wrong.unless(c.Schedule != nil || finite(c.LearningRate) && c.LearningRate > 0, "LearningRate is %v, want a finite number above 0", c.LearningRate)
	wrong.unless(c.WarmupSteps >= -1, "WarmupSteps is %d, want 0 or more, or -1 for none", c.WarmupSteps)
	wrong.unless(c.FinalFraction >= 0 && c.FinalFraction <= 1 || c.FinalFraction == -1, "FinalFraction is %v, want a number from 0 to 1, or -1 for 0", c.FinalFraction)
	wrong = append(wrong, c.wrongAdamW()...)
	wrong.unless(orNone(c.ClipNorm), "ClipNorm is %v, want a finite number, 0 or more, or -1 for none", c.ClipNorm)
	wrong.unless(c.CheckpointEvery >= 0, "CheckpointEvery is %d, want 0 or more", c.CheckpointEvery)
	return wrong.err()
}

// wrongAdamW lists what is wrong with the settings of AdamW.
func (c Config) wrongAdamW() problems {
	var wrong problems
	wrong.unless(c.Beta1 >= 0 && c.Beta1 < 1 || c.Beta1 == -1, "Beta1 is %v, want a number from 0 to below 1, or -1 for 0", c.Beta1)
	wrong.unless(c.Beta2 >= 0 && c.Beta2 < 1 || c.Beta2 == -1, "Beta2 is %v, want a number from 0 to below 1, or -1 for 0", c.Beta2)
	wrong.unless(finite(c.Epsilon) && c.Epsilon >= 0, "Epsilon is %v, want a finite number, 0 or more", c.Epsilon)
	wrong.unless(orNone(c.WeightDecay), "WeightDecay is %v, want a finite number, 0 or more, or -1 for none", c.WeightDecay)
	return wrong
}

// problems lists what is wrong with settings.
type problems []string

func (p *problems) unless(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

// err is nil if there are none.
func (p problems) err() error {
	if p == nil {
		return nil
	}
	return errors.Errorf("train.Config: %s", strings.Join(p, "; "))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// orNone reports whether v is a setting that may be -1 for none.
func orNone(v float64) bool { return finite(v) && (v >= 0 || v == -1) }
