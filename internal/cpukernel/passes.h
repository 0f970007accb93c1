// The two passes over a sequence of a key head. Included after worker.h.

namespace {

void Worker::forward(int64_t n, int64_t hk) {
  for (int64_t h = 0; h < z.r; h++)
    read(z.h0 ? z.h0 + state(n, hk * z.r + h) : nullptr, z.dv, z.dk, z.dv, S[h]);
  for (int64_t c = 0; z.begin[n] + c * C < z.end[n]; c++) {
    Span s = span(n, c);
    readKeys(s, hk, true);
    for (int64_t h = 0; h < z.r; h++) {
      int64_t head = hk * z.r + h;
      if (c > 0 && c % z.segment == 0) write(S[h], z.dk, z.dv, start(n, c / z.segment, head), z.dv);
      readValues(z.v, s, head, V);
      readGates(s, head);
      spread();
      if (!z.no_delta) invert(T);
      makeVn(S[h], T, Vn);
      makeP();
      multiply(Q, S[h], O);
      scaleRows(gates.scaled, O, O);
      multiply(P, Vn, O, ADD, LOWER);
      write(O, s.n, z.dv, z.o + (s.t * HV + head) * z.dv, HV * z.dv);
      advance(S[h], Vn);
    }
  }
  if (!z.ht) return;
  for (int64_t h = 0; h < z.r; h++) write(S[h], z.dk, z.dv, z.ht + state(n, hk * z.r + h), z.dv);
}

void Worker::backward(int64_t n, int64_t hk) {
  for (int64_t h = 0; h < z.r; h++)
    read(z.grad_ht ? z.grad_ht + state(n, hk * z.r + h) : nullptr, z.dv, z.dk, z.dv, dS[h]);
  int64_t chunks = (z.end[n] - z.begin[n] + C - 1) / C;
  for (int64_t segment = (chunks + z.segment - 1) / z.segment; segment-- > 0;) {
    int64_t lo = segment * z.segment, hi = lo + z.segment < chunks ? lo + z.segment : chunks;
    for (int64_t h = 0; h < z.r; h++) {
      int64_t head = hk * z.r + h;
      const float* from = segment > 0 ? start(n, segment, head) : z.h0 ? z.h0 + state(n, head) : nullptr;
      read(from, z.dv, z.dk, z.dv, S[h]);
    }
    for (int64_t c = lo; c < hi; c++) replay(n, hk, c, (c - lo) * z.r, c + 1 < hi);
    for (int64_t c = hi; c-- > lo;) reverse(n, hk, c, (c - lo) * z.r);
  }
  if (!z.dh0) return;
  for (int64_t h = 0; h < z.r; h++) write(dS[h], z.dk, z.dv, z.dh0 + state(n, hk * z.r + h), z.dv);
}

// replay computes once more, and keeps, what the forward pass made of a chunk.
void Worker::replay(int64_t n, int64_t hk, int64_t chunk, int64_t at, bool more) {
  Span s = span(n, chunk);
  readKeys(s, hk, false);
  for (int64_t h = 0; h < z.r; h++, at++) {
    readValues(z.v, s, hk * z.r + h, V);
    readGates(s, hk * z.r + h);
    if (!z.no_delta) {
      spread();
      invert(keptT[at]);
    }
    kept[at] = gates;
    copy(S[h], keptS[at]);
    makeVn(S[h], keptT[at], keptVn[at]);
    if (more) advance(S[h], keptVn[at]);
  }
}

// reverse takes the gradients of the states from a chunk's end to its start. What the
// value heads of a key head multiply by Q and K is summed first.
void Worker::reverse(int64_t n, int64_t hk, int64_t chunk, int64_t at) {
  Span s = span(n, chunk);
  readKeys(s, hk, true);
  for (Matrix x : {dQ, dK, dsSum, NSum}) clear(x);
  for (int64_t h = 0; h < z.r; h++) reverseHead(s, hk * z.r + h, at + h, dS[h]);
  multiply(dsSum, K, dQ, ADD, LOWER);
  multiplyT(dsSum, Q, dK, ADD, UPPER);
  if (!z.no_delta) {
    multiply(NSum, K, dK, ADD, LOWER);
    multiplyT(NSum, K, dK, ADD, UPPER);
  }
  int64_t to = (s.t * z.hk + hk) * z.dk;
  write(dQ, s.n, z.dk, z.dq + to, z.hk * z.dk);
  write(dK, s.n, z.dk, z.dk_out + to, z.hk * z.dk);
}

void Worker::reverseHead(Span s, int64_t head, int64_t at, Matrix dS) {
  Matrix S = keptS[at], Vn = keptVn[at];
  gates = kept[at];
  spread();
  makeP();
  readValues(z.v, s, head, V);
  readValues(z.grad_o, s, head, dO);

  // dVn = Pᵀ dO + ρ∘(K dS'), dB = Tᵀ dVn
  multiply(K, dS, dVn);
  scaleRows(gates.rho, dVn, dVn);
  multiplyT(P, dO, dVn, ADD, UPPER);
  Matrix written = z.no_delta ? dVn : dB;
  if (!z.no_delta) multiplyT(keptT[at], dVn, dB, SET, UPPER);

  float suffix[CPUKERNEL_MAX_CHUNK], prefix[CPUKERNEL_MAX_CHUNK];
  float dbeta[CPUKERNEL_MAX_CHUNK], dg[CPUKERNEL_MAX_CHUNK];
  float constant = gates.last * dot(S, dS);
  throughState(S, Vn, dS, written, suffix, prefix, dbeta);
  withinChunk(Vn, written, dbeta);
  gateGradient(constant, suffix, prefix, dg);
  for (int64_t i = 0; i < s.n; i++) {
    z.dg[(s.t + i) * HV + head] = dg[i];
    z.dbeta[(s.t + i) * HV + head] = dbeta[i];
  }

  // dS = e^G dS' + Qᵀ(sγ∘dO) - Kᵀ(βγ∘dB)
  scale(gates.last, dS);
  scaleRows(gates.scaled, dO, rows);
  multiplyT(Q, rows, dS, ADD);
  if (!z.no_delta) {
    float f[CPUKERNEL_MAX_CHUNK];
    for (int64_t i = 0; i < C; i++) f[i] = -gates.beta[i] * gates.gamma[i];
    scaleRows(f, dB, rows);
    multiplyT(K, rows, dS, ADD);
  }
  scaleRows(gates.beta, written, rows);
  write(rows, s.n, z.dv, z.dv_out + (s.t * HV + head) * z.dv, HV * z.dv);
}

// throughState adds to dQ and dK what comes through the states at the chunk's start and
// end, and begins dβ. suffix and prefix are the rows' shares of dg.
void Worker::throughState(Matrix S, Matrix Vn, Matrix dS, Matrix dB, float* suffix, float* prefix, float* dbeta) {
  transpose(S, ST);
  multiply(dO, ST, Y);
  if (!z.no_delta) multiply(dB, ST, X);
  for (int64_t i = 0; i < C; i++) {
    Vector qy = {}, kx = {}, bv = {};
    for (int64_t j = 0; j < KP; j += WIDTH) {
      Vector y = gates.scaled[i] * load(Y.row(i) + j);
      qy += load(Q.row(i) + j) * y;
      store(dQ.row(i) + j, load(dQ.row(i) + j) + y);
    }
    if (!z.no_delta)
      for (int64_t j = 0; j < KP; j += WIDTH) {
        Vector x = -gates.gamma[i] * load(X.row(i) + j);
        kx += load(K.row(i) + j) * x;
        store(dK.row(i) + j, load(dK.row(i) + j) + gates.beta[i] * x);
      }
    for (int64_t j = 0; j < VP; j += WIDTH) bv += load(dB.row(i) + j) * load(V.row(i) + j);
    float k = total(kx);
    suffix[i] = total(qy) + gates.beta[i] * k;
    dbeta[i] = total(bv) + k;
  }
  transpose(dS, ST);
  multiply(Vn, ST, Y);
  for (int64_t i = 0; i < C; i++) {
    Vector ky = {};
    for (int64_t j = 0; j < KP; j += WIDTH) {
      Vector y = gates.rho[i] * load(Y.row(i) + j);
      ky += load(K.row(i) + j) * y;
      store(dK.row(i) + j, load(dK.row(i) + j) + y);
    }
    prefix[i] = total(ky);
  }
}

// withinChunk sums ds and the gradient of A for the group, adds to dβ, and leaves in P
// the share of each pair of rows in dg.
void Worker::withinChunk(Matrix Vn, Matrix dB, float* dbeta) {
  transpose(Vn, VnT);
  multiply(dO, VnT, ds, SET, BELOW);
  if (!z.no_delta) multiply(dB, VnT, N, SET, BELOW);
  for (int64_t i = 0; i < C; i++) {
    Vector sum = {};
    for (int64_t j = 0; j < C; j += WIDTH) {
      Vector decay = load(G.row(i) + j), d = z.scale * (decay * load(ds.row(i) + j)), pair = d * load(QK.row(i) + j);
      store(dsSum.row(i) + j, load(dsSum.row(i) + j) + d);
      Vector below = columns(j) < all(i) ? all(1) : Vector{};
      if (!z.no_delta) {
        Vector m = -(below * decay) * load(N.row(i) + j), mk = m * load(KK.row(i) + j);
        sum += mk;
        pair += gates.beta[i] * mk;
        store(NSum.row(i) + j, load(NSum.row(i) + j) + gates.beta[i] * m);
      }
      store(P.row(i) + j, below * pair);
    }
    dbeta[i] += total(sum);
  }
}

// gateGradient makes dg of a row i from sums alone: suffix of rows from i on, prefix of
// rows before i, and the pairs (r, c) with r >= i > c.
void Worker::gateGradient(float constant, const float* suffix, const float* prefix, float* dg) {
  float before[CPUKERNEL_MAX_CHUNK], sum = 0;
  for (int64_t i = 0; i < C; sum += prefix[i++]) before[i] = sum;
  sum = 0;
  for (int64_t i = C; i-- > 0;) {
    sum += suffix[i];
    Vector pairs = {};
    for (int64_t j = 0; j <= i; j += WIDTH) {
      if (i + 1 < C) store(P.row(i) + j, load(P.row(i) + j) + load(P.row(i + 1) + j));
      pairs += columns(j) < all(i) ? load(P.row(i) + j) : Vector{};
    }
    dg[i] = constant + sum + before[i] + total(pairs);
  }
}

} // namespace

int64_t need(cpukernel_rule& z, bool backward) {
  Memory memory;
  Worker(z, backward, memory);
  return memory.used;
}

void work(cpukernel_rule& z, bool backward, float* base) {
  Memory memory{base};
  Worker worker(z, backward, memory);
  memset(base, 0, sizeof(float) * memory.used);
  for (;;) {
    int64_t task = __atomic_fetch_add(&z.next, 1, __ATOMIC_RELAXED);
    if (task >= z.sequences * z.hk) return;
    if (backward) worker.backward(task / z.hk, task % z.hk);
    else worker.forward(task / z.hk, task % z.hk);
  }
}
