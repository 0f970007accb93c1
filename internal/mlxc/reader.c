#include "shim.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A file whose header was replaced: bytes below prefix_len come from prefix,
// the rest from the file's data section.
struct reader {
  int fd;
  char *prefix, *label;
  size_t prefix_len, pos;
  int64_t data_start, data_len;
  _Atomic int failed;
};

static bool is_open(void* p) { return ((struct reader*)p)->fd >= 0; }
static bool good(void* p) { return !((struct reader*)p)->failed; }
static size_t tell(void* p) { return ((struct reader*)p)->pos; }

static int seek(void* p, int64_t off, int whence) {
  struct reader* r = p;
  int64_t base = whence == SEEK_CUR ? (int64_t)r->pos : whence == SEEK_END ? (int64_t)r->prefix_len + r->data_len : 0;
  if (base + off < 0) return -1;
  r->pos = (size_t)(base + off);
  return 0;
}

// read_at fills data. Where the file ends early it fills with ones, which are
// NaN in every floating-point type, and records the failure for the evaluation
// that waits: the engine itself would take the bytes as they are.
static size_t read_at(void* p, char* data, size_t n, size_t off) {
  struct reader* r = p;
  size_t got = 0;
  if (off < r->prefix_len) {
    got = r->prefix_len - off < n ? r->prefix_len - off : n;
    memcpy(data, r->prefix + off, got);
  }
  while (got < n) {
    ssize_t k = pread(r->fd, data + got, n - got, (off_t)(r->data_start + (int64_t)(off + got - r->prefix_len)));
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) {
      memset(data + got, 0xff, n - got);
      r->failed = 1;
      dt_read_failed(r->label);
      break;
    }
    got += (size_t)k;
  }
  return n;
}

static size_t read_next(void* p, char* data, size_t n) {
  struct reader* r = p;
  size_t k = read_at(p, data, n, r->pos);
  r->pos += n;
  return k;
}

static size_t refuse_write(void* p, const char* data, size_t n) {
  (void)p, (void)data, (void)n;
  return 0;
}

static const char* label_of(void* p) { return ((struct reader*)p)->label; }

static void release(void* p) {
  struct reader* r = p;
  close(r->fd);
  free(r->prefix);
  free(r->label);
  free(r);
}

uintptr_t dt_load_safetensors(int fd, const char* prefix, size_t prefix_len, int64_t data_start, int64_t data_len,
                              const char* label, int device) {
  struct reader* r = calloc(1, sizeof *r);
  r->fd = fd;
  r->prefix = malloc(prefix_len);
  memcpy(r->prefix, prefix, prefix_len);
  r->prefix_len = prefix_len;
  r->label = strdup(label);
  r->data_start = data_start;
  r->data_len = data_len;
  mlx_io_vtable vtable = {is_open, good, tell, seek, read_next, read_at, refuse_write, label_of, release};
  mlx_io_reader reader = dt.mlx_io_reader_new(r, vtable);
  if (!reader.ctx) {
    release(r);
    return 0;
  }
  mlx_map_string_to_array arrays = dt.mlx_map_string_to_array_new();
  mlx_map_string_to_string metadata = dt.mlx_map_string_to_string_new();
  int failed = dt.mlx_load_safetensors_reader(&arrays, &metadata, reader, dt_streams[device]);
  dt.mlx_io_reader_free(reader);
  if (metadata.ctx) dt.mlx_map_string_to_string_free(metadata);
  if (failed && arrays.ctx) dt.mlx_map_string_to_array_free(arrays);
  return failed ? 0 : (uintptr_t)arrays.ctx;
}

dt_result dt_map_get(uintptr_t map, const char* name) {
  mlx_array a = {0};
  int failed = dt.mlx_map_string_to_array_get(&a, (mlx_map_string_to_array){(void*)map}, name);
  return dt_made(failed, a);
}

void dt_map_free(uintptr_t map) { dt.mlx_map_string_to_array_free((mlx_map_string_to_array){(void*)map}); }

static _Atomic int read_failures;
static char failed_label[1024];

void dt_read_failed(const char* label) {
  if (atomic_fetch_add(&read_failures, 1) == 0) snprintf(failed_label, sizeof failed_label, "%s", label);
}

int dt_take_read_failure(char* label, size_t n) {
  if (!atomic_exchange(&read_failures, 0)) return 0;
  snprintf(label, n, "%s", failed_label);
  return 1;
}
