package autograd_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/deltatape/deltatape/autograd"
	"github.com/deltatape/deltatape/tensor"
)

func randn(seed uint64, shape ...int) *tensor.Tensor {
	return tensor.Normal(tensor.Key(seed), shape...)
}

// dropout multiplies by a random mask.
func dropout(key *tensor.Tensor, x *autograd.Var) *autograd.Var {
	return mul(x, x.Tape().Const(tensor.AsType(tensor.Bernoulli(key, 0.5, x.Shape()...), x.Dtype())))
}

func TestCheckpointIsBitEqual(t *testing.T) {
	w := autograd.NewParam("w", randn(1, 6, 6))
	frozen := autograd.NewParam("frozen", randn(2, 6, 6))
	frozen.SetTrainable(false)
	key := tensor.Key(3)

	type call func(f func(in ...*autograd.Var) []*autograd.Var, in ...*autograd.Var) []*autograd.Var
	plain := func(f func(in ...*autograd.Var) []*autograd.Var, in ...*autograd.Var) []*autograd.Var {
		return f(in...)
	}

	for _, c := range []struct {
		name string
		f    func(wrap call, tape *autograd.Tape, x, y *autograd.Var) *autograd.Var
	}{
		{"argument", func(wrap call, _ *autograd.Tape, x, _ *autograd.Var) *autograd.Var { return wrap(three, x)[0] }},
		{"parameter of the tape", func(wrap call, tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var {
			return wrap(func(in ...*autograd.Var) []*autograd.Var {
				return []*autograd.Var{silu(matmul(silu(matmul(in[0], tape.Param(w))), tape.Param(frozen)))}
			}, x)[0]
		}},
		{"parameter also used outside", func(wrap call, tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var {
			h := wrap(func(in ...*autograd.Var) []*autograd.Var {
				return []*autograd.Var{silu(matmul(in[0], in[0].Tape().Param(w)))}
			}, x)[0]
			return matmul(h, tape.Param(w))
		}},
		{"captured Var", func(wrap call, _ *autograd.Tape, x, y *autograd.Var) *autograd.Var {
			z := silu(y)
			return wrap(func(in ...*autograd.Var) []*autograd.Var { return []*autograd.Var{mul(silu(in[0]), mul(z, z))} }, x)[0]
		}},
		{"argument also captured", func(wrap call, _ *autograd.Tape, x, _ *autograd.Var) *autograd.Var {
			return wrap(func(in ...*autograd.Var) []*autograd.Var { return []*autograd.Var{mul(silu(in[0]), x)} }, x)[0]
		}},
		{"only captured", func(wrap call, tape *autograd.Tape, x, y *autograd.Var) *autograd.Var {
			return mul(y, wrap(func(in ...*autograd.Var) []*autograd.Var { return []*autograd.Var{mul(silu(x), in[0])} }, y.Detach())[0])
		}},
		{"several arguments and results", func(wrap call, _ *autograd.Tape, x, y *autograd.Var) *autograd.Var {
			out := wrap(func(in ...*autograd.Var) []*autograd.Var {
				h := mul(silu(in[0]), in[2])
				return []*autograd.Var{h, silu(h), in[0], in[2].Detach()}
			}, x, nil, y)
			return add(mul(out[0], out[1]), mul(out[2], out[3]))
		}},
		{"one of several results used", func(wrap call, _ *autograd.Tape, x, y *autograd.Var) *autograd.Var {
			return wrap(func(in ...*autograd.Var) []*autograd.Var {
				return []*autograd.Var{silu(in[0]), mul(in[0], in[1])}
			}, x, y)[1]
		}},
		{"random key", func(wrap call, _ *autograd.Tape, x, _ *autograd.Var) *autograd.Var {
			return wrap(func(in ...*autograd.Var) []*autograd.Var {
				keys := tensor.Split(key, 2)
				return []*autograd.Var{dropout(keys[1], silu(dropout(keys[0], in[0])))}
			}, x)[0]
		}},
		{"nested", func(wrap call, tape *autograd.Tape, x, y *autograd.Var) *autograd.Var {
			return wrap(func(in ...*autograd.Var) []*autograd.Var {
				h := mul(in[0], y)
				return wrap(func(in ...*autograd.Var) []*autograd.Var {
					g := silu(mul(mul(in[0], h), y))
					return wrap(func(in ...*autograd.Var) []*autograd.Var {
						return []*autograd.Var{mul(matmul(in[0], tape.Param(w)), h)}
					}, g)
				}, silu(h))
			}, x)[0]
		}},
		{"in a chain", func(wrap call, tape *autograd.Tape, x, _ *autograd.Var) *autograd.Var {
			for range 4 {
				x = wrap(func(in ...*autograd.Var) []*autograd.Var {
					return []*autograd.Var{add(in[0], silu(matmul(in[0], tape.Param(w))))}
				}, x)[0]
			}
			return x
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := func(wrap call) (list [][]float32) {
				tape := autograd.NewTape()
				defer tape.Close()
				x, y := tape.Var(randn(4, 6, 6)), tape.Var(randn(5, 6, 6))
				out := c.f(wrap, tape, x, y)
				grads := backward(t, sum(out))
				for _, v := range []*tensor.Tensor{out.Value(), grads.Of(x), grads.Of(y), grads.OfParam(w), grads.OfParam(frozen)} {
					var data []float32
					if v != nil {
						var err error
						if data, err = tensor.Data[float32](v); err != nil {
							t.Fatal(err)
						}
					}
					list = append(list, data)
				}
				return list
			}
			want, got := run(plain), run(autograd.Checkpoint)
			for i, name := range []string{"value", "x", "y", "w", "frozen"} {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%s: got %v, want %v", name, got[i], want[i])
				}
			}
		})
	}
}

func TestCheckpointResults(t *testing.T) {
	tape, silent := newTape(t), autograd.NoGrad()
	defer silent.Close()
	x := tape.Var(vec(1, 2))
	out := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
		return []*autograd.Var{silu(in[0]), silu(in[0].Detach()), in[0]}
	}, x)
	for i, want := range []bool{true, false, true} {
		if out[i].RequiresGrad() != want {
			t.Errorf("result %d requires a gradient: got %v, want %v", i, !want, want)
		}
	}
	if autograd.Checkpoint(three, x.Detach())[0].RequiresGrad() {
		t.Error("a constant result requires a gradient")
	}
	if autograd.Checkpoint(three, silent.Var(vec(1)))[0].RequiresGrad() {
		t.Error("a result without recording requires a gradient")
	}
	if !tape.Recording() {
		t.Error("the tape no longer records")
	}
}

