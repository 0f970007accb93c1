// Matrices that a simdgroup holds, on top of the macro layer of a target.
//
// A Mat is 16 x 8: a lane has its elements i = 0..3, at row_of(me, i) and
// column_of(me, i). Which these are differs between targets. A Right is an
// 8 x 8 right operand of a product. Functions on them are called by all lanes
// of a simdgroup together, so conditions around them depend on the simdgroup
// and the threadgroup alone.
//
// The sizes that a kernel is built for are constants: C tokens in a chunk, DK
// and DV elements of a key and a value, HK and HV heads, R = HV / HK,
// SIMDGROUPS in a threadgroup. Capacities of arrays take MAX_DK for DK, the same
// number where DK is known to the compiler.

// Heights of a Mat and a Right, and the width of both.
#define GD_ROWS 16
#define GD_STEP 8

GD_FN int row_of(Thread me, int i) { return me.row + 8 * (i >> 1); }
GD_FN int column_of(Thread me, int i) { return me.column + (i & 1); }
GD_FN int thread_of(Thread me) { return me.simdgroup * 32 + me.lane; }

// rest returns the rest of a / b, without the sign that no source may have.
GD_FN int rest(int a, int b) { return a - a / b * b; }

GD_FN Mat zero_mat() { return Mat{{0, 0, 0, 0}}; }

// Functions that make operands read float32 or Element, from any memory. What is
// `even` lies at an even place of an array that kernels made, and so may be read by
// pairs: arrays from elsewhere may begin anywhere.

// pair returns p[0] and p[1].
template <bool even, typename P>
GD_FN Pair pair(P p) {
  if (even) return even_pair(p);
  return Pair{float(p[0]), float(p[1])};
}

// left_rows returns the matrix with a(i, j) = p[i * stride + j], and in place of
// rows from limit on the one before them.
template <bool even, typename P>
GD_FN Mat left_rows(P p, int stride, int limit, Thread me) {
  const int first = me.row < limit ? me.row : limit - 1, second = me.row + 8 < limit ? me.row + 8 : limit - 1;
  const Pair x = pair<even>(p + (first * stride + me.column)), y = pair<even>(p + (second * stride + me.column));
  return Mat{{x.x, x.y, y.x, y.y}};
}

// left_columns returns the matrix with a(i, j) = p[j * stride + i], and in place of
// rows from limit on, or columns from width on, the ones before them.
template <typename P>
GD_FN Mat left_columns(P p, int stride, int limit, int width, Thread me) {
  Mat a;
  GD_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int r = row_of(me, i), c = column_of(me, i);
    a.e[i] = float(p[(c < width ? c : width - 1) * stride + (r < limit ? r : limit - 1)]);
  }
  return a;
}

// right_along and right_across read rows or columns such that a lane's elements are
// neighbours, or not.
template <bool even, typename P>
GD_FN Right right_along(P p, int stride, Thread me) {
  const Pair x = pair<even>(p + (me.row * stride + me.column));
  return Right{{x.x, x.y}};
}

template <typename P>
GD_FN Right right_across(P p, int stride, Thread me) {
  p = p + (me.column * stride + me.row);
  return Right{{float(p[0]), float(p[stride])}};
}

// right_rows returns the matrix with b(i, j) = p[i * stride + j].
template <bool even, typename P>
GD_FN Right right_rows(P p, int stride, Thread me) {
  if (GD_RIGHT_TURNED) return right_across(p, stride, me);
  return right_along<even>(p, stride, me);
}

// right_columns returns the matrix with b(i, j) = p[j * stride + i].
template <bool even, typename P>
GD_FN Right right_columns(P p, int stride, Thread me) {
  if (GD_RIGHT_TURNED) return right_along<even>(p, stride, me);
  return right_across(p, stride, me);
}

// Rows holds one number for each row of a Mat: a lane's entry i >> 1 belongs to
// the row of its element i.
struct Rows {
  float e[2];
};

// row_sums returns the sums over the columns of what lanes have of each row.
GD_FN Rows row_sums(Rows x) {
  GD_UNROLL
  for (int i = 0; i < 2; ++i) {
    x.e[i] += GD_SHUFFLE_XOR(x.e[i], GD_ROW_MASK_A);
    x.e[i] += GD_SHUFFLE_XOR(x.e[i], GD_ROW_MASK_B);
  }
  return x;
}

// simd_total returns the sum of x over the lanes, to all of them.
GD_FN float simd_total(float x) {
  GD_UNROLL
  for (int mask = 1; mask < 32; mask *= 2) x += GD_SHUFFLE_XOR(x, mask);
  return x;
}
