// K2: the scan over chunks. With S the state at a chunk's start,
//
//	E = β∘(V − γ∘(K S));  Vn = T E;  O = s γ∘(Q S) + P Vn;  S ← γ_C S + Kᵀ (ρ∘Vn)
//
// Columns of the state don't depend on each other. A simdgroup takes 16 of them
// for one run (x) and value head through all chunks: it holds them transposed, as
// 16 rows, so that every product has on its left what the simdgroup has, and on
// its right what lies in memory. There is nothing to share and no barrier. Loops
// over key elements load for GD_AHEAD steps before they compute: a simdgroup has
// too little company on a GPU for others to work while it waits.
// y counts value heads times blocks of SIMDGROUPS * 16 columns.

using State = Held<MAX_DK / 8>; // Sᵀ: a row per value, a column per key element

struct Tokens {
  Mat m[C / 8]; // a row per value, a column per token
};

// Place is the part of the work that a simdgroup does.
struct Place {
  int head;   // value head
  int column; // first column of the state
  int limit;  // number of columns left from there
};

GD_FN Place scan_place(Thread me) {
  const int blocks = (DV + 16 * SIMDGROUPS - 1) / (16 * SIMDGROUPS);
  const int column = (rest(me.y, blocks) * SIMDGROUPS + me.simdgroup) * GD_ROWS;
  return Place{me.y / blocks, column, DV - column};
}

// load_state and store_state use states [DK, DV]; save_state [DV, DK].
GD_FN State load_state(GD_GLOBAL(const float) h, Place at, Thread me) {
  State s = new_held<MAX_DK / 8>(me);
  GD_UNROLL_HELD
  for (int m = 0; m < DK / 8; ++m) hold(s, m, left_columns(h + (8 * m * DV + at.column), DV, at.limit, 8, me));
  return s;
}

GD_FN void store_state(GD_REF(State) s, GD_GLOBAL(float) h, Place at, Thread me) {
  GD_UNROLL_HELD
  for (int m = 0; m < DK / 8; ++m) {
    const Mat x = held(s, m);
    GD_UNROLL
    for (int i = 0; i < 4; ++i)
      if (row_of(me, i) < at.limit) h[(8 * m + column_of(me, i)) * DV + at.column + row_of(me, i)] = x.e[i];
  }
}

GD_FN void save_state(GD_REF(State) s, GD_GLOBAL(float) h, Place at, Thread me) {
  GD_UNROLL_HELD
  for (int m = 0; m < DK / 8; ++m) {
    const Mat x = held(s, m);
    GD_UNROLL
    for (int i = 0; i < 4; ++i)
      if (row_of(me, i) < at.limit) h[(at.column + row_of(me, i)) * DK + 8 * m + column_of(me, i)] = x.e[i];
  }
}

// Stream has the right operands of the next steps of a loop over key elements, 8 of
// them a step, for all tokens: of rows x, queries or keys, or `turned` of xᵀ.
struct Stream {
  Right b[GD_AHEAD][C / 8];
};

template <bool turned>
GD_FN void read_step(GD_REF(Stream) b, int place, GD_GLOBAL(const float) x, int step, Thread me) {
  if (step >= DK / 8) return;
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    GD_GLOBAL(const float) p = x + (8 * n * DK + 8 * step);
    b.b[place][n] = turned ? right_columns<true>(p, DK, me) : right_rows<true>(p, DK, me);
  }
}

template <bool turned>
GD_FN Stream read_first(GD_GLOBAL(const float) x, Thread me) {
  Stream b;
  GD_UNROLL
  for (int i = 0; i < GD_AHEAD; ++i) read_step<turned>(b, i, x, i, me);
  return b;
}

// times_keys returns (X S)ᵀ for rows x, queries or keys.
GD_FN Tokens times_keys(GD_REF(State) s, GD_GLOBAL(const float) x, Thread me) {
  Tokens u;
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) u.m[n] = zero_mat();
  Stream b = read_first<true>(x, me);
  GD_STEP_HELD
  for (int first = 0; first < DK / 8; first += GD_AHEAD) {
    GD_UNROLL
    for (int i = 0; i < GD_AHEAD; ++i) {
      if (first + i < DK / 8) {
        const Mat a = held(s, first + i);
        GD_UNROLL
        for (int n = 0; n < C / 8; ++n) mma(u.m[n], a, b.b[i][n]);
        read_step<true>(b, i, x, first + i + GD_AHEAD, me);
      }
    }
  }
  return u;
}

// scale_tokens multiplies the columns by f times one of the gates.
GD_FN void scale_tokens(GD_REF(Tokens) u, GD_GLOBAL(const float) gate, float f, Thread me) {
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    GD_UNROLL
    for (int i = 0; i < 4; ++i) u.m[n].e[i] *= f * gate[8 * n + column_of(me, i)];
  }
}

// add_lower adds (M X)ᵀ for Xᵀ = w and a lower triangular matrix.
GD_FN void add_lower(GD_REF(Tokens) u, GD_REF(Tokens) w, GD_GLOBAL(const float) matrix, Thread me) {
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    GD_UNROLL
    for (int m = 0; m <= n; ++m) mma(u.m[n], w.m[m], right_columns<true>(matrix + (8 * n * C + 8 * m), C, me));
  }
}

