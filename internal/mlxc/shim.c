#include "shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/sysinfo.h>
#endif

mlx_stream dt_streams[DT_STREAMS];
static mlx_device devices[2];
static int has_gpu, has_cuda;
static char error_text[8192];

// keep_error replaces the default handler, which exits the process.
static void keep_error(const char* msg, void* unused) {
  (void)unused;
  snprintf(error_text, sizeof error_text, "%s", msg);
}

const char* dt_error(void) {
  static char copy[sizeof error_text];
  memcpy(copy, error_text, sizeof copy);
  error_text[0] = 0;
  return copy;
}

const char* dt_open(const char* path, const char** missing) {
  *missing = NULL;
  void* lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib) return dlerror();
  void** slots = (void**)&dt;
  for (int i = 0; i < dt_names_len; i++) {
    slots[i] = dlsym(lib, dt_names[i]);
    if (!slots[i] && i < dt_required) {
      *missing = dt_names[i];
      return "a function is missing";
    }
  }
  return NULL;
}

// start_streams makes the streams and has each of them do some work, so that
// its threads exist.
static int start_streams(void) {
  for (int d = has_gpu; d >= 0; d--) {
    devices[d] = dt.mlx_device_new_type(d == DT_GPU ? MLX_GPU : MLX_CPU, 0);
    dt_streams[d] = dt.mlx_stream_new_thread_unsafe(devices[d]);
    if (!dt_streams[d].ctx) return 1;
  }
  dt_streams[DT_CPU_ASIDE] = dt.mlx_stream_new_thread_unsafe(devices[DT_CPU]);
  for (int s = DT_STREAMS - 1; s >= 0; s--) {
    if (s == DT_GPU && !has_gpu) continue;
    if (!dt_streams[s].ctx) return 1;
    dt_result one = dt_eye(1, 1, 0, MLX_FLOAT32, s);
    if (!one.ctx || dt_eval(&one.ctx, 1, 0)) return 1;
    dt_free(&one.ctx, 1);
  }
  return 0;
}

// dt_start runs start_streams such that the threads, which inherit the mode,
// take subnormal numbers for zero: on x86 these cost 100 cycles each, and the
// products of strong gates are full of them. GPUs do the same.
int dt_start(void) {
  dt.mlx_set_error_handler(keep_error, NULL, NULL);
  bool metal = false, cuda = false;
  dt.mlx_metal_is_available(&metal);
  dt.mlx_cuda_is_available(&cuda);
  has_gpu = metal || cuda;
  has_cuda = cuda;
#ifdef __SSE2__
  const unsigned flush_to_zero = 1u << 15, denormals_are_zero = 1u << 6;
  unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | flush_to_zero | denormals_are_zero);
#endif
  int failed = start_streams();
#ifdef __SSE2__
  _mm_setcsr(mode);
#endif
  return failed;
}

void dt_prepare_thread(void) {
  static __thread int prepared;
  if (prepared) return;
  for (int d = has_gpu; d >= 0; d--) dt.mlx_set_default_stream(dt_streams[d]);
  prepared = 1;
}

void dt_select(int device) {
  dt_prepare_thread();
  dt.mlx_set_default_device(devices[device == DT_CPU_ASIDE ? DT_CPU : device]);
}

int dt_has_gpu(void) { return has_gpu; }

int dt_has_cuda(void) { return has_cuda; }

dt_result dt_made(int failed, mlx_array a) {
  dt_result r = {0};
  if (failed || !a.ctx) {
    if (a.ctx) dt.mlx_array_free(a);
    return r;
  }
  r.ctx = (uintptr_t)a.ctx;
  r.ndim = (int32_t)dt.mlx_array_ndim(a);
  r.dtype = (int32_t)dt.mlx_array_dtype(a);
  r.shape = r.ndim ? dt.mlx_array_shape(a) : NULL;
  return r;
}

uintptr_t dt_made_vector(int failed, mlx_vector_array v) {
  if (!failed) return (uintptr_t)v.ctx;
  if (v.ctx) dt.mlx_vector_array_free(v);
  return 0;
}

