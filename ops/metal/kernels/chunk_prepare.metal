// K1: what a chunk needs that doesn't depend on the state. With G the sums of the
// gates and Γ_ij = exp(G_i − G_j) for i >= j,
//
//	T = (I + A)^-1,  A_ij = β_i Γ_ij k_i·k_j for i > j
//	P_ij = s Γ_ij q_i·k_j for i >= j
//	γ_i = exp(G_i),  ρ_j = exp(G_C − G_j)
//
// and copies of Q and K in float32, padded to whole chunks.
//
// A threadgroup takes one chunk (x) and one key head (y). Its C / 8 simdgroups
// compute 16 rows each of K Kᵀ (even ones) or Q Kᵀ (odd ones), once for the R
// value heads, and then go through these by groups of PREPARE_HEADS.

// Gates below this are as good as −∞: exp gives 0, and sums stay finite.
#define LEAST_GATE -200.0f

// Places in shared memory, for each of PREPARE_HEADS heads: A and then T by rows
// of C + 1, the sums of gates in two parts, β.
#define PREPARE_SQUARE (C * (C + 1))
#define PREPARE_HIGH PREPARE_SQUARE
#define PREPARE_LOW (PREPARE_HIGH + C)
#define PREPARE_BETA (PREPARE_LOW + C)
#define PREPARE_SHARED (PREPARE_BETA + C)

// Heads that fit into shared memory together.
#define PREPARE_HEADS (C == 64 ? 1 : C / 8)

// unit_inverse replaces A (strictly lower, rows of C + 1) by T, of which it also
// writes a copy. A lane solves one column of T, or two, row by row:
//
//	T_ij = δ_ij − Σ_d A_id T_dj,  d < i
GD_FN void unit_inverse(GD_SHARED(float) a, GD_GLOBAL(float) inverse, Thread me) {
  for (int i = 0; i < C; ++i) {
    float x[(C + 31) / 32];
    GD_UNROLL
    for (int m = 0; m < (C + 31) / 32; ++m) {
      const int j = me.lane + 32 * m;
      x[m] = j == i ? 1.0f : 0.0f;
      if (j < C)
        for (int d = 0; d < i; ++d) x[m] -= a[i * (C + 1) + d] * a[d * (C + 1) + j];
    }
    GD_SIMD_BARRIER(); // all lanes have read row i of A
    GD_UNROLL
    for (int m = 0; m < (C + 31) / 32; ++m) {
      const int j = me.lane + 32 * m;
      if (j < C) {
        const float t = j <= i ? x[m] : 0.0f;
        a[i * (C + 1) + j] = t;
        inverse[i * C + j] = t;
      }
    }
  }
}

// decay returns Γ_ij, i >= j, of a head in shared memory.
GD_FN float decay(GD_SHARED(const float) head, int i, int j) {
  return decay_between(head[PREPARE_HIGH + i], head[PREPARE_LOW + i], head[PREPARE_HIGH + j], head[PREPARE_LOW + j]);
}

// keys_until returns the right operand with b(i, j) = p[j * stride + i], and in
// place of columns from limit on the one before them.
GD_FN Right keys_until(GD_GLOBAL(const Element) p, int stride, int limit, Thread me) {
  Right b;
  GD_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int c = GD_RIGHT_TURNED ? me.row : me.column + i, r = GD_RIGHT_TURNED ? me.column + i : me.row;
    b.e[i] = float(p[(c < limit ? c : limit - 1) * stride + r]);
  }
  return b;
}

