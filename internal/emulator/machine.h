// The machine that runs threadgroups: lanes are fibers, which stop wherever the
// lanes of a simdgroup meet, and memory is checked at every access.
#ifndef DELTATAPE_EMULATOR_MACHINE_H
#define DELTATAPE_EMULATOR_MACHINE_H

#include <cstdint>
#include <vector>

#include "api.h"
#include "fiber.h"

namespace emulator {

constexpr int lanes_per_simdgroup = 32;
constexpr int most_simdgroups = 32;

// Meeting is where a lane stops.
enum class Meeting { none, shuffle, product, simdgroup_barrier, barrier, end };

// Site is a place in the kernels' sources: `id` is that of a call, for a line may
// have several. The end of a kernel is the site without a file.
struct Site {
  const char* file;
  int line, id;
};

struct Lane {
  Fiber fiber;
  Meeting at = Meeting::none;
  Site site = {};
  uint64_t path = 0;
  bool holds = false; // has made a Held
};

// Simdgroup is what the lanes of one exchange.
struct Simdgroup {
  enum { ready, waiting, finished } state = ready;
  uint32_t phase = 0; // barriers passed, of either kind
  float given[lanes_per_simdgroup], taken[lanes_per_simdgroup];
  int masks[lanes_per_simdgroup]; // of a shuffle
  float left[16][8], right[8][8], product[16][8];
};

// Cell records who used a cell of threadgroup memory last. Phases tell whether a
// barrier lies between: `group` counts those of the threadgroup, `simd` also those
// of the simdgroup that accessed.
struct Cell {
  uint32_t write_group = 0, write_simd = 0, read_group = 0, read_simd = 0;
  int16_t writer = -1, reader = -1; // threads
  bool many_lanes = false;          // of the reader's simdgroup have read
  bool many_simdgroups = false;     // have read
};

// Array is an argument of the kernel.
struct Array {
  char* begin;
  int64_t length;
  int index;
  bool output;
  std::vector<uint8_t> written; // by element; empty for inputs
};

struct Machine {
  const emulator_launch* launch = nullptr;
  std::vector<Array> arrays;
  std::vector<Lane> lanes;
  std::vector<Simdgroup> simdgroups;
  std::vector<float> shared;
  std::vector<Cell> cells;
  Fiber scheduler;
  Fiber* before = nullptr; // the fiber that was left last
  int current = 0;         // thread that runs
  uint64_t path = 0;       // of the thread that runs: see control.h
  int group_x = 0, group_y = 0;
  uint32_t phase = 1;       // barriers passed, by all threadgroups
  uint32_t first_phase = 1; // of this threadgroup
  uint64_t random = 1;
  char* fault = nullptr;
  size_t fault_size = 0;
  bool failed = false;
  const void* body = nullptr; // the kernel, for enter

  int simdgroup_of(int thread) const { return thread / lanes_per_simdgroup; }
  Simdgroup& here() { return simdgroups[simdgroup_of(current)]; }

  // meet stops the running lane until its simdgroup, or threadgroup, has come
  // as far.
  void meet(Meeting at, Site site);

  void fail(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void read_shared(int64_t i);
  void write_shared(int64_t i);
  uint64_t below(uint64_t n);
  void run_threadgroup();
  bool step(int simdgroup);
};

// machine is that of the launch on this thread.
extern __thread Machine* machine;

} // namespace emulator

#endif
