#include "shim.h"

uintptr_t dt_kernel_new(const char* name, const char** inputs, size_t n, const char** outputs, size_t m,
                        const char* source, const char* header) {
  mlx_vector_string in = dt.mlx_vector_string_new_data(inputs, n);
  mlx_vector_string out = dt.mlx_vector_string_new_data(outputs, m);
  void* kernel = dt_has_cuda() ? dt.mlx_fast_cuda_kernel_new(name, in, out, source, header, true, 0).ctx
                               : dt.mlx_fast_metal_kernel_new(name, in, out, source, header, true, false).ctx;
  dt.mlx_vector_string_free(in);
  dt.mlx_vector_string_free(out);
  return (uintptr_t)kernel;
}

static int apply_cuda(mlx_vector_array* res, void* kernel, mlx_vector_array in, const dt_launch* l) {
  mlx_fast_cuda_kernel_config c = dt.mlx_fast_cuda_kernel_config_new();
  int failed = !c.ctx || dt.mlx_fast_cuda_kernel_config_set_grid(c, l->grid[0], l->grid[1], l->grid[2]) ||
               dt.mlx_fast_cuda_kernel_config_set_thread_group(c, l->group[0], l->group[1], l->group[2]);
  const int* shape = l->outputs.shapes;
  for (size_t i = 0; !failed && i < l->outputs.n; shape += l->outputs.ndims[i++])
    failed = dt.mlx_fast_cuda_kernel_config_add_output_arg(c, shape, l->outputs.ndims[i], (mlx_dtype)l->outputs.dtypes[i]);
  if (!failed) failed = dt.mlx_fast_cuda_kernel_apply(res, (mlx_fast_cuda_kernel){kernel}, in, c, dt_streams[DT_GPU]);
  if (c.ctx) dt.mlx_fast_cuda_kernel_config_free(c);
  return failed;
}

static int apply_metal(mlx_vector_array* res, void* kernel, mlx_vector_array in, const dt_launch* l) {
  mlx_fast_metal_kernel_config c = dt.mlx_fast_metal_kernel_config_new();
  int failed = !c.ctx || dt.mlx_fast_metal_kernel_config_set_grid(c, l->grid[0], l->grid[1], l->grid[2]) ||
               dt.mlx_fast_metal_kernel_config_set_thread_group(c, l->group[0], l->group[1], l->group[2]);
  const int* shape = l->outputs.shapes;
  for (size_t i = 0; !failed && i < l->outputs.n; shape += l->outputs.ndims[i++])
    failed = dt.mlx_fast_metal_kernel_config_add_output_arg(c, shape, l->outputs.ndims[i], (mlx_dtype)l->outputs.dtypes[i]);
  if (!failed) failed = dt.mlx_fast_metal_kernel_apply(res, (mlx_fast_metal_kernel){kernel}, in, c, dt_streams[DT_GPU]);
  if (c.ctx) dt.mlx_fast_metal_kernel_config_free(c);
  return failed;
}

uintptr_t dt_kernel_apply(uintptr_t kernel, const uintptr_t* inputs, size_t n, const dt_launch* l) {
  dt_prepare_thread();
  mlx_vector_array in = dt.mlx_vector_array_new_data((const mlx_array*)inputs, n);
  mlx_vector_array res = {0};
  int failed = dt_has_cuda() ? apply_cuda(&res, (void*)kernel, in, l) : apply_metal(&res, (void*)kernel, in, l);
  dt.mlx_vector_array_free(in);
  return dt_made_vector(failed, res);
}
