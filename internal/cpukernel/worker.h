// What a thread works with, and what both passes need of a chunk. Included after
// vectors.h. The letters are those of gateddelta's documentation.

namespace {

// Memory of matrices, taken one after the other. Without memory it measures.
struct Memory {
  float* base = nullptr;
  int64_t used = 0;

  float* take(int64_t floats) {
    float* p = base ? base + used : nullptr;
    used += (floats + BLOCK - 1) / BLOCK * BLOCK;
    return p;
  }

  // Rows are an odd number of cache lines apart, lest those of a column share few sets.
  Matrix matrix(int64_t rows, int64_t cols) {
    int64_t ld = cols / BLOCK % 2 == 0 ? cols + BLOCK : cols;
    return {take(rows * ld), rows, cols, ld};
  }
};

// Matrices of one size.
struct Matrices {
  Matrix first;

  Matrix operator[](int64_t i) const {
    return {first.p + i * first.rows * first.ld, first.rows, first.cols, first.ld};
  }
};

// Gates are the factors of a chunk's rows.
struct Gates {
  float decay[CPUKERNEL_MAX_CHUNK]; // e^g
  float beta[CPUKERNEL_MAX_CHUNK];
  float gamma[CPUKERNEL_MAX_CHUNK]; // γ: from the chunk's start to the row
  float rho[CPUKERNEL_MAX_CHUNK];   // ρ: from the row to the chunk's end
  float scaled[CPUKERNEL_MAX_CHUNK]; // s γ
  float last;                        // over the whole chunk
};

struct Worker {
  cpukernel_rule& z;
  int64_t C, KP, VP, HV;          // KP, VP: dk and dv with padding
  Matrix Q, K, KT, QK, KK;        // of a key head
  Matrix V, Vn, rows, O;          // of a value head
  Matrix G, T, P;                 // Γ, (I + A)^-1, s Γ∘QKᵀ
  Matrix dO, dB, dVn, VnT;
  Matrix dQ, dK, X, Y, ST;
  Matrix ds, N, dsSum, NSum;
  Matrices S, dS;                 // of the value heads of a key head
  Matrices keptS, keptVn, keptT;  // and of the chunks of a segment
  Gates* kept;
  Gates gates;

  int64_t longest() const {
    int64_t n = 0;
    for (int64_t i = 0; i < z.sequences; i++)
      if (z.end[i] - z.begin[i] > n) n = z.end[i] - z.begin[i];
    n = (n + C - 1) / C;
    return n < z.segment ? n : z.segment;
  }

  Matrices matrices(Memory& m, int64_t n, int64_t rows, int64_t cols) {
    Matrix first = m.matrix(rows, cols);
    m.take((n - 1) * rows * first.ld);
    return {first};
  }

  Worker(cpukernel_rule& z, bool backward, Memory& m) : z(z) {
    C = z.chunk, HV = z.hk * z.r;
    KP = (z.dk + BLOCK - 1) / BLOCK * BLOCK, VP = (z.dv + BLOCK - 1) / BLOCK * BLOCK;
    for (Matrix* x : {&Q, &K}) *x = m.matrix(C, KP);
    for (Matrix* x : {&V, &rows}) *x = m.matrix(C, VP);
    for (Matrix* x : {&QK, &KK, &G, &P}) *x = m.matrix(C, C);
    KT = m.matrix(KP, C);
    S = matrices(m, z.r, KP, VP);
    if (!backward) {
      T = m.matrix(C, C);
      for (Matrix* x : {&Vn, &O}) *x = m.matrix(C, VP);
      return;
    }
    for (Matrix* x : {&dO, &dB, &dVn}) *x = m.matrix(C, VP);
    for (Matrix* x : {&dQ, &dK, &X, &Y}) *x = m.matrix(C, KP);
    for (Matrix* x : {&ds, &N, &dsSum, &NSum}) *x = m.matrix(C, C);
    VnT = m.matrix(VP, C), ST = m.matrix(VP, KP);
    dS = matrices(m, z.r, KP, VP);
    int64_t n = longest() * z.r;
    if (n == 0) return;
    keptS = matrices(m, n, KP, VP), keptVn = matrices(m, n, C, VP), keptT = matrices(m, n, C, C);
    kept = reinterpret_cast<Gates*>(m.take(n * (sizeof(Gates) / sizeof(float))));
  }

  // state is the place of a state.
  int64_t state(int64_t n, int64_t head) const { return (n * HV + head) * z.dk * z.dv; }

  // start is the place of the state at the start of a segment but the first.
  float* start(int64_t n, int64_t segment, int64_t head) const {
    return z.starts + state(z.first_start[n] + segment - 1, head);
  }

  // A Span is what a chunk has of a sequence.
  struct Span { int64_t t, n; };
  Span span(int64_t n, int64_t chunk) const {
    int64_t t = z.begin[n] + chunk * C;
    return {t, z.end[n] - t < C ? z.end[n] - t : C};
  }

