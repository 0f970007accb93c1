// The passes: arrays, threads and how these treat subnormal numbers, and the choice of
// the set of instructions.
#include <exception>
#include <thread>
#include <vector>

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

void work(cpukernel_rule& rule, bool backward, float* memory) {
  [[maybe_unused]] Flushed flushed;
#if defined(__x86_64__)
  switch (rule.level) {
  case 2: return avx512::work(rule, backward, memory);
  case 1: return avx2::work(rule, backward, memory);
  }
#endif
  plain::work(rule, backward, memory);
}

// need is what plain::need says in whole cache lines.
int64_t need(cpukernel_rule rule, bool backward) { return (plain::need(rule, backward) + 15) / 16 * 16; }

int64_t workers(const cpukernel_pass& pass) {
  int64_t tasks = pass.rule.sequences * pass.rule.hk;
  return pass.threads < tasks ? pass.threads : tasks;
}

// Arrays hands out a list's arrays, one after the other.
template <class T, class List>
struct Arrays {
  List list;

  T* next(bool there = true) { return there ? static_cast<T*>(*list++) : nullptr; }
};

// clear zeroes the rows of tokens that no sequence has.
void clear(const cpukernel_rule& z, float* x, int64_t width) {
  int64_t end = z.end[z.sequences - 1];
  memset(x, 0, sizeof(float) * width * z.begin[0]);
  memset(x + width * end, 0, sizeof(float) * width * (z.tokens - end));
}

} // namespace

void cpukernel_run(const void* payload, const void* const* from, void* const* to, void* workspace) {
  const cpukernel_pass& pass = *static_cast<const cpukernel_pass*>(payload);
  cpukernel_rule z = pass.rule; // others may run the pass at the same time
  Arrays<const float, const void* const*> in{from};
  Arrays<float, void* const*> out{to};
  z.q = in.next(), z.k = in.next(), z.v = in.next(), z.g = in.next(), z.beta = in.next();
  z.h0 = in.next(pass.h0);
  int64_t heads = z.hk * z.r;
  if (pass.backward) {
    z.grad_o = in.next(pass.grad_o), z.grad_ht = in.next(pass.grad_ht);
    z.starts = const_cast<float*>(in.next(pass.starts)); // to be read
    z.dq = out.next(), z.dk_out = out.next(), z.dv_out = out.next(), z.dg = out.next(), z.dbeta = out.next();
    z.dh0 = out.next(pass.h0);
    for (float* x : {z.dq, z.dk_out}) clear(z, x, z.hk * z.dk);
    for (float* x : {z.dg, z.dbeta}) clear(z, x, heads);
    clear(z, z.dv_out, heads * z.dv);
  } else {
    z.o = out.next(), z.ht = out.next(pass.ht), z.starts = out.next(pass.starts);
    clear(z, z.o, heads * z.dv);
  }

  int64_t each = need(z, pass.backward);
  auto start = [&](int64_t i) { work(z, pass.backward, static_cast<float*>(workspace) + i * each); };
  std::vector<std::thread> others;
  try {
    for (int64_t i = 1; i < workers(pass); i++) others.emplace_back(start, i);
  } catch (const std::exception&) { // those that there are do the tasks of the rest
  }
  start(0);
  for (std::thread& t : others) t.join();
}

int64_t cpukernel_workspace(const cpukernel_pass* pass) {
  return workers(*pass) * need(pass->rule, pass->backward) * static_cast<int64_t>(sizeof(float));
}

void cpukernel_release(void* pass) { free(pass); }

int cpukernel_levels(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") ? 3 : 2;
#else
  return 1;
#endif
}
