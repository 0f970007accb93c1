// What the kernels of the chunk form share: how their arrays lie.
//
//	q, k, dq, dk  [tokens, HK, DK]     v, o, dv, dout  [tokens, HV, DV]
//	g, beta, dg, dbeta  [tokens, HV]   h0, ht, dht, dh0  [runs, HV, DK, DV]
//
// A launch works on the chunks of one segment, a range of tokens that begins
// with token plan[0]. Inputs are whole, outputs are those of the segment.
//
// Between kernels go, in float32, and with zeros for tokens that a chunk lacks
// where it matters:
//
//	queries, keys   [chunks, HK, C, DK]   Q and K
//	inverse, scores  [chunks, HV, C, C]    T and P
//	gates           [chunks, HV, 5, C]    γ, ρ, β, and G in two parts
//	written, dbound [chunks, HV, C, DV]   Vn and dB
//	states, dstates [chunks, HV, DV, DK]  S at a chunk's start, dS at its end
//
// The plan, of integers, has four numbers for each chunk from PLAN_CHUNKS on, of
// which the first two are its first token and its number of tokens, at most C. It
// has four for each run, that is a sequence's chunks in the segment, from plan[1]
// on, of which two are the first chunk and their number.
//
// params are the scale s and, as 1 or 0, whether values are corrected (the delta
// rule) or written as they are (gated linear attention).

#define PLAN_CHUNKS 8

// In gates.
#define GATE_GAMMA 0
#define GATE_RHO 1
#define GATE_BETA 2
#define GATE_HIGH 3
#define GATE_LOW 4
#define GATE_KINDS 5

GD_FN int chunk_token(GD_GLOBAL(const int) plan, int chunk) { return plan[PLAN_CHUNKS + 4 * chunk]; }
GD_FN int chunk_length(GD_GLOBAL(const int) plan, int chunk) { return plan[PLAN_CHUNKS + 4 * chunk + 1]; }

// key_at and value_at are the places of a token's vectors.
GD_FN long key_at(int token, int head) { return (long(token) * HK + head) * DK; }
GD_FN long value_at(int token, int head) { return (long(token) * HV + head) * DV; }

// These are the places of a chunk's arrays.
GD_FN long key_rows_at(int chunk, int head) { return (long(chunk) * HK + head) * C * DK; }
GD_FN long value_rows_at(int chunk, int head) { return (long(chunk) * HV + head) * C * DV; }
GD_FN long square_at(int chunk, int head) { return (long(chunk) * HV + head) * C * C; }
GD_FN long gates_at(int chunk, int head) { return (long(chunk) * HV + head) * GATE_KINDS * C; }
GD_FN long state_at(int chunk, int head) { return (long(chunk) * HV + head) * DK * DV; }

// decay_between returns Γ_ij = exp(G_i − G_j), i >= j, from sums of gates in two
// parts: so the difference keeps what strong gates elsewhere in the chunk would
// round away.
GD_FN float decay_between(float high_i, float low_i, float high_j, float low_j) {
  return GD_EXP((high_i - high_j) + (low_i - low_j));
}
