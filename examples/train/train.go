package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/internal/safetensors"
	"github.com/deltatape/deltatape/models/nn"
	"github.com/deltatape/deltatape/models/qla"
	"github.com/deltatape/deltatape/ops/gateddelta"
	"github.com/deltatape/deltatape/tensor"
	"github.com/deltatape/deltatape/train"
	"github.com/deltatape/deltatape/train/data"
	"github.com/deltatape/deltatape/train/report"
)

const (
	heldOut           = 0.05 // share of the text that is kept for evaluation
	evalWindows       = 256  // windows of it that are evaluated
	evalBatch         = 32   // at most, and no more than in a step: memory goes with it
	maxOrder          = 2    // order of the n-gram model to beat
	sampleTemperature = 0.7
)

// trainModel runs the whole program and reports whether the model beat the order-2 n-gram.
func trainModel(ctx context.Context, o options, out io.Writer) (better bool, err error) {
	if err := o.device.Select(); err != nil {
		return false, err
	}
	if d := tensor.DefaultDevice(); o.model.Implementation == gateddelta.CPU && d != tensor.CPU {
		return false, errors.Errorf("-impl is cpu, whose kernels run there, and the device is %s: add -device cpu", d)
	}
	if o.model.CheckKernels = tensor.DefaultDevice() == tensor.GPU; o.checkKernels != nil {
		o.model.CheckKernels = *o.checkKernels
	}
	corpus, err := loadCorpus(o.data)
	if err != nil {
		return false, err
	}
	learn, held, err := corpus.Split(heldOut)
	if err != nil {
		return false, err
	}
	sampler, err := data.NewSampler(learn.Bytes(), o.batch, o.length, o.seed)
	if err != nil {
		return false, err
	}
	windows, err := data.Windows(held.Bytes(), min(evalBatch, o.batch), o.length, evalWindows)
	if err != nil {
		return false, errors.Wrap(err, "held-out text")
	}
	model, err := qla.New(o.model, tensor.Key(o.seed))
	if err != nil {
		return false, errors.Wrap(err, "model")
	}
	if err := makeFolder(o); err != nil {
		return false, errors.Wrap(err, "-out")
	}
	rule, err := ruleOf(o)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(out, "text    %s (files: %d), %s to learn, %s held out\n", corpus.Name, corpus.Files(),
		report.Bytes(int64(len(learn.Bytes()))), report.Bytes(int64(len(held.Bytes()))))
	fmt.Fprintf(out, "model   %s parameters, %d layers of width %d, mixer %s, device %s, seed %d\n",
		report.Count(float64(nn.Count(model))), o.model.Layers, o.model.Hidden, o.model.Mixer, tensor.DefaultDevice(), o.seed)

	if rule != "" {
		fmt.Fprintf(out, "rule    %s\n", rule)
	}

	curve, took, err := fit(ctx, o, model, sampler, out)
	if errors.Is(err, context.Canceled) && curve != nil {
		fmt.Fprintf(out, "the weights after step %d are in %s\n", len(curve), o.weights())
	}
	if err != nil {
		return false, err
	}
	return judge(ctx, o, model, sampler, windows, took, out)
}

func loadCorpus(path string) (*data.Corpus, error) {
	if path == "" {
		return data.GoStandardLibrary()
	}
	return data.Load(path)
}

// makeFolder makes the folder of -out and finds out before training that its files
// can be written.
func makeFolder(o options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return errors.WithStack(err)
	}
	for _, path := range []string{o.weights(), o.plot()} {
		if err := safetensors.Writable(path); err != nil {
			return err
		}
	}
	return nil
}