dt_result dt_describe(uintptr_t a) { return dt_made(0, (mlx_array){(void*)a}); }

size_t dt_vector_len(uintptr_t v) { return dt.mlx_vector_array_size((mlx_vector_array){(void*)v}); }

dt_result dt_vector_at(uintptr_t v, size_t i) {
  mlx_array a = {0};
  int failed = dt.mlx_vector_array_get(&a, (mlx_vector_array){(void*)v}, i);
  return dt_made(failed, a);
}

void dt_vector_free(uintptr_t v) { dt.mlx_vector_array_free((mlx_vector_array){(void*)v}); }

int dt_vector_assign(void* res, const uintptr_t* arrays, size_t n) {
  return dt.mlx_vector_array_set_data(res, (const mlx_array*)arrays, n);
}

dt_result dt_new_data(const void* data, const int* shape, int ndim, int dtype) {
  return dt_made(0, dt.mlx_array_new_data(data, shape, ndim, (mlx_dtype)dtype));
}

dt_result dt_share(uintptr_t a) {
  mlx_array r = {0};
  int failed = dt.mlx_array_set(&r, (mlx_array){(void*)a});
  return dt_made(failed, r);
}

void dt_free(const uintptr_t* arrays, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (arrays[i]) dt.mlx_array_free((mlx_array){(void*)arrays[i]});
}

const void* dt_data(uintptr_t a, size_t* nbytes) {
  mlx_array arr = {(void*)a};
  bool ready = false, dense = false;
  dt._mlx_array_is_available(&ready, arr);
  if (!ready) return NULL;
  dt._mlx_array_is_row_contiguous(&dense, arr);
  if (!dense) return NULL;
  *nbytes = dt.mlx_array_nbytes(arr);
  return dt.mlx_array_data_uint8(arr);
}

int dt_is_evaluated(uintptr_t a) {
  bool ready = false;
  dt._mlx_array_is_available(&ready, (mlx_array){(void*)a});
  return ready;
}

// forget_errors clears what a failure leaves on the CPU's streams: when one of
// them hands its error to another it keeps it, and the next evaluation that both
// take part in would fail by it.
static void forget_errors(void) {
  static char text[sizeof error_text];
  memcpy(text, error_text, sizeof text);
  dt.mlx_synchronize(dt_streams[DT_CPU]);
  dt.mlx_synchronize(dt_streams[DT_CPU_ASIDE]);
  memcpy(error_text, text, sizeof text);
}

int dt_eval(const uintptr_t* arrays, size_t n, int async) {
  dt_prepare_thread();
  mlx_vector_array v = dt.mlx_vector_array_new_data((const mlx_array*)arrays, n);
  int failed = async ? dt.mlx_async_eval(v) : dt.mlx_eval(v);
  dt.mlx_vector_array_free(v);
  if (failed) forget_errors();
  return failed;
}

int dt_synchronize(int device) {
  int failed = dt.mlx_synchronize(dt_streams[device]);
  if (device == DT_CPU) failed |= dt.mlx_synchronize(dt_streams[DT_CPU_ASIDE]);
  if (failed) forget_errors();
  return failed;
}

int dt_memory(size_t* active, size_t* peak, size_t* cache) {
  return dt.mlx_get_active_memory(active) | dt.mlx_get_peak_memory(peak) | dt.mlx_get_cache_memory(cache);
}

int64_t dt_physical_memory(void) {
  return (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
}

int64_t dt_largest_allocation(void) {
  int64_t bytes = (int64_t)1 << 47;
#ifdef __linux__
  struct sysinfo s;
  if (!has_gpu && sysinfo(&s) == 0) bytes = (int64_t)(s.totalram + s.totalswap) * s.mem_unit;
#endif
  struct rlimit space;
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY && (int64_t)space.rlim_cur < bytes)
    bytes = (int64_t)space.rlim_cur;
  return bytes;
}
