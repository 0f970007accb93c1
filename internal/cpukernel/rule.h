// What Go calls.
#ifndef DELTATAPE_CPUKERNEL_RULE_H
#define DELTATAPE_CPUKERNEL_RULE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Arrays are dense: tokens [tokens, heads, size], gates [tokens, heads], states
// [sequences, heads, dk, dv].
typedef struct {
  int64_t tokens, sequences;
  const int64_t* begin;       // first token of each sequence
  const int64_t* end;         // and the one after its last
  const int64_t* first_start; // index in starts of each sequence's first
  int64_t hk, r, dk, dv;      // key heads, value heads of each, sizes of their vectors
  int64_t chunk, segment;     // tokens in a chunk, chunks in a segment
  int64_t no_delta;
  int64_t level; // of instructions
  float scale;

  const float *q, *k, *v, *g, *beta;
  const float* h0; // may be null
  float* o;
  float* ht;     // may be null
  float* starts; // states at the starts of segments but the first of each sequence

  const float *grad_o, *grad_ht; // may be null
  float *dq, *dk_out, *dv_out, *dg, *dbeta;
  float* dh0; // may be null

  int64_t next; // task to be taken by a worker
} cpukernel_rule;

enum { CPUKERNEL_MAX_CHUNK = 128 };

// A pass is a rule whose arrays come later, and one piece of memory with its offsets.
typedef struct {
  cpukernel_rule rule;
  int64_t backward;
  int64_t threads;                         // at most so many work
  int64_t h0, ht, starts, grad_o, grad_ht; // whether there are these arrays
} cpukernel_pass;

// cpukernel_run computes a pass. It reads q, k, v, g, beta, h0, and backward grad_o,
// grad_ht and starts, and writes o, ht and starts, or dq, dk, dv, dg, dbeta and, where
// there is h0, dh0. Arrays that there are not have no place in the lists. The workspace
// has cpukernel_workspace bytes and begins at a multiple of 64.
void cpukernel_run(const void* pass, const void* const* in, void* const* out, void* workspace);
int64_t cpukernel_workspace(const cpukernel_pass* pass);

// cpukernel_release frees a pass.
void cpukernel_release(void* pass);

// cpukernel_levels is the number of sets of instructions that this processor has: level
// 0 works anywhere, the last is the best.
int cpukernel_levels(void);

#ifdef __cplusplus
}
#endif

#endif
