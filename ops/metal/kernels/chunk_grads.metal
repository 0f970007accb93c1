// K4: the gradients inside chunks, and those that go through the states at their
// borders. With S the state at the chunk's start and dS the gradient of that at
// its end, for each value head
//
//	D = s Γ∘tril(dO Vnᵀ);  N = −β_i Γ_ij (dB Vnᵀ)_ij for i > j;  X = −dB Sᵀ
//	dQ += s γ∘(dO Sᵀ) + D K
//	dK += ρ∘(Vn dSᵀ) + Dᵀ Q + βγ∘X + N K + Nᵀ K
//	dβ_i = dB_i·v_i + γ_i X_i·k_i + Σ_j N_ij k_i·k_j / β_i
//
// and, with Z_ij = D_ij q_i·k_j + N_ij k_i·k_j for i > j,
//
//	dg_i = γ_C <S, dS> + Σ_{r≥i} (s γ_r q_r·(dO Sᵀ)_r + β_r γ_r X_r·k_r)
//	       + Σ_{c<i} ρ_c k_c·(Vn dSᵀ)_c + Σ_{r≥i>c} Z_rc
//
// A threadgroup takes one chunk (x) and one key head (y), and adds up dQ and dK
// over the R value heads in registers: a simdgroup owns GRADS_TILES * 8 of their
// columns. The C x C matrices are shared: their tiles of 16 x 8 are dealt to the
// simdgroups in turn.

#define GRADS_STRIPS (C / 16)
#define GRADS_TILES (C == 64 ? 1 : 2)
#define GRADS_SQUARES (GRADS_STRIPS * C / 8)
#define GRADS_SHARE ((GRADS_SQUARES + SIMDGROUPS - 1) / SIMDGROUPS)

// Whether all simdgroups own as many columns.
#define GRADS_WHOLE (DK == 8 * GRADS_TILES * SIMDGROUPS)

// Places in shared memory: a C x C matrix by rows of C + 4, or before it the dot
// products of each simdgroup; sums over its rows by tile; and numbers by token.
#define GRADS_PITCH (C + 4)
#define GRADS_AREA (3 * SIMDGROUPS * C > C * GRADS_PITCH ? 3 * SIMDGROUPS * C : C * GRADS_PITCH)
#define GRADS_ROWSUM GRADS_AREA
#define GRADS_PAST (GRADS_ROWSUM + C / 8 * C)
#define GRADS_FUTURE (GRADS_PAST + C)
#define GRADS_DBETA (GRADS_FUTURE + C)
#define GRADS_SUM (GRADS_DBETA + C)
#define GRADS_THROUGH (GRADS_SUM + C)
#define GRADS_SHARED (GRADS_THROUGH + SIMDGROUPS)

// Columns are those of dQ and dK that a simdgroup owns.
struct Columns {
  Mat m[GRADS_STRIPS * GRADS_TILES];
};

// Squares are the C x C tiles that a simdgroup owns.
struct Squares {
  Mat m[MAX_GRADS_SHARE];
};

// square_strip and square_column are the first row and column of tile n of a
// simdgroup; there is none if the row is C.
GD_FN int square_strip(int n, Thread me) { return (n * SIMDGROUPS + me.simdgroup) / (C / 8) * GD_ROWS; }
GD_FN int square_column(int n, Thread me) { return rest(n * SIMDGROUPS + me.simdgroup, C / 8) * 8; }

// gram returns the tiles of X Yᵀ on and below the diagonal, for rows x, which lie
// `stride` apart, and rows y of `width` elements.
template <bool even, typename P>
GD_FN Squares gram(P x, int stride, int length, GD_GLOBAL(const float) y, int width, Thread me) {
  Squares z;
  GD_UNROLL
  for (int n = 0; n < GRADS_SHARE; ++n) {
    const int strip = square_strip(n, me), column = square_column(n, me);
    z.m[n] = zero_mat();
    if (strip < C && column < strip + GD_ROWS) {
      GD_UNROLL_LOADS
      for (int w = 0; w < width; w += GD_STEP)
        mma(z.m[n], left_rows<even>(x + (strip * stride + w), stride, length - strip, me),
            right_columns<true>(y + (column * width + w), width, me));
    }
  }
  return z;
}

