// Norms of rows of DK elements. A simdgroup takes ROWS_EACH rows, of plan[0] in all;
// params[0] is ε.

#define ROWS_EACH 16

// A lane has elements lane, lane + 32, … of a row.
#define ROW_SHARE ((DK + 31) / 32)

struct Row {
  float e[MAX_ROW_SHARE];
};

template <typename P>
GD_FN Row load_row(P p, Thread me) {
  Row x;
  GD_UNROLL
  for (int i = 0; i < ROW_SHARE; ++i) x.e[i] = me.lane + 32 * i < DK ? float(p[me.lane + 32 * i]) : 0.0f;
  return x;
}

GD_FN void store_row(GD_REF(Row) x, GD_GLOBAL(Element) p, Thread me) {
  GD_UNROLL
  for (int i = 0; i < ROW_SHARE; ++i)
    if (me.lane + 32 * i < DK) p[me.lane + 32 * i] = Element(x.e[i]);
}

// row_dot returns the dot product of two rows, to all lanes.
GD_FN float row_dot(GD_REF(Row) x, GD_REF(Row) y) {
  float sum = 0;
  GD_UNROLL
  for (int i = 0; i < ROW_SHARE; ++i) sum += x.e[i] * y.e[i];
  return simd_total(sum);
}

GD_FN int first_row(Thread me) { return (me.x * SIMDGROUPS + me.simdgroup) * ROWS_EACH; }

GD_FN int last_row(GD_GLOBAL(const int) plan, Thread me) {
  const int end = first_row(me) + ROWS_EACH;
  return end < plan[0] ? end : plan[0];
}

// l2norm: y = x / √(Σ x² + ε).
GD_FN void l2norm(GD_GLOBAL(const Element) x, GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan,
                  GD_GLOBAL(Element) y, Thread me) {
  for (int r = first_row(me); r < last_row(plan, me); ++r) {
    Row a = load_row(x + long(r) * DK, me);
    const float scale = GD_RSQRT(row_dot(a, a) + params[0]);
    GD_UNROLL
    for (int i = 0; i < ROW_SHARE; ++i) a.e[i] *= scale;
    store_row(a, y + long(r) * DK, me);
  }
}

// l2norm_back: dx = (dy − (dy·y) y) / √(Σ x² + ε).
GD_FN void l2norm_back(GD_GLOBAL(const Element) x, GD_GLOBAL(const Element) dy, GD_GLOBAL(const float) params,
                       GD_GLOBAL(const int) plan, GD_GLOBAL(Element) dx, Thread me) {
  for (int r = first_row(me); r < last_row(plan, me); ++r) {
    Row a = load_row(x + long(r) * DK, me), d = load_row(dy + long(r) * DK, me);
    const float scale = GD_RSQRT(row_dot(a, a) + params[0]);
    const float along = row_dot(a, d) * scale * scale;
    GD_UNROLL
    for (int i = 0; i < ROW_SHARE; ++i) d.e[i] = (d.e[i] - along * a.e[i]) * scale;
    store_row(d, dx + long(r) * DK, me);
  }
}

// gated_norm: y = x / √(mean x² + ε) ∘ w ∘ z σ(z).
GD_FN void gated_norm(GD_GLOBAL(const Element) x, GD_GLOBAL(const float) w, GD_GLOBAL(const Element) z,
                      GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan, GD_GLOBAL(Element) y, Thread me) {
  Row weight = load_row(w, me);
  for (int r = first_row(me); r < last_row(plan, me); ++r) {
    Row a = load_row(x + long(r) * DK, me), gate = load_row(z + long(r) * DK, me);
    const float scale = GD_RSQRT(row_dot(a, a) / DK + params[0]);
    GD_UNROLL
    for (int i = 0; i < ROW_SHARE; ++i) a.e[i] *= scale * weight.e[i] * silu(gate.e[i]);
    store_row(a, y + long(r) * DK, me);
  }
}

// gated_norm_back gives dx and dz, and dw in parts: a row of sums for each
// simdgroup. With n = x / √(mean x² + ε) and d = dy ∘ w ∘ z σ(z),
//
//	dx = (d − n mean(d ∘ n)) / √(mean x² + ε);  dz = dy ∘ n ∘ w ∘ (z σ(z))'
GD_FN void gated_norm_back(GD_GLOBAL(const Element) x, GD_GLOBAL(const float) w, GD_GLOBAL(const Element) z,
                           GD_GLOBAL(const Element) dy, GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan,
                           GD_GLOBAL(Element) dx, GD_GLOBAL(float) dw, GD_GLOBAL(Element) dz, Thread me) {
  Row weight = load_row(w, me), sums;
  GD_UNROLL
  for (int i = 0; i < ROW_SHARE; ++i) sums.e[i] = 0;
  for (int r = first_row(me); r < last_row(plan, me); ++r) {
    Row a = load_row(x + long(r) * DK, me), gate = load_row(z + long(r) * DK, me), d = load_row(dy + long(r) * DK, me);
    const float scale = GD_RSQRT(row_dot(a, a) / DK + params[0]);
    GD_UNROLL
    for (int i = 0; i < ROW_SHARE; ++i) {
      const float open = sigmoid(gate.e[i]), n = a.e[i] * scale, up = d.e[i];
      const float passed = gate.e[i] * open;
      sums.e[i] += up * n * passed;
      d.e[i] = up * weight.e[i] * passed;
      gate.e[i] = up * n * weight.e[i] * open * (1 + gate.e[i] * (1 - open));
      a.e[i] = n;
    }
    store_row(gate, dz + long(r) * DK, me);
    const float along = row_dot(a, d) / DK;
    GD_UNROLL
    for (int i = 0; i < ROW_SHARE; ++i) d.e[i] = (d.e[i] - along * a.e[i]) * scale;
    store_row(d, dx + long(r) * DK, me);
  }
  GD_UNROLL
  for (int i = 0; i < ROW_SHARE; ++i)
    if (me.lane + 32 * i < DK) dw[(me.x * SIMDGROUPS + me.simdgroup) * DK + me.lane + 32 * i] = sums.e[i];
}