func TestCheckpointRunsTwice(t *testing.T) {
	tape := newTape(t)
	x := tape.Var(vec(1, 2))
	runs, recording := 0, []bool{}
	y := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
		runs++
		recording = append(recording, tape.Recording())
		return []*autograd.Var{silu(in[0])}
	}, x)[0]
	if runs != 1 {
		t.Errorf("%d runs in the forward pass, want 1", runs)
	}
	backward(t, sum(y))
	if runs != 2 || !slices.Equal(recording, []bool{false, true}) {
		t.Errorf("%d runs, recording %v; want the second one recorded", runs, recording)
	}
}

func TestCheckpointOnRetainedTape(t *testing.T) {
	tape := newTape(t)
	tape.Retain()
	x := tape.Var(vec(1, 2))
	y := sum(autograd.Checkpoint(three, x)[0])
	first := read(t, backward(t, y).Of(x))
	var second []float64
	if got := made(func() { second = read(t, backward(t, y).Of(x)) }); got != 1 {
		t.Errorf("%d handles more, want that of the gradient", got)
	}
	if !slices.Equal(first, second) {
		t.Errorf("got %v, then %v", first, second)
	}
}

func TestCheckpointErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(tape *autograd.Tape, x *autograd.Var) error
		text string
	}{
		{"Var of the inside used outside", func(_ *autograd.Tape, x *autograd.Var) error {
			return tensor.Try(func() {
				var inner *autograd.Var
				autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
					inner = silu(in[0])
					return []*autograd.Var{inner}
				}, x)
				silu(inner)
			})
		}, "made inside a Checkpoint that has ended"},
		{"loss of the inside", func(tape *autograd.Tape, x *autograd.Var) error {
			var inner *autograd.Var
			autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				inner = sum(in[0])
				return []*autograd.Var{inner}
			}, x)
			_, err := tape.Backward(inner)
			return err
		}, "made inside a Checkpoint that has ended"},
		{"backward pass inside", func(tape *autograd.Tape, x *autograd.Var) error {
			var err error
			autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				_, err = tape.Backward(sum(in[0]))
				return in
			}, x)
			return err
		}, "can't start inside a Checkpoint"},
		{"nil result", func(_ *autograd.Tape, x *autograd.Var) error {
			return tensor.Try(func() {
				autograd.Checkpoint(func(...*autograd.Var) []*autograd.Var { return []*autograd.Var{nil} }, x)
			})
		}, "result 0 of the function is nil"},
		{"another number of results", func(tape *autograd.Tape, x *autograd.Var) error {
			n := 0
			y := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				n++
				return slices.Repeat(in, n)
			}, x)[0]
			_, err := tape.Backward(sum(y))
			return err
		}, "backward of autograd.Checkpoint: the function returned 2 results, and 1 in the forward pass"},
		{"another value reached", func(tape *autograd.Tape, x *autograd.Var) error {
			z, again := tape.Var(vec(3, 4)), false
			y := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				if again {
					return []*autograd.Var{mul(in[0], z)}
				}
				again = true
				return []*autograd.Var{mul(in[0], in[0])}
			}, x)[0]
			_, err := tape.Backward(sum(y))
			return err
		}, "it must do the same each time"},
		{"mistake inside", func(tape *autograd.Tape, x *autograd.Var) error {
			y := autograd.Checkpoint(func(in ...*autograd.Var) []*autograd.Var {
				return autograd.Apply(returning(vec(1, 2, 3)), in[0])
			}, x)[0]
			_, err := tape.Backward(sum(y))
			return err
		}, "backward of autograd.Checkpoint: backward of custom: want gradient 0 to be float64 [2]"},
		{"second pass", func(tape *autograd.Tape, x *autograd.Var) error {
			y := sum(autograd.Checkpoint(three, x)[0])
			if _, err := tape.Backward(y); err != nil {
				return nil
			}
			_, err := tape.Backward(y)
			return err
		}, "a second backward pass through"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape(t)
			x := tape.Var(vec(1, 2))
			err := c.run(tape, x)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q in it", err, c.text)
			}
			if !tape.Recording() {
				t.Error("the tape is left inside the Checkpoint")
			}
			if got := read(t, backward(t, sum(mul(x, x))).Of(x)); !slices.Equal(got, []float64{2, 4}) {
				t.Errorf("afterwards: got %v, want [2 4]", got)
			}
		})
	}
}