// ruleOf says which implementation of the delta rule trains the model, and why; it is
// empty for a model without the rule.
func ruleOf(o options) (string, error) {
	c := o.model
	if c.Mixer != qla.MixerDelta {
		return "", nil
	}
	tape := autograd.NewTape()
	defer tape.Close()
	var plan gateddelta.Plan
	err := tensor.Try(func() {
		of := func(shape ...int) *autograd.Var { return tape.Var(tensor.Zeros(tensor.Float32, shape...)) }
		keys := []int{o.batch, o.length, c.KeyHeads, c.KeyDim}
		gates := []int{o.batch, o.length, c.ValueHeads}
		plan = gateddelta.Explain(gateddelta.Inputs{
			Q: of(keys...), K: of(keys...), V: of(append(gates, c.ValueDim)...),
			GateInput: of(gates...), ALog: of(c.ValueHeads), DtBias: of(c.ValueHeads), BetaLogits: of(gates...),
		}, gateddelta.Options{ChunkSize: c.ChunkSize, Implementation: c.Implementation, QKL2Norm: true})
	})
	if err != nil {
		return "", err
	}
	why := strings.TrimPrefix(plan.Why[0], "implementation ")
	if plan.Implementation == gateddelta.Metal && c.CheckKernels {
		why += "; its kernels are compared with the op graph first"
	}
	return why, nil
}

// fit trains the model and returns the loss of every step in bits per byte, which it
// also plots where it has saved weights: so both are of one run.
func fit(ctx context.Context, o options, model *qla.Model, sampler *data.Sampler, out io.Writer) (curve []float64, took time.Duration, err error) {
	progress := report.NewProgress(out, report.ProgressOptions{})
	start := time.Now()
	err = train.Run(ctx, train.Config{
		Steps: o.steps, LearningRate: o.rate, Checkpoint: o.weights(),
		OnStep: func(s train.StepResult) {
			bits := train.BitsPerByte(s.Loss)
			curve = append(curve, bits)
			progress.Update(report.Step{
				Step: s.Step, Total: o.steps, Loss: s.Loss, BitsPerByte: bits,
				LearningRate: s.LearningRate, Tokens: s.Tokens, Memory: s.PeakMemory,
			})
		},
	}, model, sampler)
	took = time.Since(start)
	saved := err == nil || errors.Is(err, context.Canceled) && curve != nil
	if saved {
		plotErr := report.LossPlot(o.plot(), report.Series{Name: "training, bits per byte", Y: curve})
		switch {
		case err == nil:
			err = plotErr
		case plotErr != nil:
			err = errors.WithMessage(err, plotErr.Error())
		}
	}
	if finishErr := progress.Finish(); err == nil {
		err = finishErr
	}
	return curve, took, err
}

// judge evaluates the model and the n-grams on held-out text, prints a sample,
// and reports whether the model beats the n-gram of the greatest order.
func judge(ctx context.Context, o options, model *qla.Model, sampler *data.Sampler, windows []data.Batch, took time.Duration, out io.Writer) (bool, error) {
	nats, err := train.Evaluate(ctx, model, windows)
	if err != nil {
		return false, err
	}
	own, rival := train.BitsPerByte(nats), 0.0
	tokens := 0
	for _, w := range windows {
		tokens += len(w.Targets)
	}
	fmt.Fprintf(out, "\nbits/byte on %s of held-out text:\n", report.Bytes(int64(tokens)))
	seen := sampler.Seen()
	for order := 0; order <= maxOrder; order++ {
		bits, err := baseline(order, seen, windows)
		if err != nil {
			return false, err
		}
		rival = bits // of the last order in the end
		fmt.Fprintf(out, "  order-%d n-gram   %.3f\n", order, bits)
	}
	fmt.Fprintf(out, "  this model       %.3f\n\n", own)
	if err := sample(ctx, o, model, out); err != nil {
		return false, err
	}
	fmt.Fprintf(out, "\ntrained %d steps in %s; weights in %s, loss in %s\n", o.steps, report.Duration(took), o.weights(), o.plot())
	if !(own < rival) {
		fmt.Fprintf(out, "the model does not beat the order-%d n-gram (%.3f against %.3f bits/byte)\n", maxOrder, own, rival)
		return false, nil
	}
	fmt.Fprintf(out, "the model beats the order-%d n-gram by %.3f bits/byte\n", maxOrder, rival-own)
	return true, nil
}

// baseline fits an n-gram model on the bytes that the model has seen.
func baseline(order int, seen [][]byte, windows []data.Batch) (float64, error) {
	m, err := data.NewNGram(order)
	if err != nil {
		return 0, err
	}
	for _, text := range seen {
		m.Fit(text)
	}
	return m.BitsPerByte(windows)
}
