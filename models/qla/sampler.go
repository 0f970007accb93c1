package qla

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pkg/errors"
)

// SampleOptions say how tokens are chosen. The zero value takes the likeliest.
type SampleOptions struct {
	Temperature float64 // divides the logits; 0 takes the likeliest token
	TopK        int     // draws from the k likeliest tokens only; 0 from all
	Seed        uint64  // the same seed gives the same draws
}

// Sampler chooses tokens from logits.
type Sampler struct {
	opt  SampleOptions
	rand *rand.Rand
}

// NewSampler makes a sampler, or tells what is wrong with the options.
func NewSampler(opt SampleOptions) (*Sampler, error) {
	if !(opt.Temperature >= 0) || math.IsInf(opt.Temperature, 0) {
		return nil, errors.Errorf("qla.NewSampler: Temperature is %v, want a finite number, 0 or more", opt.Temperature)
	}
	if opt.TopK < 0 {
		return nil, errors.Errorf("qla.NewSampler: TopK is %d, want 0 or more", opt.TopK)
	}
	return &Sampler{opt: opt, rand: rand.New(rand.NewPCG(opt.Seed, 0))}, nil
}

// Next chooses a token by its logits. Of equal logits the first counts as
// likelier. NaN and +Inf among the logits are errors.
func (s *Sampler) Next(logits []float32) (int, error) {
	if len(logits) == 0 {
		return 0, errors.New("qla.Sampler: no logits")
	}
	best := 0
	for i, l := range logits {
		if l != l || math.IsInf(float64(l), 1) {
			return 0, errors.Errorf("qla.Sampler: the logit of token %d is %v", i, l)
		}
		if l > logits[best] {
			best = i
		}
	}
	if s.opt.Temperature == 0 || math.IsInf(float64(logits[best]), -1) {
		return best, nil
	}
	ids := s.candidates(logits)
	sums, total := make([]float64, len(ids)), 0.0
	for i, id := range ids {
		total += math.Exp(float64(logits[id]-logits[best]) / s.opt.Temperature)
		sums[i] = total
	}
	at := s.rand.Float64() * total
	i, found := slices.BinarySearch(sums, at)
	if found { // a sum's own interval ends before it
		i++
	}
	return ids[min(i, len(ids)-1)], nil
}

// candidates lists the tokens to draw from.
func (s *Sampler) candidates(logits []float32) []int {
	ids := make([]int, len(logits))
	for i := range ids {
		ids[i] = i
	}
	if s.opt.TopK == 0 || s.opt.TopK >= len(ids) {
		return ids
	}
	slices.SortStableFunc(ids, func(a, b int) int {
		switch {
		case logits[a] > logits[b]:
			return -1
		case logits[a] < logits[b]:
			return 1
		}
		return 0
	})
	return ids[:s.opt.TopK]
}
