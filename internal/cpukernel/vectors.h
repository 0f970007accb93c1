// Matrices in vectors of WIDTH floats; products take tiles of ROWS rows and COLUMNS
// vectors. Included once for each instruction set, inside its namespace.

namespace {

typedef float Vector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const Vector*>(p); }
inline void store(float* p, Vector x) { *reinterpret_cast<Vector*>(p) = x; }

// A Matrix has rows at a distance of ld floats. Sizes are multiples of BLOCK: what is
// smaller is filled up with zeros.
constexpr int64_t BLOCK = 16;

struct Matrix {
  float* p;
  int64_t rows, cols, ld;

  float* row(int64_t i) const { return p + i * ld; }
};

// What a product does with its result, and where operands or result are triangular.
enum Result { SET, ADD };
enum Shape {
  FULL,
  LOWER, // a is lower triangular
  UPPER, // a is upper triangular
  BELOW, // of c, tiles above the diagonal are zeros
};

// tile computes c = a b or c += a b for M rows of c and N vectors of columns, with the
// terms from k0 to k1-1; a(i, k) is at i row + k step.
template <int M, int N>
inline void tile(int64_t k0, int64_t k1, const float* a, int64_t row, int64_t step, const float* b, int64_t ldb, float* c, int64_t ldc, Result result) {
  Vector sum[M][N];
  UNROLL for (int i = 0; i < M; i++)
    UNROLL for (int j = 0; j < N; j++)
      sum[i][j] = result == ADD ? load(c + i * ldc + j * WIDTH) : Vector{};
  a += k0 * step;
  b += k0 * ldb;
  for (int64_t k = k0; k < k1; k++, a += step, b += ldb) {
    Vector x[N];
    UNROLL for (int j = 0; j < N; j++) x[j] = load(b + j * WIDTH);
    UNROLL for (int i = 0; i < M; i++) {
      float y = a[i * row];
      UNROLL for (int j = 0; j < N; j++) sum[i][j] += y * x[j];
    }
  }
  UNROLL for (int i = 0; i < M; i++)
    UNROLL for (int j = 0; j < N; j++)
      store(c + i * ldc + j * WIDTH, sum[i][j]);
}

// panel computes N vectors of columns of c, from column j.
template <int N>
inline void panel(int64_t terms, const float* a, int64_t row, int64_t step, const Matrix& b, const Matrix& c, int64_t j, Result result, Shape shape) {
  for (int64_t i = 0; i < c.rows; i += ROWS) {
    if (shape == BELOW && i + ROWS <= j) {
      for (int64_t r = i; r < i + ROWS; r++)
        for (int n = 0; n < N; n++) store(c.row(r) + j + n * WIDTH, Vector{});
      continue;
    }
    int64_t k0 = shape == UPPER ? i : 0, k1 = shape == LOWER ? i + ROWS : terms;
    tile<ROWS, N>(k0, k1, a + i * row, row, step, b.p + j, b.ld, c.row(i) + j, c.ld, result);
  }
}

__attribute__((noinline)) void product(int64_t terms, const float* a, int64_t row, int64_t step, Matrix b, Matrix c, Result result, Shape shape) {
  int64_t j = 0;
  for (; j + COLUMNS * WIDTH <= c.cols; j += COLUMNS * WIDTH) panel<COLUMNS>(terms, a, row, step, b, c, j, result, shape);
  for (; j < c.cols; j += WIDTH) panel<1>(terms, a, row, step, b, c, j, result, shape);
}

// c = a b or c += a b.
inline void multiply(Matrix a, Matrix b, Matrix c, Result result = SET, Shape shape = FULL) {
  product(a.cols, a.p, a.ld, 1, b, c, result, shape);
}

// c = aᵀ b or c += aᵀ b; the shape is that of aᵀ.
inline void multiplyT(Matrix a, Matrix b, Matrix c, Result result = SET, Shape shape = FULL) {
  product(a.rows, a.p, 1, a.ld, b, c, result, shape);
}

// interleaved are a0 b0 a1 b1 … of the lower halves, or of the upper ones.
#if defined(__clang__)
template <int... I> struct Lanes {};
template <int N, int... I> struct LanesTo : LanesTo<N - 1, N - 1, I...> {};
template <int... I> struct LanesTo<0, I...> { typedef Lanes<I...> type; };

