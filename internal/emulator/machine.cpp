#include "machine.h"

#include <sys/mman.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>

#include "kernel.h"

namespace emulator {

__thread Machine* machine;

void Machine::fail(const char* format, ...) {
  if (failed) return;
  failed = true;
  int n = snprintf(fault, fault_size, "%s: threadgroup (%d, %d), simdgroup %d, lane %d: ", launch->kernel, group_x, group_y,
                   simdgroup_of(current), current % lanes_per_simdgroup);
  if (n < 0 || size_t(n) >= fault_size) return;
  va_list list;
  va_start(list, format);
  vsnprintf(fault + n, fault_size - n, format, list);
  va_end(list);
}

// below returns a number from 0 to n-1 (xorshift64*).
uint64_t Machine::below(uint64_t n) {
  random ^= random >> 12;
  random ^= random << 25;
  random ^= random >> 27;
  return (random * 0x2545F4914F6CDD1DULL >> 33) % n;
}

// conflicts reports whether an access by `other` at the given phases is not
// separated by a barrier from one by thread now.
static bool conflicts(Machine& m, int other, uint32_t group, uint32_t simd) {
  if (other < 0 || other == m.current || group < m.first_phase) return false;
  if (m.simdgroup_of(other) == m.simdgroup_of(m.current)) return simd == m.here().phase && group == m.phase;
  return group == m.phase;
}

void Machine::read_shared(int64_t i) {
  Cell& c = cells[i];
  if (c.writer < 0 || c.write_group < first_phase) return fail("reads cell %lld of threadgroup memory, which nothing wrote", (long long)i);
  if (conflicts(*this, c.writer, c.write_group, c.write_simd))
    return fail("reads cell %lld of threadgroup memory, which thread %d wrote with no barrier between", (long long)i, c.writer);
  if (c.reader < 0 || c.read_group != phase) {
    c.many_lanes = c.many_simdgroups = false;
  } else if (simdgroup_of(c.reader) != simdgroup_of(current)) {
    c.many_simdgroups = true;
  } else if (c.read_simd != here().phase) {
    c.many_lanes = false;
  } else if (c.reader != current) {
    c.many_lanes = true;
  }
  c.reader = int16_t(current);
  c.read_group = phase;
  c.read_simd = here().phase;
}

void Machine::write_shared(int64_t i) {
  Cell& c = cells[i];
  if (conflicts(*this, c.writer, c.write_group, c.write_simd))
    return fail("writes cell %lld of threadgroup memory, which thread %d wrote with no barrier between", (long long)i, c.writer);
  bool others = c.reader >= 0 && c.read_group == phase &&
                (c.many_simdgroups || (c.many_lanes && c.read_simd == here().phase) ||
                 conflicts(*this, c.reader, c.read_group, c.read_simd));
  if (others) return fail("writes cell %lld of threadgroup memory, which others read with no barrier between", (long long)i);
  c.reader = -1;
  c.writer = int16_t(current);
  c.write_group = phase;
  c.write_simd = here().phase;
}

void Machine::meet(Meeting at, Site site) {
  int me = current;
  Lane& lane = lanes[me];
  lane.at = at;
  lane.site = site;
  lane.path = path;
  before = &lane.fiber;
  bool end = at == Meeting::end;
  if (me % lanes_per_simdgroup + 1 < lanes_per_simdgroup) {
    current = me + 1;
    change(lane.fiber, lanes[me + 1].fiber, end);
  } else {
    change(lane.fiber, scheduler, end);
  }
  path = lane.path;
}

// enter is where lanes begin.
static void enter() {
  arrived(*machine->before);
  machine->path = 0;
  static_cast<const Kernel*>(machine->body)->call(*machine);
  machine->meet(Meeting::end, {});
}

// same reports whether two lanes have come to one place by one path.
static bool same(const Lane& a, const Lane& b) { return a.at == b.at && a.site.id == b.site.id && a.path == b.path; }

// place says where a lane is, and of lanes in one place that their paths differ.
static std::string place(const Lane& lane, const Lane& other) {
  if (!lane.site.file) return "the end";
  const char* slash = strrchr(lane.site.file, '/');
  std::string text = "line " + std::to_string(lane.site.line) + " of " + (slash ? slash + 1 : lane.site.file);
  if (lane.site.id == other.site.id && lane.path != other.path) text += " by another branch or turn";
  return text;
}

// step lets the lanes of a simdgroup run until all have met, and does what they
// met for. It returns false after a fault.
bool Machine::step(int simdgroup) {
  int first = simdgroup * lanes_per_simdgroup;
  Simdgroup& s = simdgroups[simdgroup];
  current = first;
  before = &scheduler;
  change(scheduler, lanes[first].fiber);
  const Lane& leader = lanes[first];
  for (int i = 1; i < lanes_per_simdgroup; i++) {
    const Lane& other = lanes[first + i];
    if (!same(other, leader)) {
      current = first + i;
      fail("the lanes part: this one is at %s, lane 0 at %s", place(other, leader).c_str(), place(leader, leader).c_str());
      return false;
    }
  }
  switch (leader.at) {
  case Meeting::shuffle:
    for (int i = 1; i < lanes_per_simdgroup; i++) {
      if (s.masks[i] == s.masks[0]) continue;
      current = first + i;
      fail("shuffles by mask %d, lane 0 by %d", s.masks[i], s.masks[0]);
      return false;
    }
    memcpy(s.taken, s.given, sizeof s.taken);
    break;
  case Meeting::product:
    for (int i = 0; i < 16; i++) {
      float row[8] = {};
      for (int k = 0; k < 8; k++)
        for (int j = 0; j < 8; j++) row[j] += s.left[i][k] * s.right[k][j];
      memcpy(s.product[i], row, sizeof row);
    }
    break;
  case Meeting::simdgroup_barrier:
    s.phase++;
    break;
  case Meeting::barrier:
    s.state = Simdgroup::waiting;
    break;
  default:
    s.state = Simdgroup::finished;
  }
  return !failed;
}

void Machine::run_threadgroup() {
  first_phase = ++phase;
  std::fill(shared.begin(), shared.end(), std::numeric_limits<float>::quiet_NaN());
  for (Lane& l : lanes) {
    prepare(l.fiber, const_cast<void*>(l.fiber.bottom), l.fiber.size, enter);
    l.at = Meeting::none;
    l.holds = false;
  }
  for (Simdgroup& s : simdgroups) s.state = Simdgroup::ready;
  for (;;) {
    int ready[most_simdgroups], count = 0, waiting = -1, finished = -1;
    for (int i = 0; i < int(simdgroups.size()); i++) {
      if (simdgroups[i].state == Simdgroup::ready) ready[count++] = i;
      if (simdgroups[i].state == Simdgroup::waiting) waiting = i;
      if (simdgroups[i].state == Simdgroup::finished) finished = i;
    }
    if (count > 0) {
      int chosen = ready[below(count)];
      for (uint64_t n = 1 + below(16); n > 0 && simdgroups[chosen].state == Simdgroup::ready; n--)
        if (!step(chosen)) return;
      continue;
    }
    if (waiting < 0) return;
    current = waiting * lanes_per_simdgroup;
    const Lane& mine = lanes[current];
    if (finished >= 0) return fail("waits at the barrier of %s, but simdgroup %d has ended", place(mine, mine).c_str(), finished);
    for (int i = 0; i < int(simdgroups.size()); i++) {
      const Lane& other = lanes[i * lanes_per_simdgroup];
      if (!same(other, mine))
        return fail("waits at the barrier of %s, but simdgroup %d at that of %s", place(mine, mine).c_str(), i,
                    place(other, mine).c_str());
    }
    phase++;
    for (Simdgroup& s : simdgroups) {
      s.phase++;
      s.state = Simdgroup::ready;
    }
  }
}

// Stacks are kept for the next launch on a thread.
struct Stacks {
  static constexpr size_t size = 256 << 10;
  char* memory = nullptr;
  int count = 0;

