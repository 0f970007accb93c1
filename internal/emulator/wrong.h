// Kernels that test the machine: most of them are wrong on purpose. These fill
// out[0..n) where n is the number of threads in the grid.
namespace wrong {

constexpr int C = 16;

GD_FN int index_of(Thread me) { return me.x * SIMDGROUPS * 32 + thread_of(me); }

// right reverses a threadgroup's numbers through shared memory, and sums them.
GD_FN void right(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  const int n = SIMDGROUPS * 32;
  shared[thread_of(me)] = in[index_of(me)];
  GD_BARRIER();
  const float mine = shared[n - 1 - thread_of(me)];
  GD_BARRIER();
  shared[thread_of(me)] = simd_total(mine);
  GD_SIMD_BARRIER();
  out[index_of(me)] = mine + shared[thread_of(me) ^ 1];
}

GD_FN void out_of_bounds(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  out[index_of(me)] = in[index_of(me) + 1];
}

GD_FN void out_of_shared(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  shared[thread_of(me) + 1] = in[index_of(me)];
  out[index_of(me)] = 0;
}

GD_FN void no_barrier(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  shared[thread_of(me)] = in[index_of(me)];
  GD_SIMD_BARRIER();
  out[index_of(me)] = shared[SIMDGROUPS * 32 - 1 - thread_of(me)];
}

// no_barrier_after writes again what others may still read.
GD_FN void no_barrier_after(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  shared[thread_of(me)] = in[index_of(me)];
  GD_BARRIER();
  out[index_of(me)] = shared[SIMDGROUPS * 32 - 1 - thread_of(me)];
  shared[thread_of(me)] = 0;
}

GD_FN void no_simd_barrier(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  shared[thread_of(me)] = in[index_of(me)];
  out[index_of(me)] = simd_total(1) * shared[thread_of(me) ^ 1];
}

GD_FN void poison(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  if (me.lane > 0) shared[thread_of(me)] = in[index_of(me)];
  GD_BARRIER();
  out[index_of(me)] = shared[thread_of(me)];
}

GD_FN void parted_lanes(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  float x = in[index_of(me)];
  if (me.lane < 16) x = simd_total(x);
  out[index_of(me)] = x;
}

GD_FN void parted_simdgroups(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  if (me.simdgroup == 0)
    GD_BARRIER();
  else
    GD_SIMD_BARRIER();
  if (me.simdgroup != 0)
    GD_BARRIER();
  out[index_of(me)] = in[index_of(me)];
}

GD_FN void early_return(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  out[index_of(me)] = in[index_of(me)];
  if (me.simdgroup == 1) return;
  GD_BARRIER();
}

GD_FN void unwritten(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  if (index_of(me) != 5) out[index_of(me)] = in[index_of(me)];
}

// twice lets two threadgroups write one element.
GD_FN void twice(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  out[index_of(me)] = in[index_of(me)];
  if (me.x == 1 && me.lane == 0) out[thread_of(me)] = 0;
}

// product and product_turned multiply a 16 x 8 matrix and one of 8 x 8.
GD_FN void product(GD_GLOBAL(const float) a, GD_GLOBAL(const float) b, GD_GLOBAL(float) out, Thread me) {
  Mat c = zero_mat();
  mma(c, left_rows<true>(a, 8, 16, me), right_rows<true>(b, 8, me));
  for (int i = 0; i < 4; ++i) out[row_of(me, i) * 8 + column_of(me, i)] = c.e[i];
}

GD_FN void product_turned(GD_GLOBAL(const float) a, GD_GLOBAL(const float) b, GD_GLOBAL(float) out, Thread me) {
  Mat c = zero_mat();
  mma(c, left_columns(a, 16, 16, 8, me), right_columns<true>(b, 8, me));
  for (int i = 0; i < 4; ++i) out[row_of(me, i) * 8 + column_of(me, i)] = c.e[i];
}

// round16 and roundb16 round DK numbers to a half type.
template <typename H>
GD_FN void round_to(GD_GLOBAL(const float) in, GD_GLOBAL(H) out, GD_GLOBAL(float) back, Thread me) {
  for (int i = me.lane; i < DK; i += 32) {
    out[i] = H(in[i]);
    back[i] = float(H(in[i]));
  }
}

GD_FN void round16(GD_GLOBAL(const float) in, GD_GLOBAL(Float16) out, GD_GLOBAL(float) back, Thread me) {
  round_to<Float16>(in, out, back, me);
}

GD_FN void roundb16(GD_GLOBAL(const float) in, GD_GLOBAL(BFloat16) out, GD_GLOBAL(float) back, Thread me) {
  round_to<BFloat16>(in, out, back, me);
}

} // namespace wrong
