// Chooses the instruction set and how threads treat subnormal numbers.
#include "units.h"

namespace {

// Subnormal operands cost x86 about a hundred cycles, and products of strong gates are
// full of them. Flushed makes them zeros on this thread, as MLX's threads do.
class Flushed {
#if defined(__x86_64__)
  unsigned before = __builtin_ia32_stmxcsr();

public:
  Flushed() { __builtin_ia32_ldmxcsr(before | 0x8040); }
  ~Flushed() { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
  uint64_t before;

public:
  Flushed() {
    asm volatile("mrs %0, fpcr" : "=r"(before));
    asm volatile("msr fpcr, %0" : : "r"(before | uint64_t{1} << 24));
  }
  ~Flushed() { asm volatile("msr fpcr, %0" : : "r"(before)); }
#endif
};

int run(cpukernel_rule* rule, bool backward) {
  [[maybe_unused]] Flushed flushed;
#if defined(__x86_64__)
  switch (rule->level) {
  case 2: return avx512::run(*rule, backward);
  case 1: return avx2::run(*rule, backward);
  }
#endif
  return plain::run(*rule, backward);
}

} // namespace

int cpukernel_forward(cpukernel_rule* rule) { return run(rule, false); }

int cpukernel_backward(cpukernel_rule* rule) { return run(rule, true); }

int cpukernel_levels(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") ? 3 : 2;
#else
  return 1;
#endif
}
