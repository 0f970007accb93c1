// Loads a library at once, with all that it needs, and says why that fails.
// usage: load_check LIBMLXC [LIBBLAS]
#include <dlfcn.h>
#include <stdio.h>

typedef void sgemm(int, int, int, int, int, int, float, const float *, int,
                   const float *, int, float, float *, int);

static void *load(const char *path) {
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib)
    fprintf(stderr, "%s\n", dlerror());
  return lib;
}

// multiplies checks one product, so that a broken jump into BLAS shows here.
static int multiplies(const char *path) {
  void *lib = load(path);
  sgemm *gemm = lib ? (sgemm *)dlsym(lib, "cblas_sgemm") : 0;
  if (!gemm)
    return 0;
  const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
  float c[4] = {0};
  gemm(101, 111, 111, 2, 2, 2, 1, a, 2, b, 2, 0, c, 2);
  return c[0] == 19 && c[1] == 22 && c[2] == 43 && c[3] == 50;
}

int main(int argc, char **argv) {
  if (argc < 2 || !load(argv[1]))
    return 1;
  if (argc > 2 && !multiplies(argv[2])) {
    fprintf(stderr, "wrong product from %s\n", argv[2]);
    return 1;
  }
  return 0;
}
