// Pointers that check: into the arrays of a launch and into threadgroup memory.
#ifndef DELTATAPE_EMULATOR_MEMORY_H
#define DELTATAPE_EMULATOR_MEMORY_H

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "machine.h"

namespace emulator {

// Half types keep their bits. A conversion rounds to nearest, ties to even.
struct BFloat16 {
  uint16_t bits;
  BFloat16() = default;
  explicit BFloat16(float x);
  operator float() const;
};

struct Float16 {
  uint16_t bits;
  Float16() = default;
  explicit Float16(float x);
  operator float() const;
};

// Global points into an array of the launch.
template <typename X>
class Global {
public:
  using Value = std::remove_const_t<X>;

  Global(X* p, Array* a) : p(p), array(a) {}
  template <typename Y, typename = std::enable_if_t<std::is_same<const Y, X>::value && !std::is_const<Y>::value>>
  Global(const Global<Y>& other) : p(other.p), array(other.array) {}

  Global operator+(int64_t n) const {
    return Global(reinterpret_cast<X*>(reinterpret_cast<uintptr_t>(p) + uintptr_t(n) * sizeof(X)), array);
  }

  // An output's element takes one value, and is not read: other threadgroups, of
  // which nothing is known, may not have written it.
  struct Element {
    Global to;
    int64_t at;
    void operator=(Value v) const { to.write(at, v); }
    void operator=(const Element& other) const { *this = other.to.read(other.at); }
  };

  std::conditional_t<std::is_const<X>::value, Value, Element> operator[](int64_t i) const {
    if constexpr (std::is_const<X>::value)
      return read(i);
    else
      return Element{*this, i};
  }

  // check_even faults unless the pointer is at an even place.
  void check_even() const {
    if ((reinterpret_cast<uintptr_t>(p) - reinterpret_cast<uintptr_t>(array->begin)) / sizeof(X) & 1)
      machine->fail("reads a pair at an odd place of argument %d", array->index);
  }

  X* p;
  Array* array;

private:
  // place returns the index in the array, or -1 after a fault.
  int64_t place(int64_t i, const char* does) const {
    int64_t at = (intptr_t(reinterpret_cast<uintptr_t>(p)) - intptr_t(array->begin)) / int64_t(sizeof(X)) + i;
    if (at >= 0 && at < array->length) return at;
    machine->fail("%s element %lld of argument %d, which has %lld", does, (long long)at, array->index, (long long)array->length);
    return -1;
  }

  Value read(int64_t i) const {
    if (array->output) machine->fail("reads argument %d, which is an output", array->index);
    int64_t at = place(i, "reads");
    return at < 0 ? Value() : reinterpret_cast<X*>(array->begin)[at];
  }

  void write(int64_t i, Value v) const {
    int64_t at = place(i, "writes");
    if (at < 0) return;
    if (array->written[at]) return machine->fail("writes element %lld of argument %d a second time", (long long)at, array->index);
    array->written[at] = 1;
    reinterpret_cast<X*>(array->begin)[at] = v;
  }
};

// Shared points into threadgroup memory.
template <typename X>
class Shared {
public:
  explicit Shared(int64_t at) : at(at) {}
  template <typename Y, typename = std::enable_if_t<std::is_same<const Y, X>::value && !std::is_const<Y>::value>>
  Shared(const Shared<Y>& other) : at(other.at) {}

  Shared operator+(int64_t n) const { return Shared(at + n); }

  struct Element {
    int64_t at;

    bool inside(const char* does) const {
      if (at >= 0 && at < int64_t(machine->shared.size())) return true;
      machine->fail("%s cell %lld of threadgroup memory, which has %zu", does, (long long)at, machine->shared.size());
      return false;
    }

    operator float() const {
      if (!inside("reads")) return std::numeric_limits<float>::quiet_NaN();
      machine->read_shared(at);
      return machine->shared[at];
    }

    void operator=(float v) const {
      static_assert(!std::is_const<X>::value, "read only");
      if (!inside("writes")) return;
      machine->write_shared(at);
      machine->shared[at] = v;
    }

    void operator=(const Element& other) const { *this = float(other); }
  };

  Element operator[](int64_t i) const { return Element{at + i}; }

  void check_even() const {
    if (at & 1) machine->fail("reads a pair at an odd cell of threadgroup memory");
  }

  int64_t at;
};

// Argument makes the arguments of a kernel from the launch.
template <typename A>
struct Argument;

template <typename T>
constexpr int type_number = -1;
template <>
inline constexpr int type_number<float> = EMULATOR_FLOAT32;
template <>
inline constexpr int type_number<Float16> = EMULATOR_FLOAT16;
template <>
inline constexpr int type_number<BFloat16> = EMULATOR_BFLOAT16;
template <>
inline constexpr int type_number<int> = EMULATOR_INT32;

template <typename X>
struct Argument<Global<X>> {
  static constexpr int type = type_number<std::remove_const_t<X>>;
  static constexpr bool output = !std::is_const<X>::value;
  static Global<X> of(Machine& m, int i) { return Global<X>(reinterpret_cast<X*>(m.arrays[i].begin), &m.arrays[i]); }
};

template <typename X>
struct Argument<Shared<X>> {
  static constexpr int type = -1;
  static constexpr bool output = false;
  static Shared<X> of(Machine&, int) { return Shared<X>(0); }
};

} // namespace emulator

#endif
