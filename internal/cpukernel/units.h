// What the translation units of the instruction sets share: nothing with code, for the
// linker could put one set's copy of a function into another's place.
#ifndef DELTATAPE_CPUKERNEL_UNITS_H
#define DELTATAPE_CPUKERNEL_UNITS_H

#include <initializer_list>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rule.h"

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

// work takes tasks until none is left, beside others that do so on other threads. Its
// memory has so many floats as need says, the same for all sets of instructions.
namespace plain {
int64_t need(cpukernel_rule& rule, bool backward);
void work(cpukernel_rule& rule, bool backward, float* memory);
}
namespace avx2 {
void work(cpukernel_rule& rule, bool backward, float* memory);
}
namespace avx512 {
void work(cpukernel_rule& rule, bool backward, float* memory);
}

#endif
