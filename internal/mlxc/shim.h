// The handwritten C side of the bindings. Every function here is called with
// the process-wide lock of lock.go held, unless it says otherwise.
#ifndef DELTATAPE_MLXC_SHIM_H
#define DELTATAPE_MLXC_SHIM_H

#include "api_gen.h"

enum { DT_CPU = 0, DT_GPU = 1, DT_CPU_ASIDE = 2, DT_STREAMS = 3 };

// dt_streams holds the evaluation streams: one of each device, and another one
// of the CPU, with a thread of its own.
extern mlx_stream dt_streams[DT_STREAMS];

// dt_select makes a device and its stream the default of this thread, for
// functions of MLX that take no stream.
void dt_select(int device);

// dt_prepare_thread makes the shared streams the defaults of this thread, once:
// inside some operations MLX uses the default stream whatever it was given, and
// would make a private one that other threads can't evaluate.
void dt_prepare_thread(void);

// dt_open loads the library and fills the table. It returns NULL, or the text
// of an error (static); *missing then names an absent function or is NULL.
const char* dt_open(const char* path, const char** missing);
// dt_start installs the error handler and makes the streams; 0 on success.
int dt_start(void);
int dt_has_gpu(void);
int dt_has_cuda(void);

// dt_error is the text of the last failure; reading it clears it.
const char* dt_error(void);

dt_result dt_made(int failed, mlx_array a);
uintptr_t dt_made_vector(int failed, mlx_vector_array v);
dt_result dt_describe(uintptr_t a);
dt_result dt_vector_at(uintptr_t v, size_t i);
size_t dt_vector_len(uintptr_t v);
void dt_vector_free(uintptr_t v);
int dt_vector_assign(void* res, const uintptr_t* arrays, size_t n);

dt_result dt_new_data(const void* data, const int* shape, int ndim, int dtype);
dt_result dt_share(uintptr_t a);
void dt_free(const uintptr_t* arrays, size_t n);
// dt_data returns the address of an evaluated, row-contiguous array, or NULL.
const void* dt_data(uintptr_t a, size_t* nbytes);
int dt_is_evaluated(uintptr_t a);

int dt_eval(const uintptr_t* arrays, size_t n, int async);
int dt_synchronize(int device);

// What recurses as deep as a graph runs on one thread of its own with a large
// stack: compiled closures, differentiation and dt_dot. Its caller must be the
// only one, or be inside a trace, on that thread.
int dt_on_tracing_thread(void);

// dt_vjp writes MLX's own outputs and gradients of closure id. dt_differentiating
// tells, without the lock, whether the caller runs inside such a closure.
int dt_vjp(int device, uintptr_t id, const uintptr_t* primals, size_t n, const uintptr_t* cotangents, size_t m,
           uintptr_t* outs, uintptr_t* grads);
int dt_differentiating(void);

uintptr_t dt_compiled_new(uintptr_t id, int device);
uintptr_t dt_compiled_call(uintptr_t closure, const uintptr_t* in, size_t n, int device);
void dt_compiled_free(uintptr_t closure, int device);

// dt_dot writes the graph behind arrays in the DOT language, in memory of *len
// bytes that the caller frees, or returns NULL.
char* dt_dot(const uintptr_t* arrays, size_t n, size_t* len);

// dt_reader makes a reader over a file descriptor, which it then owns, whose
// first bytes are replaced by prefix; MLX may use it on any thread.
// dt_load_safetensors reads the header through it; the map is freed by
// dt_map_free.
uintptr_t dt_load_safetensors(int fd, const char* prefix, size_t prefix_len, int64_t data_start, int64_t data_len,
                              const char* label, int device);
dt_result dt_map_get(uintptr_t map, const char* name);
void dt_map_free(uintptr_t map);

// dt_read_failed records, on any thread, that a lazily loaded file ended early;
// dt_take_read_failure returns 1 once and copies its label.
void dt_read_failed(const char* label);
int dt_take_read_failure(char* label, size_t n);

// dt_outputs describes arrays that are to be made.
typedef struct dt_outputs {
  size_t n;
  const int* shapes; // of all, one after the other
  const size_t* ndims;
  const int* dtypes;
} dt_outputs;

// dt_kernel_new makes a kernel of the GPU's language, Metal or CUDA, and
// dt_kernel_apply the arrays of one launch of it.
typedef struct dt_launch {
  int grid[3], group[3];
  dt_outputs outputs;
} dt_launch;
uintptr_t dt_kernel_new(const char* name, const char** inputs, size_t n, const char** outputs, size_t m,
                        const char* source, const char* header);
uintptr_t dt_kernel_apply(uintptr_t kernel, const uintptr_t* inputs, size_t n, const dt_launch* l);

int dt_memory(size_t* active, size_t* peak, size_t* cache);
int64_t dt_physical_memory(void);
// dt_largest_allocation is the size from which malloc always fails, or the
// size of an address space where only the GPU's allocator can tell.
int64_t dt_largest_allocation(void);

#endif
