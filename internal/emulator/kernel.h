// Kernels by name.
#ifndef DELTATAPE_EMULATOR_KERNEL_H
#define DELTATAPE_EMULATOR_KERNEL_H

#include <cstdint>
#include <utility>

#include "machine.h"
#include "memory.h"

namespace emulator {

struct Kernel {
  const char* name;
  bool (*check)(Machine&, const emulator_buffer*, int); // of the arguments' types
  void (*call)(Machine&);                               // by each lane

  // Kernels are registered by their addresses.
  template <typename... A>
  static bool check_arguments(Machine& m, const emulator_buffer* buffers, int count) {
    const int wanted[] = {Argument<A>::type...};
    const bool outputs[] = {Argument<A>::output...};
    int n = 0;
    for (size_t i = 0; i < sizeof...(A); i++) {
      if (wanted[i] < 0) continue;
      if (n >= count || buffers[n].type != wanted[i] || (buffers[n].output != 0) != outputs[i]) {
        m.fail("argument %d is missing or of another type", n);
        return false;
      }
      n++;
    }
    if (n != count) m.fail("%d arguments, want %d", count, n);
    return n == count;
  }
};

const Kernel* find_kernel(const char* name);

template <typename F, F f>
struct Entry;

template <typename... A, void (*f)(A...)>
struct Entry<void (*)(A...), f> {
  template <size_t... I>
  static void pass(Machine& m, std::index_sequence<I...>) {
    f(Argument<A>::of(m, int(I))...);
  }
  static void call(Machine& m) { pass(m, std::index_sequence_for<A...>()); }
  static constexpr Kernel kernel(const char* name) { return {name, Kernel::check_arguments<A...>, call}; }
};

} // namespace emulator

#endif