  // readKeys takes a key head's rows of a chunk, and their products.
  void readKeys(Span s, int64_t hk, bool queries) {
    int64_t at = (s.t * z.hk + hk) * z.dk;
    read(z.k + at, z.hk * z.dk, s.n, z.dk, K);
    transpose(K, KT);
    if (!z.no_delta) multiply(K, KT, KK, SET, BELOW);
    if (!queries) return;
    read(z.q + at, z.hk * z.dk, s.n, z.dk, Q);
    multiply(Q, KT, QK, SET, BELOW);
  }

  void readValues(const float* from, Span s, int64_t head, Matrix x) {
    read(from ? from + (s.t * HV + head) * z.dv : nullptr, HV * z.dv, s.n, z.dv, x);
  }

  // readGates takes a head's gates. Each factor is the exponential of a sum of its own
  // tokens' gates, never of a difference of sums. Padding neither decays nor writes.
  void readGates(Span s, int64_t head) {
    float g[CPUKERNEL_MAX_CHUNK];
    double sum = 0;
    for (int64_t i = 0; i < C; i++) {
      g[i] = i < s.n ? z.g[(s.t + i) * HV + head] : 0;
      gates.beta[i] = i < s.n ? z.beta[(s.t + i) * HV + head] : 0;
      gates.decay[i] = expf(g[i]);
      sum += g[i];
      gates.gamma[i] = expf(static_cast<float>(sum));
      gates.scaled[i] = z.scale * gates.gamma[i];
    }
    gates.last = gates.gamma[C - 1];
    sum = 0;
    for (int64_t i = C; i-- > 0; sum += g[i]) gates.rho[i] = expf(static_cast<float>(sum));
  }

  // spread makes Γ, whose rows are products down the columns.
  void spread() {
    for (int64_t j = 0; j < C; j += WIDTH) {
      Vector column = columns(j), x = {};
      for (int64_t i = 0; i < C; i++) {
        x *= gates.decay[i];
        x = column == all(i) ? all(1) : x;
        store(G.row(i) + j, x);
      }
    }
  }

  // makeP makes P from Γ and QKᵀ.
  void makeP() {
    for (int64_t i = 0; i < C; i++)
      for (int64_t j = 0; j < C; j += WIDTH) store(P.row(i) + j, z.scale * (load(G.row(i) + j) * load(QK.row(i) + j)));
  }

  // invert makes T = (I + A)^-1 by substitution, A_ij = β_i Γ_ij k_i·k_j for i > j.
  void invert(Matrix T) {
    for (int64_t i = 0; i < C; i++) {
      float A[CPUKERNEL_MAX_CHUNK];
      for (int64_t j = 0; j <= i; j += WIDTH) store(A + j, -gates.beta[i] * (load(G.row(i) + j) * load(KK.row(i) + j)));
      for (int64_t j = 0; j < C; j += WIDTH) {
        Vector x = columns(j) == all(i) ? all(1) : Vector{}, y = {};
        int64_t d = j;
        for (; d + 1 < i; d += 2) {
          x += A[d] * load(T.row(d) + j);
          y += A[d + 1] * load(T.row(d + 1) + j);
        }
        if (d < i) x += A[d] * load(T.row(d) + j);
        store(T.row(i) + j, x + y);
      }
    }
  }

  // makeVn makes the values that are written: T (β∘(V - γ∘(K S))).
  void makeVn(Matrix S, Matrix T, Matrix Vn) {
    if (z.no_delta) {
      scaleRows(gates.beta, V, Vn);
      return;
    }
    multiply(K, S, rows);
    for (int64_t i = 0; i < C; i++)
      for (int64_t j = 0; j < VP; j += WIDTH)
        store(rows.row(i) + j, gates.beta[i] * (load(V.row(i) + j) - gates.gamma[i] * load(rows.row(i) + j)));
    multiply(T, rows, Vn, SET, LOWER);
  }

  // advance takes a state to the chunk's end.
  void advance(Matrix S, Matrix Vn) {
    scaleRows(gates.rho, Vn, rows);
    scale(gates.last, S);
    multiplyT(K, rows, S, ADD);
  }

  void forward(int64_t n, int64_t hk);
  void backward(int64_t n, int64_t hk);
  void replay(int64_t n, int64_t hk, int64_t chunk, int64_t at, bool more);
  void reverse(int64_t n, int64_t hk, int64_t chunk, int64_t at);
  void reverseHead(Span s, int64_t head, int64_t at, Matrix dS);
  void throughState(Matrix S, Matrix Vn, Matrix dS, Matrix dB, float* suffix, float* prefix, float* dbeta);
  void withinChunk(Matrix Vn, Matrix dB, float* dbeta);
  void gateGradient(float constant, const float* suffix, const float* prefix, float* dg);
};

} // namespace
