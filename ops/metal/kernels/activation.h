// Functions of single numbers that layers have.
GD_FN float sigmoid(float x) { return 1.0f / (1.0f + GD_EXP(-x)); }

GD_FN float silu(float x) { return x * sigmoid(x); }

// softplus returns log(1 + e^x) without a logarithm, in which a small e^x would be
// lost: log(1 + t) = 2 artanh w with w = t / (2 + t), which is at most 1/3 for
// t = e^-|x|, so that seven terms of the series are enough.
GD_FN float softplus(float x) {
  const float t = GD_EXP(x > 0 ? -x : x), w = t / (2.0f + t), u = w * w;
  float series = 1.0f / 13.0f;
  GD_UNROLL
  for (int i = 11; i > 0; i -= 2) series = series * u + 1.0f / i;
  return (x > 0 ? x : 0.0f) + 2.0f * w * series;
}
