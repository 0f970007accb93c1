// What the kernels use of Metal, for clang's syntax check as C++ for OpenCL, whose
// address spaces are Metal's by other names: a pointer into another one than a
// function takes is an error.
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef unsigned short ushort;
#define device __global
#define threadgroup __local
#define constant __constant
#define thread __private

struct bfloat16_t {
  unsigned short bits;
  bfloat16_t() = default;
  explicit bfloat16_t(float);
  operator float() const;
};

namespace metal {
struct float2 {
  float x, y;
  float2(float, float);
};
enum class mem_flags { mem_threadgroup };
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);
float simd_shuffle_xor(float, ushort);
namespace precise {
float exp(float);
float rsqrt(float);
}
template <typename T, int rows, int columns>
struct simdgroup_matrix {
  struct elements {};
  thread elements& thread_elements();
};
template <typename T, int rows, int columns>
void simdgroup_multiply_accumulate(simdgroup_matrix<T, rows, columns>&, simdgroup_matrix<T, rows, columns>,
                                   simdgroup_matrix<T, rows, columns>, simdgroup_matrix<T, rows, columns>);
} // namespace metal

struct uint3_stub {
  unsigned x, y, z;
};
