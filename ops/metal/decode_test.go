package metal_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/deltatape/deltatape/ops/metal"
	"github.com/deltatape/deltatape/tensor"
)

// decoding is one application of Decode.
type decoding struct {
	dtype                tensor.Dtype
	B, HK, HV, DK, DV, W int
	gate                 string
}

var decodeNumbers = metal.DecodeNumbers{Scale: .3, L2Eps: 1e-3, NormEps: 1e-2}

func (p decoding) String() string {
	return fmt.Sprintf("%s-B%d-H%d.%d-K%d-V%d-W%d-%s", p.dtype, p.B, p.HK, p.HV, p.DK, p.DV, p.W, p.gate)
}

func (p decoding) config() metal.Config {
	return metal.Config{Dtype: p.dtype, DK: p.DK, DV: p.DV, HK: p.HK, HV: p.HV}
}

// channels is the number of those of the convolution.
func (p decoding) channels() int { return 2*p.HK*p.DK + p.HV*p.DV }

// layer is the weights of one.
type layer struct{ taps, aLog, dtBias, norm *tensor.Tensor }

func (w layer) prepared() *metal.DecodeWeights {
	return metal.NewDecodeWeights(w.taps, w.aLog, w.dtBias, w.norm)
}

func (p decoding) operands() (in metal.Token, w layer) {
	keys := tensor.Split(tensor.Key(uint64(p.DK+p.DV+p.W)), 10)
	draw := func(i int, d tensor.Dtype, shape ...int) *tensor.Tensor {
		return tensor.AsType(tensor.Normal(keys[i], shape...), d)
	}
	in = metal.Token{
		QKV: draw(0, p.dtype, p.B, p.channels()), Z: draw(1, p.dtype, p.B, p.HV*p.DV),
		A: draw(2, p.dtype, p.B, p.HV), B: draw(3, p.dtype, p.B, p.HV),
		Past: draw(4, p.dtype, p.B, p.W-1, p.channels()), State: draw(5, tensor.Float32, p.B, p.HV, p.DK, p.DV),
	}
	switch p.gate {
	case "closed":
		in.A = tensor.Full(-1000, p.dtype, p.B, p.HV)
	case "reset":
		in.A = tensor.Full(1000, p.dtype, p.B, p.HV)
	}
	w = layer{
		taps: draw(6, p.dtype, p.channels(), 1, p.W), aLog: draw(7, tensor.Float32, p.HV),
		dtBias: draw(8, p.dtype, p.HV), norm: draw(9, tensor.Float32, p.DV),
	}
	return in, w
}

// definition computes the output, the past and the state after a token in float64,
// by the formulas of decode.metal with the state updated first.
func (p decoding) definition(t *testing.T, in metal.Token, w layer) [3][]float64 {
	t.Helper()
	read := func(x *tensor.Tensor) []float64 { return numbers(t, x) }
	qkv, z, a, b, past, state := read(in.QKV), read(in.Z), read(in.A), read(in.B), read(in.Past), read(in.State)
	taps, aLog, dtBias, weight := read(w.taps), read(w.aLog), read(w.dtBias), read(w.norm)
	n, kept := p.channels(), p.W-1
	silu := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
	y := make([]float64, p.B*p.HV*p.DV)
	later := make([]float64, 0, len(past))
	for s := range p.B {
		window := append(slices.Clone(past[s*kept*n:(s+1)*kept*n]), qkv[s*n:(s+1)*n]...) // [W, channels]
		later = append(later, window[n:]...)
		x := make([]float64, n)
		for c := range x {
			for i := range p.W {
				x[c] += taps[c*p.W+i] * window[i*n+c]
			}
			x[c] = silu(x[c])
		}
		unit := func(x []float64) []float64 {
			sum := decodeNumbers.L2Eps
			for _, v := range x {
				sum += v * v
			}
			x = slices.Clone(x)
			for i := range x {
				x[i] /= math.Sqrt(sum)
			}
			return x
		}
		for h := range p.HV {
			at, group := s*p.HV+h, h/(p.HV/p.HK)
			q, k := unit(x[group*p.DK:(group+1)*p.DK]), unit(x[(p.HK+group)*p.DK:(p.HK+group+1)*p.DK])
			v := x[2*p.HK*p.DK+h*p.DV : 2*p.HK*p.DK+(h+1)*p.DV]
			open := a[at] + dtBias[h]
			decay := math.Exp(-math.Exp(aLog[h]) * (max(open, 0) + math.Log1p(math.Exp(-math.Abs(open)))))
			S, o, mean := state[at*p.DK*p.DV:(at+1)*p.DK*p.DV], make([]float64, p.DV), 0.
			for j := range o {
				held := 0.
				for i := range k {
					S[i*p.DV+j] *= decay
					held += k[i] * S[i*p.DV+j]
				}
				d := (v[j] - held) / (1 + math.Exp(-b[at]))
				for i := range k {
					S[i*p.DV+j] += k[i] * d
					o[j] += decodeNumbers.Scale * q[i] * S[i*p.DV+j]
				}
				mean += o[j] * o[j] / float64(p.DV)
			}
			for j := range o {
				place := at*p.DV + j
				y[place] = o[j] / math.Sqrt(mean+decodeNumbers.NormEps) * weight[j] * silu(z[place])
			}
		}
	}
	return [3][]float64{y, later, state}
}