GD_FN void chunk_prepare(GD_GLOBAL(const Element) q, GD_GLOBAL(const Element) k, GD_GLOBAL(const float) g,
                         GD_GLOBAL(const float) beta, GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan,
                         GD_GLOBAL(float) queries, GD_GLOBAL(float) keys, GD_GLOBAL(float) inverse,
                         GD_GLOBAL(float) scores, GD_GLOBAL(float) gates, GD_SHARED(float) shared, Thread me) {
  const int chunk = me.x, token = chunk_token(plan, chunk), length = chunk_length(plan, chunk);
  const bool querying = me.simdgroup & 1;
  const float scale = params[0], correction = params[1];
  const int strip = (me.simdgroup >> 1) * GD_ROWS;
  const long place = key_at(token, me.y);
  GD_GLOBAL(float) copy = (querying ? queries : keys) + (key_rows_at(chunk, me.y) + strip * DK);

  Mat gram[C / 8];
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) gram[n] = zero_mat();
  for (int x = 0; x < DK; x += GD_STEP) {
    const Mat a = left_rows<false>((querying ? q : k) + (place + strip * HK * DK + x), HK * DK, length - strip, me);
    GD_UNROLL
    for (int i = 0; i < 4; ++i)
      copy[row_of(me, i) * DK + x + column_of(me, i)] = strip + row_of(me, i) < length ? a.e[i] : 0.0f;
    GD_UNROLL
    for (int n = 0; n < C / 8; ++n)
      if (8 * n < strip + GD_ROWS)
        mma(gram[n], a, keys_until(k + (place + 8 * n * HK * DK + x), HK * DK, length - 8 * n, me));
  }

  const int threads = SIMDGROUPS * 32;
  for (int first = 0; first < R; first += PREPARE_HEADS) {
    const int heads = R - first < PREPARE_HEADS ? R - first : PREPARE_HEADS;
    // Each thread sums the gates up to a token, with what rounding loses.
    for (int at = thread_of(me); at < heads * C; at += threads) {
      const int i = rest(at, C), hv = me.y * R + first + at / C;
      GD_SHARED(float) head = shared + at / C * PREPARE_SHARED;
      const int last = i < length ? i : length - 1;
      float high = 0, low = 0;
      GD_UNROLL_LOADS
      for (int r = 0; r <= last; ++r) {
        const float gate = g[long(token + r) * HV + hv];
        const float x = gate < LEAST_GATE ? LEAST_GATE : gate;
        const float sum = high + x, added = sum - high;
        low += (high - (sum - added)) + (x - added);
        high = sum;
      }
      head[PREPARE_HIGH + i] = high;
      head[PREPARE_LOW + i] = low;
      head[PREPARE_BETA + i] = i < length ? beta[long(token + i) * HV + hv] : 0.0f;
    }
    GD_BARRIER();

    for (int at = thread_of(me); at < heads * C; at += threads) {
      const int i = rest(at, C);
      GD_SHARED(const float) head = shared + at / C * PREPARE_SHARED;
      GD_GLOBAL(float) out = gates + gates_at(chunk, me.y * R + first + at / C);
      out[GATE_GAMMA * C + i] = GD_EXP(head[PREPARE_HIGH + i] + head[PREPARE_LOW + i]);
      out[GATE_RHO * C + i] = decay(head, C - 1, i);
      out[GATE_BETA * C + i] = head[PREPARE_BETA + i];
      out[GATE_HIGH * C + i] = head[PREPARE_HIGH + i];
      out[GATE_LOW * C + i] = head[PREPARE_LOW + i];
    }
    for (int p = 0; p < heads; ++p) {
      GD_SHARED(float) head = shared + p * PREPARE_SHARED;
      GD_GLOBAL(float) out = scores + square_at(chunk, me.y * R + first + p);
      GD_UNROLL
      for (int n = 0; n < C / 8; ++n) {
        GD_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int row = strip + row_of(me, i), column = 8 * n + column_of(me, i);
          if (querying)
            out[row * C + column] = row < column ? 0.0f : scale * decay(head, row, column) * gram[n].e[i];
          else
            head[row * (C + 1) + column] =
                row <= column ? 0.0f : correction * head[PREPARE_BETA + row] * decay(head, row, column) * gram[n].e[i];
        }
      }
    }
    GD_BARRIER();

    // The squares alone are in use here, and the next heads write theirs after a barrier.
    for (int p = me.simdgroup; p < heads; p += SIMDGROUPS)
      unit_inverse(shared + p * PREPARE_SHARED, inverse + square_at(chunk, me.y * R + first + p), me);
  }
}
