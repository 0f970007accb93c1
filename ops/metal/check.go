package metal

import (
	"math"
	"slices"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// CheckLayers runs the kernels of a layer's norms and convolution on noise, with their
// gradients, and compares them with the formulas by other operations of the engine: so
// that a compiler or a GPU that gets a kernel wrong is reported, and not worked with.
// The layer has heads of the given number and size, and filters of so many taps. A
// norm or a convolution without a kernel (see RowsRefusal and ConvRefusal) is left
// out. The error names the first kernel that fails or differs; it holds for the
// default device and the rest of the process.
func CheckLayers(d tensor.Dtype, HK, HV, DK, DV, taps int) error {
	c := Config{Dtype: d, DK: DK, DV: DV, HK: HK, HV: HV}
	if _, ok := elementTypes[d]; !ok {
		return nil
	}
	return layerVerdicts.Of(layerOf{c, taps}, func() error {
		return checkAll("metal.CheckLayers", func(s *tensor.Scope) ([]layerCheck, error) { return c.layerChecks(s, taps) })
	})
}

// CheckDecode is CheckLayers for Decode, a convolution of so many taps included. That
// there is no such kernel is an error.
func (c Config) CheckDecode(taps int) error {
	if why := c.DecodeRefusal(); why != "" {
		return errors.Errorf("metal.CheckDecode: %s", why)
	}
	c.Chunk = decodeChunk
	return decodeVerdicts.Of(layerOf{c, taps}, func() error {
		return checkAll("metal.CheckDecode", func(s *tensor.Scope) ([]layerCheck, error) { return []layerCheck{c.decodeCheck(s, taps)}, nil })
	})
}

// layerOf is what the kernels of a layer are built for.
type layerOf struct {
	config Config
	taps   int
}

var layerVerdicts, decodeVerdicts Verdicts[layerOf]

// layerCheck is a call of a kernel on noise, and what its results should be, in
// float32.
type layerCheck struct {
	call
	want []*tensor.Tensor
}

// noise draws normal numbers of any dtype, others each time.
type noise struct{ keys []*tensor.Tensor }

func newNoise(s *tensor.Scope) *noise { return &noise{tensor.Split(s.Use(tensor.Key(1)), 10)} }

func (n *noise) draw(d tensor.Dtype, shape ...int) *tensor.Tensor {
	key := n.keys[0]
	n.keys = n.keys[1:]
	return tensor.AsType(tensor.Normal(key, shape...), d)
}

func float32s(x *tensor.Tensor) *tensor.Tensor { return tensor.AsType(x, tensor.Float32) }

// The sizes of noise: more than one threadgroup has, and the last not full. An ε as
// large as this shows in the results.
const (
	checkBatch, checkTokens = 2, 35
	checkEps                = 0.1
)

// layerChecks are those of all kernels of CheckLayers.
func (c Config) layerChecks(s *tensor.Scope, taps int) (list []layerCheck, err error) {
	const B, T = checkBatch, checkTokens
	n := newNoise(s)
	// add adds a kernel and that of its gradients.
	add := func(forward, back call, dy *tensor.Tensor, f func(in []*tensor.Tensor) *tensor.Tensor, in ...*tensor.Tensor) {
		var wide []*tensor.Tensor
		for _, x := range in {
			wide = append(wide, float32s(x))
		}
		y, grads, failed := tensor.VJP(func(in []*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{f(in)} }, wide, []*tensor.Tensor{float32s(dy)})
		if err == nil {
			err = failed
		}
		list = append(list, layerCheck{forward, y}, layerCheck{back, grads})
	}
	if q, dq := n.draw(c.Dtype, B, T, c.HK, c.DK), n.draw(c.Dtype, B, T, c.HK, c.DK); RowsRefusal(q) == "" {
		add(l2norm(q, checkEps), l2normBack(q, dq, checkEps), dq,
			func(in []*tensor.Tensor) *tensor.Tensor { return l2normFormula(in[0], checkEps) }, q)
	}
	shape := []int{B, T, c.HV, c.DV}
	if o, z, do, w := n.draw(c.Dtype, shape...), n.draw(c.Dtype, shape...), n.draw(c.Dtype, shape...), n.draw(tensor.Float32, c.DV); RowsRefusal(o) == "" {
		add(gatedNorm(o, w, z, checkEps), gatedNormBack(o, w, z, do, checkEps), do,
			func(in []*tensor.Tensor) *tensor.Tensor { return gatedNormFormula(in[0], in[1], in[2], checkEps) }, o, w, z)
	}
	width := 2*c.HK*c.DK + c.HV*c.DV
	if x, dx, w := n.draw(c.Dtype, B, T, width), n.draw(c.Dtype, B, T, width), n.draw(tensor.Float32, width, taps); ConvRefusal(x, w) == "" {
		add(convSiLU(x, w), convSiLUBack(x, w, dx), dx,
			func(in []*tensor.Tensor) *tensor.Tensor { return convSiLUFormula(in[0], in[1]) }, x, w)
	}
	return list, err
}

// decodeCheck is that of Decode.
func (c Config) decodeCheck(s *tensor.Scope, taps int) layerCheck {
	const B = checkBatch
	n, width := newNoise(s), 2*c.HK*c.DK+c.HV*c.DV
	in := Token{
		QKV: n.draw(c.Dtype, B, width), Z: n.draw(c.Dtype, B, c.HV*c.DV), A: n.draw(c.Dtype, B, c.HV), B: n.draw(c.Dtype, B, c.HV),
		Past: n.draw(c.Dtype, B, taps-1, width), State: n.draw(tensor.Float32, B, c.HV, c.DK, c.DV),
	}
	filters, aLog, dtBias, norm := n.draw(tensor.Float32, width, taps), n.draw(tensor.Float32, c.HV), n.draw(tensor.Float32, c.HV), n.draw(tensor.Float32, c.DV)
	weights := NewDecodeWeights(filters, aLog, dtBias, norm)
	s.Adopt(weights.tensors()...)
	numbers := DecodeNumbers{Scale: 1, L2Eps: checkEps, NormEps: checkEps}
	wide := Token{QKV: float32s(in.QKV), Z: float32s(in.Z), A: float32s(in.A), B: float32s(in.B), Past: float32s(in.Past), State: in.State}
	return layerCheck{c.decode(in, weights, numbers), c.decodeFormula(wide, filters, aLog, dtBias, norm, numbers)}
}

// checkAll compares the default device's results of all calls with those wanted.
func checkAll(who string, checks func(*tensor.Scope) ([]layerCheck, error)) (wrong error) {
	s := tensor.NewScope()
	defer s.Close()
	failed := tensor.Try(func() {
		var list []layerCheck
		if list, wrong = checks(s); wrong != nil {
			return
		}
		for _, x := range list {
			if wrong = x.compare(x.run()); wrong != nil {
				return
			}
		}
	})
	if failed != nil {
		wrong = failed
	}
	return errors.WithMessage(wrong, who)
}

// layerBounds are the errors that checks let pass in results of a dtype. Everything
// is float32 inside, so that in half types there is one rounding.
var layerBounds = map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.BFloat16: 4e-3, tensor.Float16: 5e-4}

