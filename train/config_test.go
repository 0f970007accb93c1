package train_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/train"
)

func TestValidate(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	good := train.Config{Steps: 1, LearningRate: 1e-3}
	for _, test := range []struct {
		name   string
		change func(*train.Config)
		want   []string // parts of the error; none: the settings are good
	}{
		{"defaults", func(*train.Config) {}, nil},
		{"none of all", func(c *train.Config) {
			c.WarmupSteps, c.FinalFraction, c.Beta1, c.Beta2, c.WeightDecay, c.ClipNorm = -1, -1, -1, -1, -1, -1
		}, nil},
		{"a schedule instead of a rate", func(c *train.Config) { c.LearningRate, c.Schedule = 0, train.Constant(1) }, nil},
		{"zero", func(c *train.Config) { *c = train.Config{} }, []string{"Steps is 0, want 1 or more", "LearningRate is 0"}},
		{"NaN everywhere", func(c *train.Config) {
			c.LearningRate, c.FinalFraction, c.Beta1, c.Beta2, c.Epsilon, c.WeightDecay, c.ClipNorm = nan, nan, nan, nan, nan, nan, nan
		}, []string{"LearningRate is NaN", "FinalFraction is NaN", "Beta1 is NaN", "Beta2 is NaN", "Epsilon is NaN", "WeightDecay is NaN", "ClipNorm is NaN"}},
		{"infinity everywhere", func(c *train.Config) {
			c.LearningRate, c.FinalFraction, c.Beta1, c.Beta2, c.Epsilon, c.WeightDecay, c.ClipNorm = inf, inf, inf, inf, inf, inf, inf
		}, []string{"LearningRate is +Inf", "FinalFraction is +Inf", "Beta1 is +Inf", "Beta2 is +Inf", "Epsilon is +Inf", "WeightDecay is +Inf", "ClipNorm is +Inf"}},
		{"out of range", func(c *train.Config) {
			c.Steps, c.WarmupSteps, c.CheckpointEvery = -5, -2, -1
			c.LearningRate, c.FinalFraction, c.Beta1, c.Beta2, c.Epsilon, c.WeightDecay, c.ClipNorm = -1, 1.5, 1, 1.1, -1e-8, -0.1, -2
		}, []string{"Steps is -5", "WarmupSteps is -2", "CheckpointEvery is -1", "LearningRate is -1", "FinalFraction is 1.5",
			"Beta1 is 1,", "Beta2 is 1.1", "Epsilon is -1e-08", "WeightDecay is -0.1", "ClipNorm is -2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			err := c.Validate()
			if (err == nil) != (test.want == nil) {
				t.Fatalf("got the error %v, want the parts %q", err, test.want)
			}
			if err == nil {
				return
			}
			if n := strings.Count(err.Error(), " is "); n != len(test.want) {
				t.Errorf("%d fields are named, want %d: %v", n, len(test.want), err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("want %q in the error %v", part, err)
				}
			}
			run := train.Run(context.Background(), c, newBigram(1, 8, 4, 0), always(lesson))
			if run == nil || !strings.Contains(run.Error(), err.Error()) {
				t.Errorf("Run returned %v", run)
			}
		})
	}
}

func TestNewAdamWErrors(t *testing.T) {
	_, err := train.NewAdamW(train.Config{Beta1: math.NaN(), WeightDecay: -3, ClipNorm: math.NaN()})
	const want = "train.Config: Beta1 is NaN, want a number from 0 to below 1, or -1 for 0; WeightDecay is -3, want a finite number, 0 or more, or -1 for none"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
