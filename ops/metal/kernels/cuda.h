// The macro layer for CUDA, from compute capability 8.0 on. A warp is the
// simdgroup.

// The engine writes the kernel's signature; with this it says how many threads
// there are, without which the compiler may take more registers than they have.
#undef __global__
#define __global__ __attribute__((global)) __launch_bounds__(32 * SIMDGROUPS, 1)

#define GD_FN __device__ __forceinline__
#define GD_GLOBAL(X) X* __restrict__
#define GD_SHARED(X) X*
#define GD_REF(X) X&
#define GD_UNROLL _Pragma("unroll")

// Loops over matrices that are held, and loops whose steps wait for memory, are
// unrolled in part: whole they take seconds to compile, and registers that are not
// there. WIDE is for steps of many loads, of which large threadgroups have room for one.
#define GD_UNROLL_HELD _Pragma("unroll 4")
#define GD_STEP_HELD _Pragma("unroll 1")
#define GD_UNROLL_LOADS _Pragma("unroll 4")
#define GD_UNROLL_WIDE _Pragma("unroll GD_WIDE_STEPS")
constexpr int GD_WIDE_STEPS = SIMDGROUPS > 8 ? 1 : 2;

#define GD_BARRIER() __syncthreads()
#define GD_SIMD_BARRIER() __syncwarp()
#define GD_SHUFFLE_XOR(x, mask) __shfl_xor_sync(0xffffffffu, x, mask)
#define GD_EXP(x) expf(x)
#define GD_RSQRT(x) rsqrtf(x)

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

// The lane map is that of the tensor cores' m16n8k8 accumulators.
GD_FN Thread thread_at(int lane, int simdgroup, int x, int y) {
  return Thread{lane, simdgroup, x, y, lane / 4, (lane & 3) * 2};
}

constexpr int GD_ROW_MASK_A = 1, GD_ROW_MASK_B = 2;

// An accumulator serves as a left operand as it is if both operands take the
// columns in the order 0 2 4 6 1 3 5 7: so a lane's rows of a right operand are
// neighbours, and its map is that of the accumulators with rows and columns
// exchanged.
constexpr bool GD_RIGHT_TURNED = true;

// even_pair returns the numbers at an even place of an array.
template <typename P>
GD_FN Pair even_pair(P p) {
  return Pair{float(p[0]), float(p[1])};
}

GD_FN Pair even_pair(const float* p) {
  const float2 x = *reinterpret_cast<const float2*>(p);
  return Pair{x.x, x.y};
}

// split cuts x into two numbers of 11 significant bits that tensor cores take as they
// are. What is left is below 2^-22 of x, of either sign.
GD_FN void split(float x, unsigned& high, unsigned& low) {
  high = (__float_as_uint(x) + 0x1000u) & 0xffffe000u;
  low = __float_as_uint(x - __uint_as_float(high));
}

// \045 is the percent sign, which the engine would take for a format.
#define GD_MMA_TF32(c, a, b)                                                                                    \
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {\0450,\0451,\0452,\0453}, {\0454,\0455,\0456,\0457}, " \
      "{\0458,\0459}, {\0450,\0451,\0452,\0453};"                                                                   \
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                           \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

// mma adds the product of a and b to c, by three products of their parts, which
// keeps the accuracy of float32. Tensor cores cut off what they add: so they sum no
// more than one product, and c takes that with rounding.
GD_FN void mma(Mat& c, Mat a, Right b) {
  unsigned ah[4], al[4], bh[2], bl[2];
  split(a.e[0], ah[0], al[0]);
  split(a.e[2], ah[1], al[1]);
  split(a.e[1], ah[2], al[2]);
  split(a.e[3], ah[3], al[3]);
  split(b.e[0], bh[0], bl[0]);
  split(b.e[1], bh[1], bl[1]);
  float d[4] = {0, 0, 0, 0};
  GD_MMA_TF32(d, al, bh);
  GD_MMA_TF32(d, ah, bl);
  GD_MMA_TF32(d, ah, bh);
  GD_UNROLL
  for (int i = 0; i < 4; ++i) c.e[i] += d[i];
}

// Held keeps matrices in shared memory, where a lane has what is its own: so they may
// be indexed at run time, and registers are left for what loops load ahead. A kernel
// makes one.
template <int n>
struct Held {
  float4* m;
};

template <int n>
GD_FN Held<n> new_held(Thread me) {
  __shared__ float4 all[SIMDGROUPS * n * 32];
  return Held<n>{all + (me.simdgroup * n * 32 + me.lane)};
}

template <int n>
GD_FN Mat held(Held<n>& h, int i) {
  const float4 x = h.m[32 * i];
  return Mat{{x.x, x.y, x.z, x.w}};
}

template <int n>
GD_FN void hold(Held<n>& h, int i, Mat a) {
  h.m[32 * i] = float4{a.e[0], a.e[1], a.e[2], a.e[3]};
}

// GD_AHEAD is the number of steps for which loops over what is held load ahead.
#define GD_AHEAD (128 / C)
