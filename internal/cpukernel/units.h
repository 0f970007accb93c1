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

namespace plain {
int run(cpukernel_rule& rule, bool backward);
}
namespace avx2 {
int run(cpukernel_rule& rule, bool backward);
}
namespace avx512 {
int run(cpukernel_rule& rule, bool backward);
}

#endif
