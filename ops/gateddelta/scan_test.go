package gateddelta

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/autograd/gradcheck"
	"github.com/deltatape/deltatape/tensor"
)

// manyChunks is a Segment and a ScanLength that no test reaches.
const manyChunks = 1 << 20

// scans are all scans, in segments of any length and with runs of 1, 2, 4 chunks
// and of a whole segment.
func scans(d tensor.Dtype, chunk int) []variant {
	var list []variant
	add := func(scan Scan, segment, length int) {
		list = append(list, variant{implementation: Chunk, chunk: chunk, dtype: d, segment: segment, scan: scan, length: length})
	}
	for _, segment := range []int{manyChunks, 3} {
		add(ScanSequential, segment, 0)
		add(ScanTransition, segment, 0)
		add(ScanTwoLevel, segment, 0)
		for _, length := range []int{1, 2, 4, manyChunks} {
			add(ScanTwoLevel, segment, length)
		}
	}
	return list
}

// TestScans holds every scan to the oracle, with lengths, gates, β, keys, heads
// and sizes taking turns.
func TestScans(t *testing.T) {
	heads := [][2]int{{1, 1}, {1, 2}, {1, 3}, {2, 8}, {2, 2}, {2, 4}}
	dims := [][2]int{{16, 16}, {16, 24}, {24, 8}, {20, 12}, {32, 16}}
	turn := 0
	for _, T := range []int{1, 16, 17, 64, 75, 130, 200} {
		for _, gate := range gateKinds {
			turn++
			beta, keys := betaKinds[turn%3], keyKinds[turn/3%3]
			if beta == "one" {
				keys = "random" // others leave next to nothing of the true dg at strong gates
			}
			p := sample(uint64(turn), sampling{
				B: 1 + turn%2, T: T, gate: gate, beta: beta, keys: keys,
				Hk: heads[turn%len(heads)][0], Hv: heads[turn%len(heads)][1],
				K: dims[turn%len(dims)][0], V: dims[turn%len(dims)][1],
				h0: turn%3 != 0, dht: turn%4 != 0, noDo: turn%4 == 1, noDelta: turn%7 == 0,
			})
			want := p.solve()
			for _, v := range append(scans(tensor.Float64, 16), scans(tensor.Float32, 16)...) {
				t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
			}
		}
	}
	report.log(t)
}

// TestScanHeads is the size of real models' heads and chunks, in every dtype.
func TestScanHeads(t *testing.T) {
	for i, c := range []sampling{
		{B: 1, T: 600, Hk: 1, Hv: 2, K: 128, V: 128, h0: true, dht: true},
		{B: 2, T: 300, Hk: 2, Hv: 4, K: 64, V: 128, gate: "logsigmoid", h0: true, dht: true},
		{B: 1, T: 300, Hk: 1, Hv: 2, K: 128, V: 64, gate: "a16", beta: "2sigmoid"},
	} {
		for _, d := range []tensor.Dtype{tensor.Float32, tensor.BFloat16, tensor.Float16} {
			p := sample(uint64(i), c)
			p.round(t, d)
			want := p.solve()
			for _, chunk := range []int{32, 64, 128} {
				for _, v := range scans(d, chunk)[1:4] {
					t.Run(p.String()+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
				}
			}
		}
	}
	report.log(t)
}

// TestScanPacked compares packed sequences with the oracle's of each by itself.
func TestScanPacked(t *testing.T) {
	heads := [][2]int{{1, 1}, {1, 2}, {2, 6}}
	dims := [][2]int{{16, 16}, {16, 24}, {24, 8}}
	for i, c := range packings {
		cu := offsets(c.lengths...)
		p := sample(uint64(i), sampling{
			B: 1, T: cu[len(cu)-1] + c.tail, cu: cu, gate: []string{"inf", "mild"}[i%2], beta: betaKinds[i%3],
			Hk: heads[i%3][0], Hv: heads[i%3][1], K: dims[i/2%3][0], V: dims[i/2%3][1],
			h0: i%3 != 0, dht: i%4 > 1, noDo: i%4 == 2, noDelta: i%5 == 4,
		})
		want := p.solve()
		for _, v := range append(scans(tensor.Float64, 16), scans(tensor.Float32, 16)...) {
			t.Run(c.name+"/"+v.String(), func(t *testing.T) { p.check(t, v, want) })
		}
	}
}

// TestScanGolden holds every scan to another project's reference.
func TestScanGolden(t *testing.T) {
	for name, c := range golden(t) {
		for _, d := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			for _, chunk := range []int{16, 64} {
				for _, v := range scans(d, chunk)[1:5] {
					t.Run(v.String()+"/"+name, func(t *testing.T) { c.check(t, v, c.want) })
				}
			}
		}
	}
}