template <int FROM, int... I>
inline Vector pick(Vector a, Vector b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (FROM + I / 2 + I % 2 * WIDTH)...);
}
template <int FROM>
inline Vector interleaved(Vector a, Vector b) { return pick<FROM>(a, b, typename LanesTo<WIDTH>::type()); }
#else
typedef int32_t Indices __attribute__((vector_size(4 * WIDTH)));

template <int FROM>
inline Vector interleaved(Vector a, Vector b) {
  Indices at = {};
  UNROLL for (int i = 0; i < WIDTH; i++) at[i] = FROM + i / 2 + i % 2 * WIDTH;
  return __builtin_shuffle(a, b, at);
}
#endif

// t = xᵀ, block by block: interleaving rows i and i + WIDTH/2 log2(WIDTH) times.
__attribute__((noinline)) void transpose(Matrix x, Matrix t) {
  for (int64_t i = 0; i < x.rows; i += WIDTH)
    for (int64_t j = 0; j < x.cols; j += WIDTH) {
      Vector a[WIDTH], b[WIDTH];
      UNROLL for (int n = 0; n < WIDTH; n++) a[n] = load(x.row(i + n) + j);
      UNROLL for (int s = 1; s < WIDTH; s *= 2) {
        UNROLL for (int n = 0; n < WIDTH / 2; n++) {
          b[2 * n] = interleaved<0>(a[n], a[n + WIDTH / 2]);
          b[2 * n + 1] = interleaved<WIDTH / 2>(a[n], a[n + WIDTH / 2]);
        }
        UNROLL for (int n = 0; n < WIDTH; n++) a[n] = b[n];
      }
      UNROLL for (int n = 0; n < WIDTH; n++) store(t.row(j + n) + i, a[n]);
    }
}

inline float total(Vector x) {
  float sum = 0;
  for (int i = 0; i < WIDTH; i++) sum += x[i];
  return sum;
}

// The numbers of columns j.., and vectors of one number.
inline Vector columns(int64_t j) {
  Vector x = {};
  UNROLL for (int i = 0; i < WIDTH; i++) x[i] = static_cast<float>(j + i);
  return x;
}
inline Vector all(float x) { return Vector{} + x; }

inline float dot(Matrix x, Matrix y) {
  float sum = 0;
  for (int64_t i = 0; i < x.rows; i++) {
    Vector part = {};
    for (int64_t j = 0; j < x.cols; j += WIDTH) part += load(x.row(i) + j) * load(y.row(i) + j);
    sum += total(part);
  }
  return sum;
}

// y = f∘x, f a number for each row; y may be x.
inline void scaleRows(const float* f, Matrix x, Matrix y) {
  for (int64_t i = 0; i < x.rows; i++)
    for (int64_t j = 0; j < x.cols; j += WIDTH) store(y.row(i) + j, f[i] * load(x.row(i) + j));
}

inline void scale(float f, Matrix x) {
  for (int64_t i = 0; i < x.rows; i++)
    for (int64_t j = 0; j < x.cols; j += WIDTH) store(x.row(i) + j, f * load(x.row(i) + j));
}

inline void clear(Matrix x) {
  for (int64_t i = 0; i < x.rows; i++) memset(x.row(i), 0, sizeof(float) * x.cols);
}

inline void copy(Matrix x, Matrix y) {
  for (int64_t i = 0; i < x.rows; i++) memcpy(y.row(i), x.row(i), sizeof(float) * x.cols);
}

// read fills x from rows of cols floats at a distance; null stands for zeros.
inline void read(const float* from, int64_t distance, int64_t rows, int64_t cols, Matrix x) {
  for (int64_t i = 0; i < x.rows; i++) {
    int64_t have = from && i < rows ? cols : 0;
    if (have > 0) memcpy(x.row(i), from + i * distance, sizeof(float) * have);
    memset(x.row(i) + have, 0, sizeof(float) * (x.cols - have));
  }
}

inline void write(Matrix x, int64_t rows, int64_t cols, float* to, int64_t distance) {
  for (int64_t i = 0; i < rows; i++) memcpy(to + i * distance, x.row(i), sizeof(float) * cols);
}

} // namespace
