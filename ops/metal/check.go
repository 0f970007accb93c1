package metal

import (
	"math"

	"github.com/pkg/errors"

	"github.com/deltatape/deltatape/tensor"
)

// CheckLayers runs Decode, the norms and the convolution, with their gradients, for a
// layer with heads of the given number and size, on noise: on the default device and
// in the emulator, whose results it compares. So a compiler or a GPU that gets a
// kernel wrong is reported, and not worked with. The error names the first kernel
// that fails or differs, or says that there are no such kernels.
func CheckLayers(d tensor.Dtype, HK, HV, DK, DV int) error {
	c := Config{Dtype: d, DK: DK, DV: DV, HK: HK, HV: HV}
	if why := c.DecodeRefusal(); why != "" {
		return errors.Errorf("metal.CheckLayers: %s", why)
	}
	var wrong error
	failed := tensor.Try(func() {
		for _, x := range c.layerCalls() {
			if wrong = x.check(); wrong != nil {
				return
			}
		}
	})
	if failed != nil {
		return failed
	}
	return wrong
}

// layerCalls are calls of all kernels of a layer, with noise.
func (c Config) layerCalls() []call {
	const B, T, taps, eps = 2, 35, 4, 1e-6
	keys := tensor.Split(tensor.Key(1), 17)
	draw := func(d tensor.Dtype, shape ...int) *tensor.Tensor {
		key := keys[0]
		keys = keys[1:]
		return tensor.AsType(tensor.Normal(key, shape...), d)
	}
	width := 2*c.HK*c.DK + c.HV*c.DV
	token := Token{
		QKV: draw(c.Dtype, B, width), Z: draw(c.Dtype, B, c.HV*c.DV), A: draw(c.Dtype, B, c.HV), B: draw(c.Dtype, B, c.HV),
		Past: draw(c.Dtype, B, taps-1, width), State: draw(tensor.Float32, B, c.HV, c.DK, c.DV),
	}
	filters, norm := draw(tensor.Float32, width, taps), draw(tensor.Float32, c.DV)
	weights := NewDecodeWeights(filters, draw(tensor.Float32, c.HV), draw(tensor.Float32, c.HV), norm)
	x, dx := draw(c.Dtype, B, T, width), draw(c.Dtype, B, T, width)
	q, dq := draw(c.Dtype, B, T, c.HK, c.DK), draw(c.Dtype, B, T, c.HK, c.DK)
	o, z, do := draw(c.Dtype, B, T, c.HV, c.DV), draw(c.Dtype, B, T, c.HV, c.DV), draw(c.Dtype, B, T, c.HV, c.DV)
	return []call{
		c.decode(token, weights, DecodeNumbers{Scale: 1, L2Eps: eps, NormEps: eps}),
		l2norm(q, eps), l2normBack(q, dq, eps),
		gatedNorm(o, norm, z, eps), gatedNormBack(o, norm, z, do, eps),
		convSiLU(x, filters), convSiLUBack(x, filters, dx),
	}
}

// layerBounds are the errors that CheckLayers lets pass: an element's rounding to a
// half type may differ by one unit.
var layerBounds = map[tensor.Dtype]float64{tensor.Float32: 1e-5, tensor.BFloat16: 1e-2, tensor.Float16: 2e-3}

// check compares the default device with the emulator.
func (x call) check() error {
	defer tensor.Free(x.made...)
	return x.compare(x.launch.run(x.kernel, x.in, x.shapes...), x.launch.emulate(x.kernel, x.in, x.shapes))
}

// compare returns an error for the first result that is not what the emulator gives.
func (x call) compare(got, emulated []*tensor.Tensor) error {
	for i, want := range emulated {
		e, err := distance(got[i], want)
		if err != nil {
			return errors.Wrapf(err, "metal.CheckLayers: kernel %s", x.kernel.name)
		}
		if bound := layerBounds[x.config.Dtype]; !(e <= bound) {
			return errors.Errorf("metal.CheckLayers: %s of kernel %s differs by %.1e from the emulator's, want at most %g: it can't be used on this machine",
				x.kernel.out[i].name, x.kernel.name, e, bound)
		}
	}
	return nil
}

// distance returns ‖a − b‖ / ‖b‖.
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
	return math.Sqrt(off / size), nil
}
