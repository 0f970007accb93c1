// The path of a lane: the branches and turns of loops that it is in, of all the
// functions that it is in. Lanes that meet must have come by one path, or they would
// wait for each other in different places. After this file, `if`, `for` and `while`
// keep account of it, until control_end.h. They don't see conditional expressions:
// there a call has to keep account itself, as those of tile.h do. The other ways to
// branch are forbidden.
//
// No header of the system goes after this file.
#ifndef DELTATAPE_EMULATOR_CONTROL_H
#define DELTATAPE_EMULATOR_CONTROL_H

#include "machine.h"

namespace emulator {

inline uint64_t extend(uint64_t path, uint64_t by) { return (path ^ by) * 0x9E3779B97F4A7C15ULL + 1; }

// Branch is one side of a condition, for as long as it lives.
class Branch {
public:
  Branch(bool taken, int id) : taken(taken), outer(machine->path) { machine->path = extend(outer, 2 * id + taken); }
  ~Branch() { machine->path = outer; }

  const bool taken;

private:
  const uint64_t outer;
};

// Loop is a loop, for as long as it lives. It is a loop of one turn itself, around
// the one in question.
class Loop {
public:
  explicit Loop(int id) : outer(machine->path), inner(extend(outer, 2 * id)) {}
  ~Loop() { machine->path = outer; }

  bool once() {
    const bool first = !begun;
    begun = true;
    return first;
  }

  bool turn() {
    machine->path = inner += 0xD1B54A32D192ED03ULL;
    return true;
  }

private:
  const uint64_t outer;
  uint64_t inner;
  bool begun = false;
};

} // namespace emulator

#endif

#pragma GCC diagnostic ignored "-Wdangling-else"
#pragma GCC poison do switch goto

// A macro's name is not expanded where no parenthesis follows.
#define GD_NOTHING
#define GD_TURNS for GD_NOTHING(emulator::Loop gd_loop(__COUNTER__); gd_loop.once();)
#define GD_TURN                      \
  if GD_NOTHING (!gd_loop.turn()) {} \
  else
#define if(...) if (emulator::Branch gd_branch((__VA_ARGS__) ? true : false, __COUNTER__); gd_branch.taken)
#define for(...) GD_TURNS for GD_NOTHING(__VA_ARGS__) GD_TURN
#define while(...) GD_TURNS while GD_NOTHING(__VA_ARGS__) GD_TURN