// TestScanMasks wants tokens beside a mask to change nothing.
func TestScanMasks(t *testing.T) {
	p := sample(3, sampling{B: 2, T: 90, Hk: 1, Hv: 2, K: 8, V: 6, h0: true, dht: true})
	mask := make([]float64, p.B*p.T)
	for i := range mask {
		mask[i] = float64(min(i%7, 1))
	}
	results := func(v variant) result {
		tape := autograd.NewTape()
		defer tape.Close()
		in, leaves := p.inputs(tape, v)
		in.Mask = p.tensor(mask, tensor.Bool, p.B, p.T)
		return p.finish(t, tape, v, p.apply(in, v), leaves)
	}
	want := results(variant{implementation: Recurrent, dtype: tensor.Float64})
	for _, v := range scans(tensor.Float64, 16) {
		t.Run(v.String(), func(t *testing.T) { same(t, results(v), want, 1e-12) })
	}
}

// TestScanGradients checks the backward passes against finite differences.
func TestScanGradients(t *testing.T) {
	for _, cu := range [][]int{nil, offsets(40, 0, 17, 1)} {
		c := sampling{B: 2, T: 50, Hk: 1, Hv: 2, K: 3, V: 2, cu: cu, h0: true}
		if cu != nil {
			c.B, c.T = 1, 58
		}
		in := sample(1, c).tensors(variant{dtype: tensor.Float64})
		for _, v := range scans(tensor.Float64, 16)[1:4] {
			for _, noDelta := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/packed=%t/noDelta=%t", v, cu != nil, noDelta), func(t *testing.T) {
					opt := Options{ChunkSize: 16, Segment: 3, Scan: v.scan, ScanLength: v.length, CuSeqlens: cu, NoDelta: noDelta}
					gradcheck.Run(t, checkable(opt), in, gradcheck.Options{Fast: true})
				})
			}
		}
	}
}

// TestScanRepeats wants equal bits from equal inputs.
func TestScanRepeats(t *testing.T) {
	for _, cu := range [][]int{nil, offsets(100, 33, 0, 7, 160)} {
		p := sample(2, sampling{B: 1, T: 300, Hk: 2, Hv: 4, K: 32, V: 24, cu: cu, gate: "logsigmoid", h0: true, dht: true})
		for _, v := range scans(tensor.Float32, 16)[:4] {
			t.Run(fmt.Sprintf("%s/packed=%t", v, cu != nil), func(t *testing.T) {
				want := p.run(t, v)
				for range 2 {
					same(t, p.run(t, v), want, 0)
				}
			})
		}
	}
}

