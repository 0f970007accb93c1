package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// attentionArray is ScaledDotProductAttention in plain Go; sees says which keys
// a query sees, and bias is added to the scores.
func attentionArray(q, k, v array, scale float64, sees func(b, h, t, s int) bool, bias func(b, h, t, s int) float64) array {
	B, H, T, D := q.shape[0], q.shape[1], q.shape[2], q.shape[3]
	kv, S, V := k.shape[1], k.shape[2], v.shape[3]
	out := array{shape: []int{B, H, T, V}, data: make([]float64, B*H*T*V)}
	each([]int{B, H, T}, func(at []int) {
		b, h, t := at[0], at[1], at[2]
		weights, total, high := make([]float64, S), 0.0, math.Inf(-1)
		for s := range S {
			weights[s] = math.Inf(-1)
			if sees(b, h, t, s) {
				score := bias(b, h, t, s)
				for d := range D {
					score += scale * q.at([]int{b, h, t, d}) * k.at([]int{b, h / (H / kv), s, d})
				}
				weights[s], high = score, max(high, score)
			}
		}
		if math.IsInf(high, -1) {
			return
		}
		for s, w := range weights {
			weights[s] = math.Exp(w - high)
			total += weights[s]
		}
		for s, w := range weights {
			for i := range V {
				out.data[((b*H+h)*T+t)*V+i] += w / total * v.at([]int{b, h / (H / kv), s, i})
			}
		}
	})
	return out
}

func TestScaledDotProductAttention(t *testing.T) {
	type shape struct{ B, H, kv, T, S, D, V int }
	for _, c := range []shape{
		{1, 1, 1, 1, 1, 1, 1}, {2, 2, 2, 5, 5, 4, 4}, {2, 6, 2, 4, 7, 3, 5}, {1, 8, 1, 3, 3, 8, 16},
		{1, 2, 1, 1, 9, 4, 2}, {0, 2, 1, 3, 3, 4, 4}, {2, 2, 2, 0, 3, 4, 4}, {1, 4, 2, 3, 3, 4, 0},
		{1, 4, 2, 70, 70, 16, 8},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			// Query 1 of every batch sees nothing by the mask.
			visible := func(b, h, t, s int) bool { return t != 1 && (b+2*h+3*t+5*s)%4 != 0 }
			added := func(b, h, t, s int) float64 { return float64((b+h+2*t+3*s)%5) / 4 }
			var maskData []bool
			var biasData []float64
			each([]int{c.B, c.H, c.T, c.S}, func(at []int) {
				maskData = append(maskData, visible(at[0], at[1], at[2], at[3]))
				biasData = append(biasData, added(at[0], at[1], at[2], at[3]))
			})
			all := func(b, h, t, s int) bool { return true }
			none := func(b, h, t, s int) float64 { return 0 }
			past := func(sees func(b, h, t, s int) bool) func(b, h, t, s int) bool {
				return func(b, h, t, s int) bool { return s <= t+c.S-c.T && sees(b, h, t, s) }
			}
			mask, bias := FromSlice(maskData, c.B, c.H, c.T, c.S), FromSlice(biasData, c.B, c.H, c.T, c.S)
			for _, way := range []struct {
				name   string
				causal bool
				mask   *Tensor
				sees   func(b, h, t, s int) bool
				bias   func(b, h, t, s int) float64
			}{
				{"plain", false, nil, all, none},
				{"causal", true, nil, past(all), none},
				{"mask", false, mask, visible, none},
				{"causal mask", true, mask, past(visible), none},
				{"bias", false, bias, all, added},
				{"causal bias", true, AsType(bias, Float32), past(all), added},
			} {
				for _, dt := range floatTypes {
					for i, q := range layouts(t, dt, []int{c.B, c.H, c.T, c.D}, wave) {
						gen := func(i int) float64 { return math.Cos(float64(i)*1.3 + 0.4) }
						ks, vs := layouts(t, dt, []int{c.B, c.kv, c.S, c.D}, gen), layouts(t, dt, []int{c.B, c.kv, c.S, c.V}, wave)
						k, v := ks[(i+1)%len(ks)], vs[(i+2)%len(vs)]
						const scale = 0.4
						want := attentionArray(q.ref, k.ref, v.ref, scale, way.sees, way.bias)
						got := ScaledDotProductAttention(q.t, k.t, v.t, scale, way.causal, way.mask)
						if got.Dtype() != dt || !slices.Equal(got.Shape(), want.shape) {
							t.Fatalf("%s: %s %v, want %s %v", way.name, got.Dtype(), got.Shape(), dt, want.shape)
						}
						values := floats(t, got)
						for j := range values {
							if math.Abs(values[j]-want.data[j]) > 8*ulp(dt) { // of weights that sum to 1 and |v| ≤ 1
								t.Fatalf("%s %s, q %s: element %d is %v, want %v", way.name, dt, q.name, j, values[j], want.data[j])
							}
						}
					}
				}
			}
		})
	}
}

