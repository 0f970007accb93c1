// Fibers: what a lane runs on. A switch costs a few nanoseconds.
#ifndef DELTATAPE_EMULATOR_FIBER_H
#define DELTATAPE_EMULATOR_FIBER_H

#include <cstddef>

namespace emulator {

// Fiber is a suspended or running stack.
struct Fiber {
  void* stack_pointer = nullptr;
  void* sanitizer_stack = nullptr; // AddressSanitizer's view of it
  const void* bottom = nullptr;
  size_t size = 0;
};

// prepare lets the first switch to the fiber call entry, which never returns, on
// the given stack.
void prepare(Fiber& f, void* bottom, size_t size, void (*entry)());

// change suspends `from`, which runs, and resumes `to`. The last change of a
// fiber is for good.
void change(Fiber& from, Fiber& to, bool last = false);

// arrived is to be called first on a new fiber, with the one that came before.
void arrived(Fiber& before);

} // namespace emulator

#endif
