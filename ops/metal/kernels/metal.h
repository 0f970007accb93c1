// The macro layer for Metal. metal_stdlib and metal_simdgroup_matrix go before it.
#define GD_FN inline
#define GD_GLOBAL(X) device X*
#define GD_SHARED(X) threadgroup X*
#define GD_REF(X) thread X&
#define GD_UNROLL _Pragma("clang loop unroll(full)")

// Registers can't be indexed at run time, so loops over matrices that are held are
// unrolled whole; those whose steps wait for memory are left to the compiler.
#define GD_UNROLL_HELD GD_UNROLL
#define GD_STEP_HELD GD_UNROLL
#define GD_UNROLL_LOADS
#define GD_UNROLL_WIDE

#define GD_BARRIER() metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup)
#define GD_SIMD_BARRIER() metal::simdgroup_barrier(metal::mem_flags::mem_threadgroup)
#define GD_SHUFFLE_XOR(x, mask) metal::simd_shuffle_xor(x, ushort(mask))
#define GD_EXP(x) metal::precise::exp(x)
#define GD_RSQRT(x) metal::precise::rsqrt(x)

struct Mat {
  float e[4];
};

struct Right {
  float e[2];
};

struct Pair {
  float x, y;
};

struct Thread {
  int lane, simdgroup, x, y;
  int row, column;
};

// The lane map of Metal's 8x8 matrices: a lane has two neighbours of a row.
GD_FN Thread thread_at(int lane, int simdgroup, int x, int y) {
  const int quad = lane / 4;
  return Thread{lane, simdgroup, x, y, (quad & 4) + (lane / 2 & 3), (quad & 2) * 2 + (lane & 1) * 2};
}

// Lanes that differ in these bits have elements of one row.
constant constexpr int GD_ROW_MASK_A = 1, GD_ROW_MASK_B = 8;

// A right operand has the same map.
constant constexpr bool GD_RIGHT_TURNED = false;

// even_pair returns the numbers at an even place of an array.
template <typename P>
GD_FN Pair even_pair(P p) {
  return Pair{float(p[0]), float(p[1])};
}

// mma adds the product of a and b to c.
GD_FN void mma(GD_REF(Mat) c, Mat a, Right b) {
  metal::simdgroup_matrix<float, 8, 8> left, right, sum;
  reinterpret_cast<thread metal::float2&>(right.thread_elements()) = metal::float2(b.e[0], b.e[1]);
  GD_UNROLL
  for (int half_of = 0; half_of < 2; ++half_of) {
    const int i = 2 * half_of;
    reinterpret_cast<thread metal::float2&>(left.thread_elements()) = metal::float2(a.e[i], a.e[i + 1]);
    reinterpret_cast<thread metal::float2&>(sum.thread_elements()) = metal::float2(c.e[i], c.e[i + 1]);
    metal::simdgroup_multiply_accumulate(sum, left, right, sum);
    const metal::float2 d = reinterpret_cast<thread metal::float2&>(sum.thread_elements());
    c.e[i] = d.x;
    c.e[i + 1] = d.y;
  }
}

// Held keeps matrices in registers.
template <int n>
struct Held {
  Mat m[n];
};

template <int n>
GD_FN Held<n> new_held(Thread) {
  return Held<n>();
}

template <int n>
GD_FN Mat held(GD_REF(Held<n>) h, int i) {
  return h.m[i];
}

template <int n>
GD_FN void hold(GD_REF(Held<n>) h, int i, Mat a) {
  h.m[i] = a;
}

#define GD_AHEAD 1
