#include "shim.h"

#include <pthread.h>
#include <stdlib.h>

#include "_cgo_export.h"

static int call_go(mlx_vector_array* res, const mlx_vector_array in, void* payload) {
  return deltatapeClosure((uintptr_t)payload, res, (uintptr_t)in.ctx);
}

static void drop_go(void* payload) { deltatapeClosureDropped((uintptr_t)payload); }

static mlx_closure closure_of(uintptr_t id) {
  return dt.mlx_closure_new_func_payload(call_go, (void*)id, drop_go);
}

static void take_all(mlx_vector_array v, uintptr_t* out) {
  size_t n = dt.mlx_vector_array_size(v);
  for (size_t i = 0; i < n; i++) {
    mlx_array a = {0};
    dt.mlx_vector_array_get(&a, v, i);
    out[i] = (uintptr_t)a.ctx;
  }
}

// differentiating says that this thread runs a function for vjp.
static __thread int differentiating;

int dt_differentiating(void) { return differentiating; }

static int vjp(uintptr_t id, const uintptr_t* primals, size_t n, const uintptr_t* cotangents, size_t m,
               uintptr_t* outs, uintptr_t* grads) {
  mlx_closure f = closure_of(id);
  mlx_vector_array p = dt.mlx_vector_array_new_data((const mlx_array*)primals, n);
  mlx_vector_array c = dt.mlx_vector_array_new_data((const mlx_array*)cotangents, m);
  mlx_vector_array o = {0}, g = {0};
  differentiating++;
  int failed = dt.mlx_vjp(&o, &g, f, p, c);
  differentiating--;
  if (!failed && (dt.mlx_vector_array_size(o) != m || dt.mlx_vector_array_size(g) != n)) failed = 1;
  if (!failed) {
    take_all(o, outs);
    take_all(g, grads);
  }
  if (o.ctx) dt.mlx_vector_array_free(o);
  if (g.ctx) dt.mlx_vector_array_free(g);
  dt.mlx_vector_array_free(p);
  dt.mlx_vector_array_free(c);
  dt.mlx_closure_free(f);
  return failed;
}

static char* dot(const uintptr_t* arrays, size_t n, size_t* len) {
  char* text = NULL;
  FILE* stream = open_memstream(&text, len);
  if (!stream) return NULL;
  mlx_node_namer names = dt.mlx_node_namer_new();
  mlx_vector_array v = dt.mlx_vector_array_new_data((const mlx_array*)arrays, n);
  int failed = dt.mlx_export_to_dot(stream, names, v);
  dt.mlx_vector_array_free(v);
  dt.mlx_node_namer_free(names);
  if (fclose(stream) || failed) {
    free(text);
    return NULL;
  }
  return text;
}

// Tracing recurses as deep as the graph, and the compile cache belongs to the
// thread that called: so one thread with a large stack does all of it.
enum job_kind { JOB_NEW, JOB_CALL, JOB_FREE, JOB_VJP, JOB_DOT };

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int started, busy, done;
  pthread_t thread;
  enum job_kind kind;
  uintptr_t closure;
  const uintptr_t *in, *cotangents;
  size_t n, m;
  uintptr_t *outs, *grads;
  size_t* len;
  int device;
  uintptr_t result;
} job = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static __thread int tracing;

static void run_job(void) {
  dt_select(job.device);
  job.result = 0;
  switch (job.kind) {
    case JOB_NEW: {
      // The engine fuses by running a compiler at run time on the CPU, which
      // costs seconds and gains nothing there.
      mlx_closure f = closure_of(job.closure), res = {0};
      int failed = dt.mlx_compile(&res, f, false);
      dt.mlx_closure_free(f);
      job.result = failed ? 0 : (uintptr_t)res.ctx;
      break;
    }
    case JOB_CALL: {
      dt.mlx_set_compile_mode(job.device == DT_GPU ? MLX_COMPILE_MODE_ENABLED : MLX_COMPILE_MODE_NO_FUSE);
      mlx_vector_array in = dt.mlx_vector_array_new_data((const mlx_array*)job.in, job.n), res = {0};
      int failed = dt.mlx_closure_apply(&res, (mlx_closure){(void*)job.closure}, in);
      dt.mlx_vector_array_free(in);
      job.result = dt_made_vector(failed, res);
      break;
    }
    case JOB_FREE:
      dt.mlx_closure_free((mlx_closure){(void*)job.closure});
      break;
    case JOB_VJP:
      job.result = !vjp(job.closure, job.in, job.n, job.cotangents, job.m, job.outs, job.grads);
      break;
    case JOB_DOT:
      job.result = (uintptr_t)dot(job.in, job.n, job.len);
      break;
  }
}

static void* serve(void* unused) {
  (void)unused;
  tracing = 1;
  pthread_mutex_lock(&job.mutex);
  for (;;) {
    while (!job.busy || job.done) pthread_cond_wait(&job.changed, &job.mutex);
    pthread_mutex_unlock(&job.mutex);
    run_job();
    pthread_mutex_lock(&job.mutex);
    job.done = 1;
    pthread_cond_broadcast(&job.changed);
  }
  return NULL;
}

static int start_thread(void) {
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  int failed = pthread_attr_setstacksize(&attr, (size_t)512 << 20) || pthread_create(&job.thread, &attr, serve, NULL);
  pthread_attr_destroy(&attr);
  job.started = !failed;
  return failed;
}

static uintptr_t submit(enum job_kind kind, uintptr_t closure, const uintptr_t* in, size_t n, int device) {
  pthread_mutex_lock(&job.mutex);
  if (!job.started && start_thread()) {
    pthread_mutex_unlock(&job.mutex);
    return 0;
  }
  job.kind = kind, job.closure = closure, job.in = in, job.n = n, job.device = device;
  job.busy = 1, job.done = 0;
  pthread_cond_broadcast(&job.changed);
  while (!job.done) pthread_cond_wait(&job.changed, &job.mutex);
  job.busy = job.done = 0;
  uintptr_t result = job.result;
  pthread_mutex_unlock(&job.mutex);
  return result;
}

int dt_on_tracing_thread(void) { return tracing; }

int dt_vjp(int device, uintptr_t id, const uintptr_t* primals, size_t n, const uintptr_t* cotangents, size_t m,
           uintptr_t* outs, uintptr_t* grads) {
  if (tracing) return vjp(id, primals, n, cotangents, m, outs, grads);
  job.cotangents = cotangents, job.m = m, job.outs = outs, job.grads = grads;
  return !submit(JOB_VJP, id, primals, n, device);
}

uintptr_t dt_compiled_new(uintptr_t id, int device) { return submit(JOB_NEW, id, NULL, 0, device); }

uintptr_t dt_compiled_call(uintptr_t closure, const uintptr_t* in, size_t n, int device) {
  return submit(JOB_CALL, closure, in, n, device);
}

void dt_compiled_free(uintptr_t closure, int device) {
  if (tracing)
    dt.mlx_closure_free((mlx_closure){(void*)closure});
  else
    submit(JOB_FREE, closure, NULL, 0, device);
}

char* dt_dot(const uintptr_t* arrays, size_t n, size_t* len) {
  if (tracing) return dot(arrays, n, len);
  job.len = len;
  return (char*)submit(JOB_DOT, 0, arrays, n, DT_CPU);
}
