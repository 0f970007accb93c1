// The definition, token by token, with the state in registers: for few tokens, and for
// GPUs whose products of matrices are no faster than other arithmetic.
//
//	S ← e^g S;  d = β (v − Sᵀk);  S ← S + k dᵀ;  o = s Sᵀq
//
// A simdgroup has four columns of the state of one run (x) and value head, eight
// lanes for each, of which each has every eighth element. y counts value heads times
// blocks of SIMDGROUPS * 4 columns. Queries and keys of SEQUENTIAL_BLOCK tokens are
// in threadgroup memory at a time; nothing is waited for within a block.

#define SEQUENTIAL_BLOCK (DK > 128 ? 8 : 16)

// part_sum returns the sum over the eight lanes of a column, to all of them.
GD_FN float part_sum(float x) {
  x += GD_SHUFFLE_XOR(x, 1);
  x += GD_SHUFFLE_XOR(x, 2);
  x += GD_SHUFFLE_XOR(x, 4);
  return x;
}

GD_FN void sequential(GD_GLOBAL(const Element) q, GD_GLOBAL(const Element) k, GD_GLOBAL(const Element) v,
                      GD_GLOBAL(const float) g, GD_GLOBAL(const float) beta, GD_GLOBAL(const float) h0,
                      GD_GLOBAL(const float) params, GD_GLOBAL(const int) plan, GD_GLOBAL(Element) o,
                      GD_GLOBAL(float) ht, GD_SHARED(float) shared, Thread me) {
  const int blocks = (DV + 4 * SIMDGROUPS - 1) / (4 * SIMDGROUPS);
  const int head = me.y / blocks, part = me.lane & 7;
  const int column = (rest(me.y, blocks) * SIMDGROUPS + me.simdgroup) * 4 + me.lane / 8;
  const bool mine = column < DV;
  const int chunk = plan[plan[1] + 4 * me.x], chunks = plan[plan[1] + 4 * me.x + 1];
  const int first = chunks > 0 ? chunk_token(plan, chunk) : 0;
  const int end = chunks > 0 ? chunk_token(plan, chunk + chunks - 1) + chunk_length(plan, chunk + chunks - 1) : 0;
  const long state = state_at(me.x, head);

  float s[MAX_DK / 8];
  GD_UNROLL
  for (int i = 0; i < DK / 8; ++i) s[i] = mine ? h0[state + (8 * i + part) * DV + column] : 0.0f;
  for (int token = first; token < end; token += SEQUENTIAL_BLOCK) {
    const int tokens = end - token < SEQUENTIAL_BLOCK ? end - token : SEQUENTIAL_BLOCK;
    GD_BARRIER();
    for (int at = thread_of(me); at < tokens * DK; at += SIMDGROUPS * 32) {
      const int t = at / DK, x = at - t * DK;
      shared[2 * t * DK + x] = float(k[key_at(token + t, head / R) + x]);
      shared[(2 * t + 1) * DK + x] = float(q[key_at(token + t, head / R) + x]);
    }
    GD_BARRIER();
    for (int t = 0; t < tokens; ++t) {
      const long gate = long(token + t) * HV + head, place = value_at(token + t, head) + column;
      GD_SHARED(const float) key = shared + 2 * t * DK;
      const float decayed = GD_EXP(g[gate]);
      float held = 0;
      GD_UNROLL
      for (int i = 0; i < DK / 8; ++i) {
        s[i] *= decayed;
        held += key[8 * i + part] * s[i];
      }
      const float value = mine ? float(v[place]) : 0.0f;
      const float d = beta[gate] * (value - params[1] * part_sum(held));
      float y = 0;
      GD_UNROLL
      for (int i = 0; i < DK / 8; ++i) {
        s[i] += key[8 * i + part] * d;
        y += key[DK + 8 * i + part] * s[i];
      }
      y = part_sum(y);
      if (mine && part == 0) o[value_at(token + t - plan[0], head) + column] = Element(params[0] * y);
    }
  }
  GD_UNROLL
  for (int i = 0; i < DK / 8; ++i)
    if (mine) ht[state + (8 * i + part) * DV + column] = s[i];
}