  void grow(int n) {
    if (n <= count) return;
    if (memory) munmap(memory, size * count);
    void* p = mmap(nullptr, size * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    memory = p == MAP_FAILED ? nullptr : static_cast<char*>(p);
    count = memory ? n : 0;
  }

  ~Stacks() {
    if (memory) munmap(memory, size * count);
  }
};

static thread_local Stacks stacks;

static int run(const Kernel& kernel, const emulator_launch& launch, const emulator_buffer* buffers, int count, char* fault,
               size_t fault_size) {
  Machine m;
  m.launch = &launch;
  m.body = &kernel;
  m.fault = fault;
  m.fault_size = fault_size;
  m.random = launch.seed * 2 + 1;
  for (int i = 0; i < count; i++) {
    const emulator_buffer& b = buffers[i];
    m.arrays.push_back({static_cast<char*>(b.data), b.length, i, b.output != 0, {}});
    if (b.output) m.arrays.back().written.resize(b.length);
  }
  if (launch.simdgroups < 1 || launch.simdgroups > most_simdgroups) {
    m.fail("%d simdgroups in a threadgroup, want 1 to %d", launch.simdgroups, most_simdgroups);
    return 1;
  }
  m.simdgroups.resize(launch.simdgroups);
  m.lanes.resize(launch.simdgroups * lanes_per_simdgroup);
  stacks.grow(int(m.lanes.size()));
  if (!stacks.memory) {
    m.fail("no memory for %zu stacks", m.lanes.size());
    return 1;
  }
  for (size_t i = 0; i < m.lanes.size(); i++) {
    m.lanes[i].fiber.bottom = stacks.memory + i * Stacks::size;
    m.lanes[i].fiber.size = Stacks::size;
  }
  m.shared.resize(launch.shared);
  m.cells.resize(launch.shared);
  machine = &m;
  if (kernel.check(m, buffers, count)) {
    std::vector<int64_t> order(int64_t(launch.width) * launch.height);
    for (size_t i = 0; i < order.size(); i++) {
      size_t j = m.below(i + 1);
      order[i] = order[j];
      order[j] = int64_t(i);
    }
    for (int64_t at : order) {
      m.group_x = int(at % launch.width);
      m.group_y = int(at / launch.width);
      m.run_threadgroup();
      if (m.failed) break;
    }
    for (Array& a : m.arrays) {
      for (size_t i = 0; i < a.written.size() && !m.failed; i++)
        if (!a.written[i]) m.fail("element %zu of argument %d was not written by any thread", i, a.index);
    }
  }
  machine = nullptr;
  return m.failed;
}

} // namespace emulator

int emulator_run(const emulator_launch* launch, const emulator_buffer* buffers, int count, char* fault, size_t size) {
  const emulator::Kernel* k = emulator::find_kernel(launch->kernel);
  if (!k) {
    snprintf(fault, size, "there is no kernel %s", launch->kernel);
    return 1;
  }
  return emulator::run(*k, *launch, buffers, count, fault, size);
}