// TestScanChoice asks for the scan of devices and sizes.
func TestScanChoice(t *testing.T) {
	for _, c := range []struct {
		B, T, Hk, Hv, D int
		gpu             bool
		opt             Options
		want            Scan
		length          int // 0: not asked
	}{
		{B: 1, T: 1 << 14, Hk: 8, Hv: 32, D: 128, opt: Options{Segment: 256}, want: ScanSequential},
		{B: 1, T: 1 << 12, Hk: 1, Hv: 1, D: 32, want: ScanTwoLevel},
		{B: 1, T: 1 << 9, Hk: 1, Hv: 1, D: 32, want: ScanTransition},
		{B: 1, T: 1 << 12, Hk: 4, Hv: 8, D: 32, want: ScanTransition},
		{B: 2, T: 1 << 12, Hk: 4, Hv: 8, D: 32, want: ScanSequential},
		{B: 1, T: 1 << 12, Hk: 1, Hv: 1, D: 64, want: ScanTransition},
		{B: 1, T: 200, Hk: 1, Hv: 1, D: 32, want: ScanSequential},
		{B: 1, T: 1 << 14, Hk: 4, Hv: 8, D: 64, gpu: true, opt: Options{Segment: 256}, want: ScanTwoLevel, length: 16},
		{B: 1, T: 1 << 13, Hk: 4, Hv: 8, D: 64, gpu: true, opt: Options{Segment: 256}, want: ScanTwoLevel, length: 8},
		{B: 1, T: 1 << 10, Hk: 4, Hv: 8, D: 64, gpu: true, opt: Options{Segment: 256}, want: ScanTransition},
		{B: 1, T: 1 << 13, Hk: 8, Hv: 32, D: 128, gpu: true, opt: Options{Segment: 256}, want: ScanTransition},
		{B: 1, T: 128, Hk: 8, Hv: 32, D: 128, gpu: true, opt: Options{Segment: 256}, want: ScanSequential},
		{B: 4, T: 1 << 12, Hk: 8, Hv: 32, D: 128, gpu: true, opt: Options{Segment: 256}, want: ScanSequential},
		{B: 8, T: 1 << 14, Hk: 8, Hv: 32, D: 128, opt: Options{Scan: ScanTransition}, want: ScanTransition},
		{B: 1, T: 1, Hk: 1, Hv: 1, D: 128, opt: Options{Scan: ScanTwoLevel}, want: ScanTwoLevel},
		{B: 1, T: 1, Hk: 1, Hv: 1, D: 128, gpu: true, want: ScanSequential},
		{B: 1, T: 1 << 12, Hk: 1, Hv: 1, D: 64, opt: Options{Segment: 64, Scan: ScanTwoLevel, ScanLength: 5}, want: ScanTwoLevel, length: 5},
		{B: 1, T: 1 << 12, Hk: 1, Hv: 1, D: 64, opt: Options{Segment: 64, Scan: ScanTwoLevel, ScanLength: 99}, want: ScanTwoLevel, length: 64},
	} {
		x := func(shape ...int) *tensor.Tensor { return tensor.Zeros(tensor.BFloat16, shape...) }
		in := operands{q: x(c.B, c.T, c.Hk, c.D), k: x(c.B, c.T, c.Hk, c.D), v: x(c.B, c.T, c.Hv, c.D)}
		switch { // what Auto chooses on other processors and devices
		case c.T > recurrentUpTo:
			c.opt.Implementation = Chunk
		case !c.opt.Scan.named():
			c.opt.Implementation = Recurrent
		}
		z := geometryOf(in, c.opt)
		got, why := c.opt.chooseScan(z, c.gpu)
		if got != c.want || why == "" {
			t.Errorf("%+v: %q because %q", c, got, why)
		}
		if L := z.runLength(len(z.plan.segments[0].active)); c.length > 0 && L != c.length {
			t.Errorf("%+v: runs of %d", c, L)
		}
	}
}