// store_squares writes a simdgroup's tiles to the shared matrix.
GD_FN void store_squares(GD_REF(Squares) z, GD_SHARED(float) matrix, Thread me) {
  GD_UNROLL
  for (int n = 0; n < GRADS_SHARE; ++n) {
    const int strip = square_strip(n, me), column = square_column(n, me);
    if (strip < C) {
      GD_UNROLL
      for (int i = 0; i < 4; ++i)
        matrix[(strip + row_of(me, i)) * GRADS_PITCH + column + column_of(me, i)] = z.m[n].e[i];
    }
  }
}

// scale_squares multiplies the tiles by Γ and f, with zeros above the diagonal.
GD_FN void scale_squares(GD_REF(Squares) z, GD_GLOBAL(const float) gate, float f, Thread me) {
  GD_UNROLL
  for (int n = 0; n < GRADS_SHARE; ++n) {
    const int strip = square_strip(n, me);
    if (strip < C) {
      GD_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int r = strip + row_of(me, i), c = square_column(n, me) + column_of(me, i);
        const float decayed = r < c ? 0.0f
                                    : decay_between(gate[GATE_HIGH * C + r], gate[GATE_LOW * C + r],
                                                    gate[GATE_HIGH * C + c], gate[GATE_LOW * C + c]);
        z.m[n].e[i] *= f * decayed;
      }
    }
  }
}

// add_product adds M X to the columns of a simdgroup, of which the first is that
// of x, for the shared lower triangular matrix M, or with `turned` Mᵀ X.
template <bool turned>
GD_FN void add_product(GD_REF(Columns) y, GD_SHARED(const float) matrix, GD_GLOBAL(const float) x, int width,
                       Thread me) {
  GD_UNROLL
  for (int s = 0; s < GRADS_STRIPS; ++s) {
    GD_UNROLL
    for (int m = 0; m < C / 8; ++m) {
      if (turned ? 8 * m + 8 > s * GD_ROWS : 8 * m < s * GD_ROWS + GD_ROWS) {
        Mat a;
        if (turned)
          a = left_columns(matrix + (8 * m * GRADS_PITCH + s * GD_ROWS), GRADS_PITCH, GD_ROWS, 8, me);
        else
          a = left_rows<false>(matrix + (s * GD_ROWS * GRADS_PITCH + 8 * m), GRADS_PITCH, GD_ROWS, me);
        GD_UNROLL
        for (int n = 0; n < GRADS_TILES; ++n)
          if (GRADS_WHOLE || 8 * n < width)
            mma(y.m[s * GRADS_TILES + n], a, right_rows<true>(x + (8 * m * DK + 8 * n), DK, me));
      }
    }
  }
}

GD_FN void store_columns(GD_REF(Columns) y, GD_GLOBAL(Element) out, int width, int length, Thread me) {
  GD_UNROLL
  for (int s = 0; s < GRADS_STRIPS; ++s) {
    GD_UNROLL
    for (int n = 0; n < GRADS_TILES; ++n) {
      GD_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int row = s * GD_ROWS + row_of(me, i);
        if (row < length && 8 * n < width)
          out[row * HK * DK + 8 * n + column_of(me, i)] = Element(y.m[s * GRADS_TILES + n].e[i]);
      }
    }
  }
}

GD_FN Columns zero_columns() {
  Columns y;
  GD_UNROLL
  for (int n = 0; n < GRADS_STRIPS * GRADS_TILES; ++n) y.m[n] = zero_mat();
  return y;
}

