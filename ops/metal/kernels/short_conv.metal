// The depthwise causal convolution of width DV over tokens, with SiLU: for a channel
//
//	s_t = Σ_i w_i x_{t−DV+1+i};  y_t = s_t σ(s_t)
//
// with zeros before the first token. Arrays are [B, T, channels], weights
// [channels, DV]; plan has T and the number of channels. A thread takes one channel
// and CONV_TOKENS tokens of a sequence; x counts blocks of tokens, and y blocks of
// channels times sequences.

#define CONV_TOKENS 32

struct Window {
  float e[MAX_WIDTH];
};

// Part is what a thread works on.
struct Part {
  int channel, first, end;
  long row; // place of token 0
  int stride;
};

GD_FN Part conv_part(GD_GLOBAL(const int) plan, Thread me) {
  const int tokens = plan[0], channels = plan[1], width = SIMDGROUPS * 32;
  const int blocks = (channels + width - 1) / width, first = me.x * CONV_TOKENS;
  const int end = first + CONV_TOKENS < tokens ? first + CONV_TOKENS : tokens;
  const int channel = rest(me.y, blocks) * width + thread_of(me);
  return Part{channel, first, channel < channels ? end : first, long(me.y / blocks) * tokens * channels + channel, channels};
}

// conv_sum returns s_t, from the DV inputs up to t.
GD_FN float conv_sum(GD_GLOBAL(const Element) x, GD_REF(Window) w, Part p, int t) {
  float s = 0;
  GD_UNROLL
  for (int i = 0; i < DV; ++i) {
    const int from = t - DV + 1 + i;
    if (from >= 0) s += w.e[i] * float(x[p.row + long(from) * p.stride]);
  }
  return s;
}

GD_FN Window conv_weights(GD_GLOBAL(const float) w, Part p) {
  Window v;
  GD_UNROLL
  for (int i = 0; i < DV; ++i) v.e[i] = p.first < p.end ? w[p.channel * DV + i] : 0.0f;
  return v;
}

GD_FN void short_conv(GD_GLOBAL(const Element) x, GD_GLOBAL(const float) w, GD_GLOBAL(const int) plan,
                      GD_GLOBAL(Element) y, Thread me) {
  const Part p = conv_part(plan, me);
  Window weights = conv_weights(w, p);
  for (int t = p.first; t < p.end; ++t) y[p.row + long(t) * p.stride] = Element(silu(conv_sum(x, weights, p, t)));
}

// short_conv_back gives dx, and dw in parts: [sequences, blocks of tokens, channels,
// DV]. With ds_t = dy_t (s σ(s))' at s_t, dx_t = Σ_i w_i ds_{t+DV−1−i}.
GD_FN void short_conv_back(GD_GLOBAL(const Element) x, GD_GLOBAL(const float) w, GD_GLOBAL(const Element) dy,
                           GD_GLOBAL(const int) plan, GD_GLOBAL(Element) dx, GD_GLOBAL(float) dw, Thread me) {
  const Part p = conv_part(plan, me);
  Window weights = conv_weights(w, p), sums, later;
  GD_UNROLL
  for (int i = 0; i < DV; ++i) sums.e[i] = later.e[i] = 0;
  // From the last token whose ds these tokens need; later.e[i] is ds_{t+i}.
  for (int t = p.end + DV - 2; t >= p.first && p.first < p.end; --t) {
    Window moved; // in place it would be a memmove to compilers, which takes memory
    moved.e[0] = 0;
    GD_UNROLL
    for (int i = 1; i < DV; ++i) moved.e[i] = later.e[i - 1];
    later = moved;
    if (t < plan[0]) {
      const float s = conv_sum(x, weights, p, t), open = sigmoid(s);
      later.e[0] = float(dy[p.row + long(t) * p.stride]) * open * (1 + s * (1 - open));
    }
    if (t < p.end) {
      float sum = 0;
      GD_UNROLL
      for (int i = 0; i < DV; ++i) {
        sum += weights.e[i] * later.e[DV - 1 - i];
        const int from = t - DV + 1 + i;
        if (from >= 0) sums.e[i] += later.e[0] * float(x[p.row + long(from) * p.stride]);
      }
      dx[p.row + long(t) * p.stride] = Element(sum);
    }
  }
  if (p.first < p.end) {
    const int tokens = plan[0], blocks = (tokens + CONV_TOKENS - 1) / CONV_TOKENS;
    const long sequence = p.row / (long(tokens) * p.stride);
    GD_UNROLL
    for (int i = 0; i < DV; ++i) dw[((sequence * blocks + me.x) * p.stride + p.channel) * DV + i] = sums.e[i];
  }
}
