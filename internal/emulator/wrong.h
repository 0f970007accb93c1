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

// The kernels from here to parted_barriers part on one line, and meet as often on all
// ways.
GD_FN void parted_branches(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  float x = in[index_of(me)];
  if (me.lane < 16) x = simd_total(x); else x = simd_total(2 * x);
  out[index_of(me)] = x;
}

GD_FN void parted_choice(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  const float x = in[index_of(me)];
  out[index_of(me)] = me.lane < 16 ? simd_total(x) : simd_total(2 * x);
}

GD_FN void parted_turns(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  float x = in[index_of(me)];
  for (int i = 0; i < 2; ++i) for (int n = (me.lane < 16) == (i == 0) ? 1 : 2; n > 0; --n) x += GD_SHUFFLE_XOR(x, 1);
  out[index_of(me)] = x;
}

GD_FN void parted_waits(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  float x = in[index_of(me)];
  int turns = 0;
  while (turns < (me.lane < 16 ? 2 : 4)) if (++turns > (me.lane < 16 ? 0 : 2)) x += GD_SHUFFLE_XOR(x, 1);
  out[index_of(me)] = x;
}

GD_FN void parted_products(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  Mat c = zero_mat();
  me.lane < 16 ? mma(c, c, Right{{1, 1}}) : mma(c, c, Right{{2, 2}});
  out[index_of(me)] = in[index_of(me)] + c.e[0];
}

GD_FN void parted_barriers(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  if (me.simdgroup == 0) GD_BARRIER(); else GD_BARRIER();
  out[index_of(me)] = in[index_of(me)];
}

GD_FN void parted_masks(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  out[index_of(me)] = GD_SHUFFLE_XOR(in[index_of(me)], me.lane < 16 ? 1 : 2);
}

// shuffled takes DK for the mask.
GD_FN void shuffled(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  out[index_of(me)] = GD_SHUFFLE_XOR(in[index_of(me)], DK);
}

// read_output reads what the next threadgroup writes.
GD_FN void read_output(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  GD_GLOBAL(const float) other = out;
  out[index_of(me)] = in[index_of(me)];
  GD_BARRIER();
  if (me.x == 1) shared[thread_of(me)] = other[index_of(me) + SIMDGROUPS * 32];
}

GD_FN void copied_output(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  out[index_of(me)] = in[index_of(me)];
  if (me.lane == 1) out[index_of(me)] = out[index_of(me) - 1];
}

GD_FN void held_unwritten(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  Held<4> h = new_held<4>(me);
  for (int i = 0; i < 3; ++i) hold(h, i, zero_mat());
  out[index_of(me)] = in[index_of(me)] + held(h, 3).e[0];
}

GD_FN void held_outside(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  Held<4> h = new_held<4>(me);
  for (int i = 0; i <= 4; ++i) hold(h, i, zero_mat());
  out[index_of(me)] = in[index_of(me)];
}

// held_twice makes two that are one on CUDA.
GD_FN void held_twice(GD_GLOBAL(const float) in, GD_GLOBAL(float) out, GD_SHARED(float) shared, Thread me) {
  Held<4> a = new_held<4>(me), b = new_held<4>(me);
  hold(a, 0, zero_mat());
  hold(b, 0, zero_mat());
  out[index_of(me)] = in[index_of(me)] + held(a, 0).e[0];
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