GD_FN void chunk_grads(GD_GLOBAL(const float) queries, GD_GLOBAL(const float) keys, GD_GLOBAL(const Element) v,
                       GD_GLOBAL(const Element) dout, GD_GLOBAL(const float) written, GD_GLOBAL(const float) dbound,
                       GD_GLOBAL(const float) states, GD_GLOBAL(const float) dstates, GD_GLOBAL(const float) gates,
                       GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan, GD_GLOBAL(Element) dq,
                       GD_GLOBAL(Element) dk, GD_GLOBAL(float) dg, GD_GLOBAL(float) dbeta, GD_SHARED(float) shared,
                       Thread me) {
  const int chunk = me.x, token = chunk_token(plan, chunk), length = chunk_length(plan, chunk);
  const int local_token = token - plan[0];
  const int first = me.simdgroup * GRADS_TILES * 8, width = DK - first;
  const int threads = SIMDGROUPS * 32;
  GD_GLOBAL(const float) q = queries + key_rows_at(chunk, me.y);
  GD_GLOBAL(const float) k = keys + key_rows_at(chunk, me.y);

  Squares qk = gram<true>(q, DK, C, k, DK, me);
  Squares kk = gram<true>(k, DK, C, k, DK, me);
  Columns sum_q = zero_columns(), sum_k = zero_columns();

  for (int hv = me.y * R; hv < me.y * R + R; ++hv) {
    GD_GLOBAL(const float) gate = gates + gates_at(chunk, hv);
    GD_GLOBAL(const Element) d_o = dout + value_at(token, hv);
    GD_GLOBAL(const float) vn = written + value_rows_at(chunk, hv);
    GD_GLOBAL(const float) db = dbound + value_rows_at(chunk, hv);
    GD_GLOBAL(const float) start = states + state_at(chunk, hv);
    GD_GLOBAL(const float) d_end = dstates + state_at(chunk, hv);

    // Through the states: dO Sᵀ, dB Sᵀ and Vn dSᵀ.
    Columns y = zero_columns(), x = zero_columns(), z = zero_columns();
    float through = 0;
    GD_UNROLL_WIDE
    for (int w = 0; w < DV; w += GD_STEP) {
      Right s[GRADS_TILES], d[GRADS_TILES];
      GD_UNROLL
      for (int n = 0; n < GRADS_TILES; ++n) {
        if (GRADS_WHOLE || 8 * n < width) {
          s[n] = right_rows<true>(start + (w * DK + first + 8 * n), DK, me);
          d[n] = right_rows<true>(d_end + (w * DK + first + 8 * n), DK, me);
        } else {
          s[n] = d[n] = Right{{0, 0}};
        }
        through += s[n].e[0] * d[n].e[0] + s[n].e[1] * d[n].e[1];
      }
      GD_UNROLL
      for (int t = 0; t < GRADS_STRIPS; ++t) {
        const int strip = t * GD_ROWS;
        const Mat ao = left_rows<false>(d_o + (strip * HV * DV + w), HV * DV, length - strip, me);
        const Mat ab = left_rows<true>(db + (strip * DV + w), DV, C, me);
        const Mat aw = left_rows<true>(vn + (strip * DV + w), DV, C, me);
        GD_UNROLL
        for (int n = 0; n < GRADS_TILES; ++n) {
          mma(y.m[t * GRADS_TILES + n], ao, s[n]);
          mma(x.m[t * GRADS_TILES + n], ab, s[n]);
          mma(z.m[t * GRADS_TILES + n], aw, d[n]);
        }
      }
    }
    through = simd_total(through);
    if (me.lane == 0) shared[GRADS_THROUGH + me.simdgroup] = through;
    GD_UNROLL
    for (int t = 0; t < GRADS_STRIPS; ++t) {
      Rows past = Rows{{0, 0}}, bound = Rows{{0, 0}}, future = Rows{{0, 0}};
      GD_UNROLL
      for (int n = 0; n < GRADS_TILES; ++n) {
        GD_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int row = t * GD_ROWS + row_of(me, i), at = t * GRADS_TILES + n;
          if (GRADS_WHOLE || 8 * n < width) {
            const int place = row * DK + first + 8 * n + column_of(me, i);
            const float key = k[place], gamma = gate[GATE_GAMMA * C + row];
            const float yq = params[0] * gamma * y.m[at].e[i];
            const float xb = -params[1] * x.m[at].e[i];
            const float zk = gate[GATE_RHO * C + row] * z.m[at].e[i];
            sum_q.m[at].e[i] += yq;
            sum_k.m[at].e[i] += gate[GATE_BETA * C + row] * gamma * xb + zk;
            past.e[i >> 1] += q[place] * yq;
            bound.e[i >> 1] += key * xb;
            future.e[i >> 1] += key * zk;
          }
        }
      }
      past = row_sums(past);
      bound = row_sums(bound);
      future = row_sums(future);
      if (me.column == 0) {
        GD_UNROLL
        for (int i = 0; i < 2; ++i) {
          const int row = t * GD_ROWS + row_of(me, 2 * i);
          shared[(0 * SIMDGROUPS + me.simdgroup) * C + row] = past.e[i];
          shared[(1 * SIMDGROUPS + me.simdgroup) * C + row] = bound.e[i];
          shared[(2 * SIMDGROUPS + me.simdgroup) * C + row] = future.e[i];
        }
      }
    }
    for (int row = me.simdgroup; row < length; row += SIMDGROUPS) {
      float dot = 0;
      for (int w = me.lane; w < DV; w += 32) dot += db[row * DV + w] * float(v[value_at(token + row, hv) + w]);
      dot = simd_total(dot);
      if (me.lane == 0) shared[GRADS_SUM + row] = dot;
    }
    GD_BARRIER();
    for (int row = thread_of(me); row < C; row += threads) {
      float past = 0, bound = 0, future = 0;
      for (int s = 0; s < SIMDGROUPS; ++s) {
        past += shared[(0 * SIMDGROUPS + s) * C + row];
        bound += shared[(1 * SIMDGROUPS + s) * C + row];
        future += shared[(2 * SIMDGROUPS + s) * C + row];
      }
      bound *= gate[GATE_GAMMA * C + row];
      shared[GRADS_PAST + row] = past + gate[GATE_BETA * C + row] * bound;
      shared[GRADS_FUTURE + row] = future;
      shared[GRADS_DBETA + row] = row < length ? shared[GRADS_SUM + row] + bound : 0.0f;
    }
    GD_BARRIER();

    // Within the chunk: D, then N, then Z in the shared matrix.
    Squares inner = gram<false>(d_o, HV * DV, length, vn, DV, me);
    scale_squares(inner, gate, params[0], me);
    store_squares(inner, shared, me);
    Squares pairs;
    GD_UNROLL
    for (int n = 0; n < GRADS_SHARE; ++n) {
      GD_UNROLL
      for (int i = 0; i < 4; ++i) pairs.m[n].e[i] = inner.m[n].e[i] * qk.m[n].e[i];
    }
    GD_BARRIER();
    add_product<false>(sum_q, shared, k + first, width, me);
    add_product<true>(sum_k, shared, q + first, width, me);
    GD_BARRIER();

    inner = gram<true>(db, DV, C, vn, DV, me);
    scale_squares(inner, gate, -params[1], me);
    GD_UNROLL
    for (int n = 0; n < GRADS_SHARE; ++n) {
      const int strip = square_strip(n, me), column = square_column(n, me);
      if (strip < C) {
        Rows rows = Rows{{0, 0}};
        GD_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int r = strip + row_of(me, i), c = column + column_of(me, i);
          if (r <= c) {
            inner.m[n].e[i] = 0;
            pairs.m[n].e[i] = 0;
          }
          const float m = inner.m[n].e[i], beta_r = gate[GATE_BETA * C + r];
          rows.e[i >> 1] += m * kk.m[n].e[i];
          inner.m[n].e[i] = beta_r * m;
          pairs.m[n].e[i] += beta_r * m * kk.m[n].e[i];
        }
        rows = row_sums(rows);
        if (me.column == 0) {
          GD_UNROLL
          for (int i = 0; i < 2; ++i) shared[GRADS_ROWSUM + column / 8 * C + strip + row_of(me, 2 * i)] = rows.e[i];
        }
      }
    }
    store_squares(inner, shared, me);
    GD_BARRIER();
    add_product<false>(sum_k, shared, k + first, width, me);
    add_product<true>(sum_k, shared, k + first, width, me);
    GD_BARRIER();

    store_squares(pairs, shared, me);
    GD_BARRIER();
    for (int c = thread_of(me); c < C; c += threads) {
      float below = 0; // of which those from the diagonal up are not read
      GD_UNROLL_LOADS
      for (int r = C - 1; r >= 0; --r) {
        below += shared[r * GRADS_PITCH + c];
        shared[r * GRADS_PITCH + c] = below;
      }
    }
    GD_BARRIER();
    for (int i = thread_of(me); i < length; i += threads) {
      float crossing = 0, sum_beta = shared[GRADS_DBETA + i], later = 0, before = 0, all = 0;
      for (int c = 0; c < i; ++c) {
        crossing += shared[i * GRADS_PITCH + c];
        before += shared[GRADS_FUTURE + c];
      }
      for (int r = C - 1; r >= i; --r) later += shared[GRADS_PAST + r];
      for (int n = 0; n < C / 8; ++n) sum_beta += shared[GRADS_ROWSUM + n * C + i];
      for (int s = 0; s < SIMDGROUPS; ++s) all += shared[GRADS_THROUGH + s];
      const long place = long(local_token + i) * HV + hv;
      dg[place] = gate[GATE_GAMMA * C + C - 1] * all + later + before + crossing;
      dbeta[place] = sum_beta;
    }
    GD_BARRIER();
  }
  store_columns(sum_q, dq + (key_at(local_token, me.y) + first), width, length, me);
  store_columns(sum_k, dk + (key_at(local_token, me.y) + first), width, length, me);
}
