// What a layer does between its projections, for the next token of B sequences: for
// value head h of a sequence and its key head,
//
//	q, k, v = SiLU(Σ_i taps_i x_i), over the last W inputs of each channel
//	q, k = q / √(Σ q² + ε), k / √(Σ k² + ε)
//	S' = e^g S + k dᵀ;  d = β (v − e^g Sᵀk);  g = −exp(A_log) softplus(a + dt_bias);  β = σ(b)
//	o = s S'ᵀq = s (e^g Sᵀq + (k·q) d)
//	y = o / √(mean o² + ε) ∘ weight ∘ z σ(z)
//
// By the second form of o, S is read once and its sums are waited for once. Arrays:
//
//	inputs [B, channels], past [B, W − 1, channels]   of the convolution; taps [channels, W]
//	a, b [B, HV]; a_log, dt_bias [HV]; z, y [B, HV, DV]; weight [DV]; state, after [B, HV, DK, DV]
//
// Channels are those of all q, then of all k, then of all v. `later` is the past of
// the next token; with W = 1 it holds the input, for no output to be empty. params
// are s and the ε of both norms, plan has W.
//
// A threadgroup takes a sequence (x) and a value head (y), a simdgroup 32 columns of
// the state and a quarter of its rows, which a thread keeps in registers.

#define DECODE_QUARTERS 4
#define DECODE_ROWS (DK / DECODE_QUARTERS)

struct StateRows {
  float e[MAX_DK / DECODE_QUARTERS];
};

GD_FN int decode_channels() { return 2 * HK * DK + HV * DV; }

// decode_channel returns the channel of element `at` of a head's q, k and v together.
GD_FN int decode_channel(int head, int at) {
  if (at < DK) return head / R * DK + at;
  if (at < 2 * DK) return (HK + head / R - 1) * DK + at;
  return 2 * HK * DK + head * DV + at - 2 * DK;
}

// decode_convolve returns a channel's convolution, and moves its past on if `moves`.
GD_FN float decode_convolve(GD_GLOBAL(const Element) inputs, GD_GLOBAL(const Element) past, GD_GLOBAL(const float) taps,
                            GD_GLOBAL(Element) later, int width, int sequence, int channel, bool moves) {
  const int channels = decode_channels(), kept = width > 1 ? width - 1 : 1;
  float sum = 0;
  for (int i = 0; i < width; ++i) {
    const float x = float(i < width - 1 ? past[(long(sequence) * (width - 1) + i) * channels + channel]
                                        : inputs[long(sequence) * channels + channel]);
    sum += taps[channel * width + i] * x;
    const int to = i + kept - width;
    if (moves && to >= 0) later[(long(sequence) * kept + to) * channels + channel] = Element(x);
  }
  return sum;
}

GD_FN void decode(GD_GLOBAL(const Element) inputs, GD_GLOBAL(const Element) past, GD_GLOBAL(const float) taps,
                  GD_GLOBAL(const Element) a, GD_GLOBAL(const Element) b, GD_GLOBAL(const float) a_log,
                  GD_GLOBAL(const float) dt_bias, GD_GLOBAL(const Element) z, GD_GLOBAL(const float) weight,
                  GD_GLOBAL(const float) state, GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan,
                  GD_GLOBAL(Element) y, GD_GLOBAL(Element) later, GD_GLOBAL(float) after, GD_SHARED(float) shared,
                  Thread me) {
  const int wide = SIMDGROUPS / DECODE_QUARTERS, threads = SIMDGROUPS * 32, head = me.y;
  const int quarter = me.simdgroup / wide, across = rest(me.simdgroup, wide) * 32 + me.lane;
  const long place = long(me.x) * HV + head;
  GD_SHARED(float) q = shared;
  GD_SHARED(float) k = shared + DK;
  GD_SHARED(float) v = shared + 2 * DK;
  GD_SHARED(float) o = shared + (2 * DK + DV);
  GD_SHARED(float) sums = shared + (2 * DK + 2 * DV);

  // The first value head of a group moves the channels that the group shares.
  for (int at = thread_of(me); at < 2 * DK + DV; at += threads)
    shared[at] = silu(decode_convolve(inputs, past, taps, later, plan[0], me.x, decode_channel(head, at),
                                      at >= 2 * DK || rest(head, R) == 0));
  GD_BARRIER();

  float qq = 0, kk = 0, kq = 0;
  for (int i = me.lane; i < DK; i += 32) {
    qq += q[i] * q[i];
    kk += k[i] * k[i];
    kq += k[i] * q[i];
  }
  const float q_scale = GD_RSQRT(simd_total(qq) + params[1]) * params[0];
  const float k_scale = GD_RSQRT(simd_total(kk) + params[1]);
  const float along = simd_total(kq) * q_scale * k_scale;
  const float decayed = GD_EXP(-GD_EXP(a_log[head]) * softplus(float(a[place]) + dt_bias[head]));
  const float beta = sigmoid(float(b[place]));

  for (int first = 0; first < DV; first += 32 * wide) {
    const int column = first + across;
    const bool mine = column < DV;
    const long corner = (place * DK + quarter * DECODE_ROWS) * DV + column;
    StateRows s;
    float held = 0, seen = 0;
    GD_UNROLL
    for (int i = 0; i < DECODE_ROWS; ++i) {
      s.e[i] = mine ? state[corner + i * DV] : 0.0f;
      held += k[quarter * DECODE_ROWS + i] * s.e[i];
      seen += q[quarter * DECODE_ROWS + i] * s.e[i];
    }
    sums[quarter * 32 * wide + across] = held;
    sums[(DECODE_QUARTERS + quarter) * 32 * wide + across] = seen;
    GD_BARRIER();
    held = seen = 0;
    for (int i = 0; i < DECODE_QUARTERS; ++i) {
      held += sums[i * 32 * wide + across];
      seen += sums[(DECODE_QUARTERS + i) * 32 * wide + across];
    }
    if (mine) {
      const float d = beta * (v[column] - decayed * k_scale * held);
      GD_UNROLL
      for (int i = 0; i < DECODE_ROWS; ++i)
        after[corner + i * DV] = decayed * s.e[i] + k[quarter * DECODE_ROWS + i] * (k_scale * d);
      if (quarter == 0) o[column] = decayed * q_scale * seen + along * d;
    }
    GD_BARRIER(); // the sums have been read, and o is there
  }

  float squares = 0;
  for (int i = me.lane; i < DV; i += 32) squares += o[i] * o[i];
  const float scale = GD_RSQRT(simd_total(squares) / DV + params[2]);
  for (int i = thread_of(me); i < DV; i += threads)
    y[place * DV + i] = Element(o[i] * scale * weight[i] * silu(float(z[place * DV + i])));
}