func TestDecode(t *testing.T) {
	sizes := []decoding{
		{B: 1, HK: 1, HV: 1, DK: 8, DV: 8, W: 4},
		{B: 3, HK: 2, HV: 2, DK: 16, DV: 40, W: 2},
		{B: 2, HK: 2, HV: 4, DK: 24, DV: 8, W: 3},
		{B: 1, HK: 1, HV: 3, DK: 64, DV: 32, W: 4},
		{B: 5, HK: 2, HV: 8, DK: 8, DV: 16, W: 1},
		{B: 1, HK: 1, HV: 2, DK: 128, DV: 128, W: 4},
		{B: 1, HK: 1, HV: 1, DK: 40, DV: 256, W: 9},
		{B: 1, HK: 1, HV: 1, DK: 256, DV: 136, W: 4},
	}
	for d, bound := range halves {
		for _, p := range sizes {
			for _, p.gate = range []string{"open", "closed", "reset"} {
				if p.dtype = d; p.gate != "open" && p.DK > 24 {
					continue
				}
				t.Run(p.String(), func(t *testing.T) {
					in, w := p.operands()
					want := p.definition(t, in, w)
					var first [3][]float64
					for order := range 3 {
						y, past, state := p.config().Decode(in, w.prepared(), decodeNumbers)
						got := [3][]float64{numbers(t, y), numbers(t, past), numbers(t, state)}
						if order == 0 {
							first = got
						}
						for i, name := range []string{"the output", "the past", "the state"} {
							if !slices.Equal(got[i], first[i]) {
								t.Errorf("%s has other bits in another order", name)
							}
						}
					}
					if e := relative(first[0], want[0]); !(e <= bound) {
						t.Errorf("the output has an error of %.1e, want at most %.0e", e, bound)
					}
					if !slices.Equal(first[1], want[1]) {
						t.Error("the past is not that of the next token")
					}
					if e := relative(first[2], want[2]); !(e <= 2e-6) {
						t.Errorf("the state has an error of %.1e", e)
					}
				})
			}
		}
	}
}

// TestDecodeKeeps lets a state decay slowly for many tokens that write nothing: an
// error of the gate would add up.
func TestDecodeKeeps(t *testing.T) {
	p := decoding{dtype: tensor.Float32, B: 1, HK: 1, HV: 4, DK: 8, DV: 8, W: 4}
	in, w := p.operands()
	const dtBias = -.5
	in.B, w.dtBias = tensor.Full(-200, p.dtype, p.B, p.HV), tensor.Full(dtBias, tensor.Float32, p.HV)
	in.A = tensor.FromSlice([]float32{-12, -9, -7, -5}, 1, 4)
	w.aLog = tensor.Full(math.Log(16), tensor.Float32, p.HV)
	want := numbers(t, in.State)
	for h, a := range []float64{-12, -9, -7, -5} {
		decay := math.Exp(-300 * 16 * math.Log1p(math.Exp(a+dtBias)))
		for i := range p.DK * p.DV {
			want[h*p.DK*p.DV+i] *= decay
		}
	}
	for range 300 {
		_, in.Past, in.State = p.config().Decode(in, w.prepared(), decodeNumbers)
	}
	if e := relative(numbers(t, in.State), want); !(e <= 1e-5) {
		t.Errorf("the state has an error of %.1e", e)
	}
}