// TestScanMistakes wants scans that cannot be named refused.
func TestScanMistakes(t *testing.T) {
	tape := autograd.NoGrad()
	defer tape.Close()
	x := tape.Const(tensor.Zeros(tensor.Float32, 1, 20, 1, 4))
	for want, opt := range map[string]Options{
		`there is no Scan "parallel", want "auto", "sequential", "transition" or "two-level"`:    {Scan: "parallel"},
		`Scan is "two-level" with Implementation "recurrent", which has no chunks to go between`: {Scan: ScanTwoLevel, Implementation: Recurrent},
		`Scan is "sequential" with Implementation "recurrent"`:                                   {Scan: ScanSequential, Implementation: Recurrent},
		`ScanLength is -1, want the number of chunks in a run, or 0 to choose`:                   {ScanLength: -1},
		`ScanLength is 4 with Scan "transition", which has no runs, want "two-level"`:            {Scan: ScanTransition, ScanLength: 4},
	} {
		err := tensor.Try(func() { Apply(Inputs{Q: x, K: x, V: x}, opt) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	for _, opt := range []Options{{ScanLength: 4}, {Scan: ScanAuto, Implementation: Recurrent}} { // auto never fails
		if err := tensor.Try(func() { Apply(Inputs{Q: x, K: x, V: x}, opt) }); err != nil {
			t.Errorf("%+v: %v", opt, err)
		}
	}
}

// TestScanLevels lays out runs of rows that end.
func TestScanLevels(t *testing.T) {
	z := geometry{plan: plan{packing: &packing{}}}
	r := z.levelsOf([]int{3, 3, 2, 1, 1}, 2, func(x *tensor.Tensor) *tensor.Tensor { return x })
	// Rows 0-2, 3-5, 6-7, 8, 9. Runs of step 0: three of 2 rows; of step 2: one of
	// 2 and one of 1; of step 4: one of 1.
	if want := []int{3, 2, 1}; !slices.Equal(r.starts, want) {
		t.Errorf("starts %v, want %v", r.starts, want)
	}
	if want := []int{6, 4}; !slices.Equal(r.counts, want) {
		t.Errorf("counts %v, want %v", r.counts, want)
	}
	order, err := tensor.Data[int32](r.order)
	if want := []int32{0, 1, 2, 6, 7, 9, 3, 4, 5, 8}; err != nil || !slices.Equal(order, want) {
		t.Errorf("order %v (%v), want %v", order, err, want)
	}
	if r.byAge != nil || r.byRun != nil {
		t.Error("runs that are in order by length are reordered")
	}
}

// TestScanMemory holds the peak of the backward pass to the formula of the package
// documentation.
func TestScanMemory(t *testing.T) {
	for _, c := range []sampling{
		{B: 1, T: 1024, Hk: 1, Hv: 4, K: 64, V: 64},
		{B: 1, T: 512, Hk: 2, Hv: 2, K: 128, V: 32},
		{B: 2, T: 512, Hk: 1, Hv: 2, K: 32, V: 128},
		{B: 1, T: 512, Hk: 1, Hv: 2, K: 128, V: 128},
	} {
		c.h0, c.dht = true, true
		p := sample(1, c)
		for _, scan := range []Scan{ScanTransition, ScanTwoLevel} {
			for _, v := range []variant{
				{implementation: Chunk, chunk: 16, dtype: tensor.Float32, segment: 32, scan: scan},
				{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 3, scan: scan},
				{implementation: Chunk, chunk: 64, dtype: tensor.Float32, segment: 8, scan: scan},
				{implementation: Chunk, chunk: 128, dtype: tensor.Float32, segment: 4, scan: scan},
			} {
				t.Run(fmt.Sprint(p, "/", v), func(t *testing.T) {
					u := p.usage(t, v)
					segments := (p.T + v.chunk*v.segment - 1) / (v.chunk * v.segment)
					kept := int64((segments - 1) * p.B * p.Hv * p.K * p.V * 4)
					numbers := 13*(v.chunk*max(p.K, p.V)+v.chunk*v.chunk+p.K*p.V) + 4*p.K*p.K
					u.check(t, kept, int64(v.segment*p.B*p.Hv*numbers*4)+int64(1+u.plan.Threads)*u.gradients)
				})
			}
		}
	}
}

// TestScanCosts compares with numbers worked out for one token of 8 key heads and
// 32 value heads.
func TestScanCosts(t *testing.T) {
	for _, c := range []struct {
		opt               Options
		forward, backward float64 // MFLOP
		times             string
	}{
		{Options{ChunkSize: 64}, 4.543829, 13.107200, ""},
		{Options{ChunkSize: 64, Scan: ScanTransition}, 8.213845, 19.398656, "1.8 times"},
		{Options{ChunkSize: 64, Scan: ScanTwoLevel, ScanLength: 2}, 13.456725, 29.884416, "3.0 times"},
		{Options{ChunkSize: 64, Scan: ScanTwoLevel, ScanLength: 4}, 8.213845, 19.398656, "1.8 times"},
		{Options{ChunkSize: 128, Scan: ScanTransition}, 9.262421, 23.068672, "1.5 times"},
		{Options{ChunkSize: 64, Scan: ScanTransition, NoDelta: true}, 2.752512, 7.340032, ""},
	} {
		tape := autograd.NoGrad()
		x := func(heads int) *autograd.Var { return tape.Const(tensor.Zeros(tensor.BFloat16, 1, 256, heads, 128)) }
		c.opt.Segment = 4
		p := Explain(Inputs{Q: x(8), K: x(8), V: x(32)}, c.opt)
		tape.Close()
		for _, x := range []struct{ got, want float64 }{{p.ForwardFLOPs, c.forward}, {p.BackwardFLOPs, c.backward}} {
			if got := x.got / 256 / 1e6; math.Abs(got-x.want) > 1e-6 {
				t.Errorf("%+v: %.6f MFLOP a token, want %.6f", c.opt, got, x.want)
			}
		}
		if !strings.Contains(p.Why[3], c.times) {
			t.Errorf("%+v: %q says nothing of %q", c.opt, p.Why[3], c.times)
		}
	}
}
