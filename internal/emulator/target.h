// The macro layer for the emulator: see ops/metal/kernels/metal.h. Types, T, C and
// the element type are the compiler's; all other sizes come with a launch.
#ifndef DELTATAPE_EMULATOR_TARGET_H
#define DELTATAPE_EMULATOR_TARGET_H

#include <cmath>

#include "kernel.h"
#include "machine.h"
#include "memory.h"

#define GD_FN static inline
#define GD_GLOBAL(X) emulator::Global<X>
#define GD_SHARED(X) emulator::Shared<X>
#define GD_REF(X) X&
#define GD_UNROLL
#define GD_UNROLL_HELD
#define GD_STEP_HELD
#define GD_UNROLL_LOADS
#define GD_UNROLL_WIDE

#define GD_SITE (emulator::Site{__FILE__, __LINE__, __COUNTER__})
#define GD_BARRIER() emulator::machine->meet(emulator::Meeting::barrier, GD_SITE)
#define GD_SIMD_BARRIER() emulator::machine->meet(emulator::Meeting::simdgroup_barrier, GD_SITE)
#define GD_SHUFFLE_XOR(x, mask) emulator::shuffle_xor(x, mask, GD_SITE)
#define mma(...) emulator::multiply(__VA_ARGS__, GD_SITE)
#define GD_EXP(x) std::exp(x)
#define GD_RSQRT(x) (1.0f / std::sqrt(x))

#define DK (emulator::machine->launch->dk)
#define DV (emulator::machine->launch->dv)
#define HK (emulator::machine->launch->hk)
#define HV (emulator::machine->launch->hv)
#define R (HV / HK)
#define SIMDGROUPS (emulator::machine->launch->simdgroups)
#define MAX_DK 256
#define MAX_GRADS_SHARE 4
#define MAX_ROW_SHARE 8
#define MAX_WIDTH 8

namespace emulator {

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

#ifdef EMULATOR_CUDA_LANES
// The lane map of CUDA's tensor cores: scripts/cuda_check.sh builds the tests so.
inline Thread thread_at(int lane, int simdgroup, int x, int y) {
  return Thread{lane, simdgroup, x, y, lane / 4, lane % 4 * 2};
}

constexpr int GD_ROW_MASK_A = 1, GD_ROW_MASK_B = 2;

constexpr bool GD_RIGHT_TURNED = true;
#else
// The lane map of Metal's 8x8 matrices.
inline Thread thread_at(int lane, int simdgroup, int x, int y) {
  const int quad = lane / 4;
  return Thread{lane, simdgroup, x, y, (quad & 4) + (lane / 2) % 4, (quad & 2) * 2 + (lane % 2) * 2};
}

constexpr int GD_ROW_MASK_A = 1, GD_ROW_MASK_B = 8;

constexpr bool GD_RIGHT_TURNED = false;
#endif

template <typename P>
inline Pair even_pair(P p) {
  p.check_even();
  return Pair{float(p[0]), float(p[1])};
}

inline float shuffle_xor(float x, int mask, Site site) {
  Machine& m = *machine;
  const int lane = m.current % lanes_per_simdgroup;
  if (mask < 0 || mask >= lanes_per_simdgroup) m.fail("shuffles by mask %d, want 0 to %d", mask, lanes_per_simdgroup - 1);
  m.here().given[lane] = x;
  m.here().masks[lane] = mask;
  m.meet(Meeting::shuffle, site);
  return m.here().taken[(lane ^ mask) & (lanes_per_simdgroup - 1)];
}

// multiply adds the product of a and b to c.
inline void multiply(Mat& c, Mat a, Right b, Site site) {
  Machine& m = *machine;
  const int lane = m.current % lanes_per_simdgroup;
  const Thread me = thread_at(lane, 0, 0, 0);
  Simdgroup& s = m.here();
  for (int i = 0; i < 4; i++) s.left[me.row + 8 * (i >> 1)][me.column + (i & 1)] = a.e[i];
  for (int i = 0; i < 2; i++)
    (GD_RIGHT_TURNED ? s.right[me.column + i][me.row] : s.right[me.row][me.column + i]) = b.e[i];
  m.meet(Meeting::product, site);
  for (int i = 0; i < 4; i++) c.e[i] += s.product[me.row + 8 * (i >> 1)][me.column + (i & 1)];
}

// Held keeps matrices. It has nothing in it at first, as on CUDA, where it is shared
// memory of which a kernel has one piece.
template <int n>
struct Held {
  Mat m[n];
  bool written[n];

  bool inside(int i, const char* does) const {
    if (i >= 0 && i < n) return true;
    machine->fail("%s matrix %d of a Held of %d", does, i, n);
    return false;
  }
};

template <int n>
GD_FN Held<n> new_held(Thread) {
  Lane& lane = machine->lanes[machine->current];
  if (lane.holds) machine->fail("makes a second Held");
  lane.holds = true;
  return Held<n>();
}

template <int n>
GD_FN Mat held(GD_REF(Held<n>) h, int i) {
  constexpr float nothing = std::numeric_limits<float>::quiet_NaN();
  if (!h.inside(i, "reads")) return Mat{{nothing, nothing, nothing, nothing}};
  if (!h.written[i]) {
    machine->fail("reads matrix %d of a Held, which nothing wrote", i);
    return Mat{{nothing, nothing, nothing, nothing}};
  }
  return h.m[i];
}

template <int n>
GD_FN void hold(GD_REF(Held<n>) h, int i, Mat a) {
  if (!h.inside(i, "writes")) return;
  h.m[i] = a;
  h.written[i] = true;
}

// As on GPUs that load ahead, and not a divisor of most sizes.
#define GD_AHEAD 3

template <>
struct Argument<Thread> {
  static constexpr int type = -1;
  static constexpr bool output = false;
  static Thread of(Machine& m, int) {
    return thread_at(m.current % lanes_per_simdgroup, m.simdgroup_of(m.current), m.group_x, m.group_y);
  }
};

} // namespace emulator

#endif
