// The rule for vectors of four floats: NEON, SSE2, or whatever the compiler makes of them.
#include "units.h"

#define WIDTH 4
#if defined(__aarch64__)
#define ROWS 4
#define COLUMNS 4
#else
#define ROWS 4
#define COLUMNS 2
#endif

namespace plain {
#include "vectors.h"
#include "worker.h"
#include "passes.h"
} // namespace plain