// TestDecodeWork holds the cost model to the sizes of all arrays.
func TestDecodeWork(t *testing.T) {
	for _, p := range []decoding{
		{dtype: tensor.BFloat16, B: 3, HK: 4, HV: 8, DK: 8, DV: 24, W: 4},
		{dtype: tensor.Float32, B: 1, HK: 8, HV: 8, DK: 16, DV: 8, W: 2},
	} {
		in, w := p.operands()
		y, past, state := p.config().Decode(in, w.prepared(), decodeNumbers)
		var bytes int64
		for _, x := range []*tensor.Tensor{in.QKV, in.Z, in.A, in.B, in.Past, in.State, y, past, state} {
			bytes += x.Bytes()
		}
		for _, x := range []*tensor.Tensor{w.taps, w.aLog, w.dtBias, w.norm} {
			bytes += 4 * int64(x.Size())
		}
		got := p.config().DecodeWork(p.B, p.W)
		if got.Bytes != float64(bytes) || got.Launches != 1 {
			t.Errorf("%s: %.0f bytes in %d launches, want %d in one", p, got.Bytes, got.Launches, bytes)
		}
		if least := float64(7 * p.B * p.HV * p.DK * p.DV); got.FLOPs < least || got.FLOPs > 3*least {
			t.Errorf("%s: %.0f FLOPs, of which %.0f are for states", p, got.FLOPs, least)
		}
	}
}

// BenchmarkDecode steps a layer of Qwen3-Next's size, or a small one in the emulator,
// and reports GB/s by the cost model.
func BenchmarkDecode(b *testing.B) {
	p := decoding{dtype: tensor.BFloat16, B: 1, HK: 16, HV: 32, DK: 128, DV: 128, W: 4}
	if tensor.DefaultDevice() == tensor.CPU {
		p.HK, p.HV, p.DK, p.DV = 1, 2, 32, 32
	}
	in, layer := p.operands()
	w := layer.prepared()
	step := func() {
		y, past, state := p.config().Decode(in, w, decodeNumbers)
		if err := tensor.Eval(y, past, state); err != nil {
			b.Fatal(err)
		}
		tensor.Free(in.Past, in.State, y)
		in.Past, in.State = past, state
	}
	step() // to compile it
	for b.Loop() {
		step()
	}
	perStep := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(p.config().DecodeWork(p.B, p.W).Bytes/perStep/1e9, "GB/s")
}

func TestDecodeMisuse(t *testing.T) {
	p := decoding{dtype: tensor.BFloat16, B: 2, HK: 1, HV: 2, DK: 8, DV: 8, W: 4}
	for want, change := range map[string]func(*metal.Config, *metal.Token, *layer){
		"multiples of 8 up to 256, not 12 and 8": func(c *metal.Config, _ *metal.Token, _ *layer) { c.DK = 12 },
		"not float64":                            func(c *metal.Config, _ *metal.Token, _ *layer) { c.Dtype = tensor.Float64 },
		"want QKV [B, 32]": func(_ *metal.Config, in *metal.Token, _ *layer) {
			in.QKV = tensor.Zeros(p.dtype, 0, 32)
		},
		"want taps [channels, W]": func(_ *metal.Config, _ *metal.Token, w *layer) {
			w.taps = tensor.Zeros(tensor.Float32, 32, 0)
		},
		"Z is float32, want bfloat16 [2 16]": func(_ *metal.Config, in *metal.Token, _ *layer) {
			in.Z = tensor.AsType(in.Z, tensor.Float32)
		},
		"Past is bfloat16, want bfloat16 [2 3 32]": func(_ *metal.Config, in *metal.Token, _ *layer) {
			in.Past = tensor.SliceAxis(in.Past, 1, 0, 2)
		},
		"the weights are of 3 value heads, want 2": func(_ *metal.Config, _ *metal.Token, w *layer) {
			w.aLog, w.dtBias = tensor.Zeros(p.dtype, 3), tensor.Zeros(p.dtype, 3)
		},
		"norm is float32, want float32 [8]": func(_ *metal.Config, _ *metal.Token, w *layer) {
			w.norm = tensor.Zeros(p.dtype, 16)
		},
	} {
		c := p.config()
		in, w := p.operands()
		change(&c, &in, &w)
		if err := tensor.Try(func() { c.Decode(in, w.prepared(), decodeNumbers) }); err == nil || !contains(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