// With checkpoints the peak grows by one tensor a layer, the operand, and not
// by what a layer computes inside; and since the second run of a layer waits
// for the gradient, only one layer at a time is there in full.
func TestCheckpointPeakMemory(t *testing.T) {
	const n, depth = 1 << 16, 6
	x := randn(1, n)
	if err := tensor.Eval(x); err != nil {
		t.Fatal(err)
	}
	layer := func(in ...*autograd.Var) []*autograd.Var {
		h := in[0]
		for range depth {
			h = silu(h)
		}
		return []*autograd.Var{h}
	}
	peak := func(layers int, checkpoint bool) float64 {
		tape := autograd.NewTape()
		v := tape.Var(x)
		h := v
		for range layers {
			if checkpoint {
				h = autograd.Checkpoint(layer, h)[0]
			} else {
				h = layer(h)[0]
			}
		}
		loss := sum(h)
		dx := backward(t, loss).Of(v)
		tape.Keep(dx, loss.Value())
		tape.Close()
		tensor.ResetPeakMemory()
		before := tensor.Memory().Active
		if err := tensor.Eval(loss.Value(), dx); err != nil {
			t.Fatal(err)
		}
		got := float64(tensor.Memory().Peak-before) / (4 * n)
		tensor.Free(dx, loss.Value())
		return got
	}
	const few, many = 4, 24
	one := peak(1, false)
	start, end := peak(few, true), peak(many, true)
	if growth := (end - start) / (many - few); growth < 0.7 || growth > 1.3 {
		t.Errorf("with checkpoints the peak grows by %.2f tensors a layer, want 1", growth)
	}
	if limit := many + 2*one; end > limit {
		t.Errorf("with checkpoints the peak is %.1f tensors, want at most %.1f: an operand a layer, and at most twice what one layer alone needs", end, limit)
	}
	if growth := (peak(8, false) - peak(few, false)) / (8 - few); growth < depth {
		t.Errorf("without checkpoints the peak grows by %.2f tensors a layer, want %d or more", growth, depth)
	}
}
