// What Go calls.
#ifndef DELTATAPE_EMULATOR_API_H
#define DELTATAPE_EMULATOR_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EMULATOR_FLOAT32, EMULATOR_FLOAT16, EMULATOR_BFLOAT16, EMULATOR_INT32 };

typedef struct {
  void* data;
  int64_t length; // in elements
  int32_t type;
  int32_t output; // 1 if the kernel writes it
} emulator_buffer;

typedef struct {
  const char* kernel; // such as chunk_prepare_float32_c16
  int32_t dk, dv, hk, hv;
  int32_t width, height; // of the grid, in threadgroups
  int32_t simdgroups;    // in a threadgroup
  int32_t shared;        // floats of threadgroup memory
  uint64_t seed;         // of the order of threadgroups and simdgroups
} emulator_launch;

// emulator_run runs a kernel to its end. It returns 0, or 1 and the text of the
// first fault.
int emulator_run(const emulator_launch* launch, const emulator_buffer* buffers, int count, char* fault, size_t size);

// emulator_kernel returns the name of kernel i, or NULL after the last.
const char* emulator_kernel(int i);

// emulator_bodies is the hash of the bodies that were compiled.
const char* emulator_bodies(void);

#ifdef __cplusplus
}
#endif

#endif
