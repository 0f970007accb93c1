// K3: the scan back over chunks. With dS the gradient of the state at a chunk's
// end, at first dht,
//
//	dVn = Pᵀ dO + ρ∘(K dS);  dB = Tᵀ dVn;  dV = β∘dB
//	dS ← γ_C dS + s Qᵀ(γ∘dO) − Kᵀ(βγ∘dB)
//
// The layout of the work is that of K2, in chunk_scan.metal, which goes before.

// add_upper adds (Mᵀ X)ᵀ for Xᵀ = w and a lower triangular matrix M.
GD_FN void add_upper(GD_REF(Tokens) u, GD_REF(Tokens) w, GD_GLOBAL(const float) matrix, Thread me) {
  GD_UNROLL
  for (int n = 0; n < C / 8; ++n) {
    GD_UNROLL
    for (int m = n; m < C / 8; ++m) mma(u.m[n], w.m[m], right_rows<true>(matrix + (8 * m * C + 8 * n), C, me));
  }
}

GD_FN void chunk_back(GD_GLOBAL(const float) queries, GD_GLOBAL(const float) keys, GD_GLOBAL(const Element) dout,
                      GD_GLOBAL(const float) inverse, GD_GLOBAL(const float) scores, GD_GLOBAL(const float) gates,
                      GD_GLOBAL(const float) dht, GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan,
                      GD_GLOBAL(Element) dv, GD_GLOBAL(float) dbound, GD_GLOBAL(float) dstates, GD_GLOBAL(float) dh0,
                      Thread me) {
  const Place at = scan_place(me);
  if (at.limit <= 0) return;
  const int first = plan[plan[1] + 4 * me.x], last = first + plan[plan[1] + 4 * me.x + 1];
  State d = load_state(dht + state_at(me.x, at.head), at, me);
  for (int chunk = last - 1; chunk >= first; --chunk) {
    const int token = chunk_token(plan, chunk), length = chunk_length(plan, chunk);
    const long rows = key_rows_at(chunk, at.head / R), square = square_at(chunk, at.head);
    GD_GLOBAL(const float) gate = gates + gates_at(chunk, at.head);
    save_state(d, dstates + state_at(chunk, at.head), at, me);

    Tokens dy;
    GD_UNROLL
    for (int n = 0; n < C / 8; ++n) {
      dy.m[n] = left_columns(dout + (value_at(token + 8 * n, at.head) + at.column), HV * DV, at.limit, length - 8 * n, me);
      GD_UNROLL
      for (int i = 0; i < 4; ++i) dy.m[n].e[i] = 8 * n + column_of(me, i) < length ? dy.m[n].e[i] : 0.0f;
    }
    Tokens dw = times_keys(d, keys + rows, me);
    scale_tokens(dw, gate + GATE_RHO * C, 1, me);
    add_upper(dw, dy, scores + square, me);
    Tokens b;
    GD_UNROLL
    for (int n = 0; n < C / 8; ++n) b.m[n] = zero_mat();
    add_upper(b, dw, inverse + square, me);
    store_rows(b, dbound + value_rows_at(chunk, at.head), length, at, me);
    scale_tokens(b, gate + GATE_BETA * C, 1, me);
    store_tokens(b, dv + value_at(token - plan[0], at.head), length, at, me);

    scale_tokens(dy, gate + GATE_GAMMA * C, params[0], me);
    add_keys(d, gate[GATE_GAMMA * C + C - 1], dy, queries + rows, me);
    scale_tokens(b, gate + GATE_GAMMA * C, -params[1], me);
    add_keys(d, 1, b, keys + rows, me);
  }
  store_state(d, dh0 + state_at(me.x, at.head), at, me);
}
