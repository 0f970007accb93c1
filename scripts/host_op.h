/* What libmlxc has beyond mlx-c: a step of MLX's graph that a function computes
 * on the CPU. The text is such that internal/mlxc/gen can read it. */
#ifndef DELTATAPE_HOST_OP_H
#define DELTATAPE_HOST_OP_H

#include "mlx/c/array.h"
#include "mlx/c/stream.h"
#include "mlx/c/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A function and what belongs to it. run gets the elements of the inputs, in
 * row-major order, and uninitialised memory for those of the outputs and to work
 * in, which begins at a multiple of 64. It may run on any thread and, for graphs
 * that are kept, on several at a time; it must not throw. release is called once,
 * on any thread, when no array needs the function any more.
 */
typedef struct deltatape_host_call_ {
  void (*run)(const void* payload, const void* const* in, void* const* out, void* workspace);
  void* payload;
  void (*release)(void* payload);
  size_t workspace;
} deltatape_host_call;

/**
 * The arrays that the function makes of the inputs when they are evaluated. The
 * shapes follow each other. Where it fails the payload is released, too.
 */
int deltatape_host_op(
    mlx_vector_array* res,
    const mlx_vector_array in,
    deltatape_host_call call,
    size_t outputs,
    const int* shapes,
    const size_t* ndims,
    const mlx_dtype* dtypes,
    const mlx_stream s);

#ifdef __cplusplus
}
#endif

#endif
