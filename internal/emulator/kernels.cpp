#include <cstring>

#include "bodies_gen.h"
#include "target.h"
#include "control.h"

namespace emulator {
#include "../../ops/metal/kernels/tile.h"

// The functions of tile.h that meet.
#define simd_total(...) (Branch(true, __COUNTER__), simd_total(__VA_ARGS__))
#define row_sums(...) (Branch(true, __COUNTER__), row_sums(__VA_ARGS__))

namespace float32_c16 {
using Element = float;
constexpr int C = 16;
#include "bodies.h"
} // namespace float32_c16

namespace float32_c32 {
using Element = float;
constexpr int C = 32;
#include "bodies.h"
} // namespace float32_c32

namespace bfloat16_c16 {
using Element = BFloat16;
constexpr int C = 16;
#include "bodies.h"
} // namespace bfloat16_c16

namespace bfloat16_c32 {
using Element = BFloat16;
constexpr int C = 32;
#include "bodies.h"
} // namespace bfloat16_c32

namespace bfloat16_c64 {
using Element = BFloat16;
constexpr int C = 64;
#include "bodies.h"
} // namespace bfloat16_c64

namespace float16_c16 {
using Element = Float16;
constexpr int C = 16;
#include "bodies.h"
} // namespace float16_c16

namespace float16_c32 {
using Element = Float16;
constexpr int C = 32;
#include "bodies.h"
} // namespace float16_c32

namespace float16_c64 {
using Element = Float16;
constexpr int C = 64;
#include "bodies.h"
} // namespace float16_c64

// No kernel of the rule fits float32 chunks of 64 into a threadgroup.
namespace float32_c64 {
constexpr int C = 64;
#include "../../ops/metal/kernels/kkt_solve.metal"
} // namespace float32_c64

#include "wrong.h"
#include "control_end.h"

#define KERNEL(place, name) Entry<decltype(&place::name), &place::name>::kernel(#name "_" #place)
#define CHUNK_KERNELS(place)                                                                                      \
  KERNEL(place, chunk_prepare), KERNEL(place, chunk_forward), KERNEL(place, chunk_replay), KERNEL(place, chunk_back), \
      KERNEL(place, chunk_grads), KERNEL(place, sequential), KERNEL(place, kkt_solve), KERNEL(place, solve_blocks), KERNEL(place, l2norm), \
      KERNEL(place, l2norm_back), KERNEL(place, gated_norm), KERNEL(place, gated_norm_back),               \
      KERNEL(place, short_conv), KERNEL(place, short_conv_back), KERNEL(place, decode)

static const Kernel kernels[] = {
    CHUNK_KERNELS(float32_c16),  CHUNK_KERNELS(float32_c32),  CHUNK_KERNELS(bfloat16_c16), CHUNK_KERNELS(bfloat16_c32),
    CHUNK_KERNELS(bfloat16_c64), CHUNK_KERNELS(float16_c16),  CHUNK_KERNELS(float16_c32),  CHUNK_KERNELS(float16_c64),
    KERNEL(float32_c64, kkt_solve), KERNEL(float32_c64, solve_blocks), KERNEL(wrong, right),        KERNEL(wrong, out_of_bounds), KERNEL(wrong, out_of_shared), KERNEL(wrong, no_barrier),
    KERNEL(wrong, no_barrier_after), KERNEL(wrong, no_simd_barrier), KERNEL(wrong, poison), KERNEL(wrong, parted_lanes),
    KERNEL(wrong, parted_simdgroups), KERNEL(wrong, early_return), KERNEL(wrong, unwritten), KERNEL(wrong, twice),
    KERNEL(wrong, parted_branches), KERNEL(wrong, parted_choice), KERNEL(wrong, parted_turns),
    KERNEL(wrong, parted_waits), KERNEL(wrong, parted_products), KERNEL(wrong, parted_barriers),
    KERNEL(wrong, parted_masks), KERNEL(wrong, shuffled), KERNEL(wrong, read_output),
    KERNEL(wrong, copied_output), KERNEL(wrong, held_unwritten), KERNEL(wrong, held_outside),
    KERNEL(wrong, held_twice),
    KERNEL(wrong, product),      KERNEL(wrong, product_turned), KERNEL(wrong, round16), KERNEL(wrong, roundb16),
};

const Kernel* find_kernel(const char* name) {
  for (const Kernel& k : kernels)
    if (!strcmp(k.name, name)) return &k;
  return nullptr;
}

// float_bits and float_of reinterpret.
static uint32_t float_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

static float float_of(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

BFloat16::operator float() const { return float_of(uint32_t(bits) << 16); }

BFloat16::BFloat16(float x) {
  uint32_t u = float_bits(x);
  if (x != x)
    bits = 0x7fc0;
  else
    bits = uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

Float16::operator float() const {
  uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
  if (exponent) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
  float x = float(fraction) * (1.0f / (1 << 24));
  return sign ? -x : x;
}

Float16::Float16(float x) {
  uint32_t u = float_bits(x);
  uint16_t sign = uint16_t(u >> 16 & 0x8000);
  float size = std::fabs(x);
  if (x != x)
    bits = 0x7e00;
  else if (size >= 65520.0f)
    bits = sign | 0x7c00;
  else if (size < 6.103515625e-05f) // subnormal: in units of 2^-24
    bits = sign | uint16_t(std::nearbyint(size * (1 << 24)));
  else
    bits = sign | uint16_t(((u & 0x7fffffff) - (112u << 23) + 0xfff + (u >> 13 & 1)) >> 13);
}

} // namespace emulator

const char* emulator_kernel(int i) {
  const int count = int(sizeof emulator::kernels / sizeof *emulator::kernels);
  return i < count ? emulator::kernels[i].name : nullptr;
}

const char* emulator_bodies(void) { return EMULATOR_BODIES; }