// add_keys multiplies the state by f and adds (Kᵀ X)ᵀ for Xᵀ = w, for rows x, queries
// or keys.
GD_FN void add_keys(GD_REF(State) s, float f, GD_REF(Tokens) w, GD_GLOBAL(const float) x, Thread me) {
  Stream b = read_first<false>(x, me);
  GD_STEP_HELD
  for (int first = 0; first < DK / 8; first += GD_AHEAD) {
    GD_UNROLL
    for (int i = 0; i < GD_AHEAD; ++i) {
      if (first + i < DK / 8) {
        Mat c = held(s, first + i);
        GD_UNROLL
        for (int e = 0; e < 4; ++e) c.e[e] *= f;
        GD_UNROLL
        for (int n = 0; n < C / 8; ++n) mma(c, w.m[n], b.b[i][n]);
        hold(s, first + i, c);
        read_step<false>(b, i, x, first + i + GD_AHEAD, me);
      }
    }
  }
}

// write_values returns Vnᵀ of a chunk: v begins with its first token.
GD_FN Tokens write_values(GD_REF(State) s, GD_GLOBAL(const float) keys, GD_GLOBAL(const Element) v,
                          GD_GLOBAL(const float) inverse, GD_GLOBAL(const float) gates, float correction, int length,
                          Place at, Thread me) {
  Tokens e = times_keys(s, keys, me);
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    const Mat x = left_columns(v + (8 * n * HV * DV + at.column), HV * DV, at.limit, length - 8 * n, me);
    GD_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int t = 8 * n + column_of(me, i);
      e.m[n].e[i] = gates[GATE_BETA * C + t] * (x.e[i] - correction * gates[GATE_GAMMA * C + t] * e.m[n].e[i]);
    }
  }
  Tokens w;
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) w.m[n] = zero_mat();
  add_lower(w, e, inverse, me);
  return w;
}

// store_tokens writes columns [length, DV], rows of stride HV * DV.
GD_FN void store_tokens(GD_REF(Tokens) u, GD_GLOBAL(Element) out, int length, Place at, Thread me) {
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    GD_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int t = 8 * n + column_of(me, i);
      if (t < length && row_of(me, i) < at.limit) out[t * HV * DV + at.column + row_of(me, i)] = Element(u.m[n].e[i]);
    }
  }
}

// store_rows writes rows [C, DV], zeros for tokens from length on.
GD_FN void store_rows(GD_REF(Tokens) u, GD_GLOBAL(float) out, int length, Place at, Thread me) {
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    GD_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int t = 8 * n + column_of(me, i);
      if (row_of(me, i) < at.limit) out[t * DV + at.column + row_of(me, i)] = t < length ? u.m[n].e[i] : 0.0f;
    }
  }
}

// chunk_forward computes O and the states after the runs.
GD_FN void chunk_forward(GD_GLOBAL(const float) queries, GD_GLOBAL(const float) keys, GD_GLOBAL(const Element) v,
                         GD_GLOBAL(const float) inverse, GD_GLOBAL(const float) scores, GD_GLOBAL(const float) gates,
                         GD_GLOBAL(const float) h0, GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan,
                         GD_GLOBAL(Element) o, GD_GLOBAL(float) ht, Thread me) {
  const Place at = scan_place(me);
  if (at.limit <= 0) return;
  const int first = plan[plan[1] + 4 * me.x], last = first + plan[plan[1] + 4 * me.x + 1];
  State s = load_state(h0 + state_at(me.x, at.head), at, me);
  for (int chunk = first; chunk < last; ++chunk) {
    const int token = chunk_token(plan, chunk), length = chunk_length(plan, chunk);
    const long rows = key_rows_at(chunk, at.head / R), square = square_at(chunk, at.head);
    GD_GLOBAL(const float) gate = gates + gates_at(chunk, at.head);
    Tokens w = write_values(s, keys + rows, v + value_at(token, at.head), inverse + square, gate, params[1], length, at, me);
    Tokens y = times_keys(s, queries + rows, me);
    scale_tokens(y, gate + GATE_GAMMA * C, params[0], me);
    add_lower(y, w, scores + square, me);
    store_tokens(y, o + value_at(token - plan[0], at.head), length, at, me);
    scale_tokens(w, gate + GATE_RHO * C, 1, me);
    add_keys(s, gate[GATE_GAMMA * C + C - 1], w, keys + rows, me);
  }
  store_state(s, ht + state_at(me.x, at.head), at, me);
}

// chunk_replay computes Vn and the states at the starts of chunks.
GD_FN void chunk_replay(GD_GLOBAL(const float) keys, GD_GLOBAL(const Element) v, GD_GLOBAL(const float) inverse,
                        GD_GLOBAL(const float) gates, GD_GLOBAL(const float) h0, GD_GLOBAL(const float) params,
                        GD_GLOBAL(const int) plan, GD_GLOBAL(float) written, GD_GLOBAL(float) states, Thread me) {
  const Place at = scan_place(me);
  if (at.limit <= 0) return;
  const int first = plan[plan[1] + 4 * me.x], last = first + plan[plan[1] + 4 * me.x + 1];
  State s = load_state(h0 + state_at(me.x, at.head), at, me);
  for (int chunk = first; chunk < last; ++chunk) {
    const int token = chunk_token(plan, chunk), length = chunk_length(plan, chunk);
    const long rows = key_rows_at(chunk, at.head / R);
    GD_GLOBAL(const float) gate = gates + gates_at(chunk, at.head);
    save_state(s, states + state_at(chunk, at.head), at, me);
    Tokens w = write_values(s, keys + rows, v + value_at(token, at.head), inverse + square_at(chunk, at.head), gate,
                            params[1], length, at, me);
    store_rows(w, written + value_rows_at(chunk, at.head), length, at, me);
    scale_tokens(w, gate + GATE_RHO * C, 1, me);
    add_keys(s, gate[GATE_GAMMA * C + C - 1], w, keys + rows, me);
  }
}
