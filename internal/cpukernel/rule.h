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
  int64_t sequences;
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

// cpukernel_forward and cpukernel_backward take tasks until none is left, beside
// others that do so on other threads. They return 0, or 1 without memory to work in.
int cpukernel_forward(cpukernel_rule* rule);
int cpukernel_backward(cpukernel_rule* rule);

// cpukernel_levels is the number of sets of instructions that this processor has: level
// 0 works anywhere, the last is the best.
int cpukernel_levels(void);

#ifdef __cplusplus
}
#endif

#endif