// compare returns an error for the first result that is not what is wanted. The
// gradients of weights come in parts to be summed.
func (x layerCheck) compare(got []*tensor.Tensor) error {
	for i, want := range x.want {
		made, bound := got[i], layerBounds[got[i].Dtype()]
		if !slices.Equal(made.Shape(), want.Shape()) {
			made = tensor.Sum(made, false, 0)
		}
		e, err := distance(made, want)
		if err != nil {
			return errors.Wrapf(err, "kernel %s", x.kernel.name)
		}
		if !(e <= bound) {
			return errors.Errorf("%s of kernel %s for %s differs by %.1e from the formula by other operations, want at most %g: it can't be used on this machine",
				x.kernel.out[i].name, x.kernel.name, x.config.Dtype, e, bound)
		}
	}
	return nil
}

// distance returns ‖a − b‖ / ‖b‖, and 0 if both are zeros.
func distance(a, b *tensor.Tensor) (float64, error) {
	x, err := tensor.Data[float32](a)
	if err != nil {
		return 0, err
	}
	y, err := tensor.Data[float32](b)
	if err != nil {
		return 0, err
	}
	var off, size float64
	for i := range y {
		off += math.Pow(float64(x[i])-float64(y[i]), 2)
		size += math.Pow(float64(y[i]), 2)
	}
	if off == 0 {
		return 0, nil
	}
	return math.Sqrt(off / size), nil
}