// Masks of fewer axes broadcast; a row of them may hide everything.
func TestAttentionMaskBroadcasts(t *testing.T) {
	q, k := Normal(Key(1), 2, 4, 3, 8), Normal(Key(2), 2, 2, 3, 8)
	v := Ones(Float32, 2, 2, 3, 1)
	keys := FromSlice([]bool{true, false, true})
	wantTensor(t, Sum(ScaledDotProductAttention(q, k, v, 1, false, keys), false), Float32, []int{}, 24)
	rows := FromSlice([]bool{true, false}, 2, 1, 1, 1)
	wantTensor(t, Sum(ScaledDotProductAttention(q, k, v, 1, true, rows), false), Float32, []int{}, 12)
	// Of tokens 0 to 2 in causal order, only the first lacks a key that is not hidden.
	first := FromSlice([]bool{false, true, true})
	wantTensor(t, Sum(ScaledDotProductAttention(q, k, v, 1, true, first), false, 0, 1, 3), Float32, []int{3}, 0, 8, 8)
}

func TestAttentionScope(t *testing.T) {
	before := settle()
	s := NewScope()
	q := s.Use(Ones(Float32, 1, 2, 3, 4))
	k := s.Use(Ones(Float32, 1, 1, 3, 4))
	mask := s.Use(Ones(Bool, 3))
	y := ScaledDotProductAttention(q, k, k, 1, true, mask)
	if y.scope != s {
		t.Error("the result is not in the operands' scope")
	}
	s.Close()
	if got := settle(); got != before {
		t.Errorf("%d handles are left, want %d", got, before)
	}
}

func TestAttentionRefuses(t *testing.T) {
	one := func(shape ...int) *Tensor { return Ones(Float32, shape...) }
	q, k, v := one(2, 4, 3, 8), one(2, 2, 3, 8), one(2, 2, 3, 5)
	attend := func(q, k, v *Tensor, causal bool, mask *Tensor) func() {
		return func() { ScaledDotProductAttention(q, k, v, 1, causal, mask) }
	}
	wantPanic(t, attend(one(4, 3, 8), k, v, false, nil), "tensor.ScaledDotProductAttention: want q [B, H, T, D]", "[4 3 8]")
	wantPanic(t, attend(q, AsType(k, Float16), v, false, nil), "one floating-point dtype, got float32, float16 and float32")
	wantPanic(t, attend(AsType(q, Int32), AsType(k, Int32), AsType(v, Int32), false, nil), "one floating-point dtype")
	wantPanic(t, attend(q, one(1, 2, 3, 8), v, false, nil), "must agree in B and D")
	wantPanic(t, attend(q, one(2, 2, 3, 7), v, false, nil), "must agree in B and D")
	wantPanic(t, attend(q, k, one(2, 2, 4, 5), false, nil), "must agree in Hkv and S")
	wantPanic(t, attend(q, one(2, 3, 3, 8), one(2, 3, 3, 5), false, nil), "q has 4 heads, want a multiple of the 3 heads")
	wantPanic(t, attend(q, one(2, 0, 3, 8), one(2, 0, 3, 5), false, nil), "want a multiple of the 0 heads")
	wantPanic(t, attend(q, one(2, 2, 0, 8), one(2, 2, 0, 5), false, nil), "there are no keys")
	wantPanic(t, attend(one(2, 4, 4, 8), k, v, true, nil), "4 queries are more than the 3 keys")
	wantPanic(t, attend(q, k, v, false, one(4, 3)), "the mask doesn't broadcast to [B, H, T, S] = [2 4 3 3]", "[4 3]")
	wantPanic(t, attend(q, k, v, false, one(1, 2, 4, 3, 3)), "the mask doesn't broadcast")
	wantPanic(t, attend(q, k, v, false, Ones(Int32, 3, 3)), "want a mask that is bool or floating-point, got int32")
	wantPanic(t, attend(one(1, 1, 1<<24, 1), one(1, 1, 1<<24, 1), one(1, 1, 1<<24, 1), false, nil), "more than this machine's memory")
	wantPanic(t, attend(q, nil, v, false, nil), "an operand is nil")
}
