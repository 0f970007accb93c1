// The bodies, included once for each element type and chunk size.
#include "../../ops/metal/kernels/chunk.h"
#include "../../ops/metal/kernels/chunk_prepare.metal"
#include "../../ops/metal/kernels/chunk_scan.metal"
#include "../../ops/metal/kernels/chunk_scan_back.metal"
#include "../../ops/metal/kernels/chunk_grads.metal"
#include "../../ops/metal/kernels/kkt_solve.metal"
#include "../../ops/metal/kernels/sequential.metal"
