// Compiled into libmlxc by build.sh.
#include "host_op.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/c/error.h"
#include "mlx/c/private/mlx.h"
#include "mlx/primitives.h"

namespace deltatape {

namespace mx = mlx::core;

class HostOp : public mx::Primitive {
 public:
  HostOp(mx::Stream stream, deltatape_host_call call)
      : Primitive(stream), call_(call) {}

  ~HostOp() override {
    if (call_.release) call_.release(call_.payload);
  }

  const char* name() const override { return "HostOp"; }

  // Memory is taken here, where an exception is the evaluation's error, and
  // never in the task.
  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    std::vector<const void*> in;
    for (const auto& x : inputs) {
      if (!x.flags().row_contiguous) throw std::runtime_error("[HostOp] an input is not row-contiguous");
      in.push_back(x.data<char>());
    }
    std::vector<void*> out;
    for (auto& y : outputs) {
      y.set_data(allocate(y.nbytes()));
      out.push_back(y.data<char>());
    }
    auto& encoder = mx::cpu::get_command_encoder(stream());
    void* workspace = nullptr;
    if (call_.workspace > 0) {
      constexpr int line = 64;
      int lines = static_cast<int>(call_.workspace / line + 2);
      mx::array memory(allocate(size_t{line} * lines), {lines, line}, mx::uint8);
      auto at = reinterpret_cast<uintptr_t>(memory.data<char>());
      workspace = reinterpret_cast<void*>((at + line - 1) / line * line);
      encoder.add_temporary(std::move(memory));
    }
    // The graph may forget this primitive before the task has run.
    encoder.dispatch([self = outputs[0].primitive_ptr(), run = call_.run, payload = call_.payload,
                      in = std::move(in), out = std::move(out), workspace] {
      run(payload, in.data(), out.data(), workspace);
    });
  }

  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    throw std::runtime_error("[HostOp] it runs on the CPU only");
  }

 private:
  // MLX takes what malloc returns without a look.
  static mx::allocator::Buffer allocate(size_t bytes) {
    auto buffer = mx::allocator::malloc(bytes);
    if (!buffer.ptr() && bytes > 0)
      throw std::runtime_error("[HostOp] there is no memory for " + std::to_string(bytes) + " bytes");
    return buffer;
  }

  deltatape_host_call call_;
};

} // namespace deltatape

extern "C" int deltatape_host_op(
    mlx_vector_array* res,
    const mlx_vector_array in,
    deltatape_host_call call,
    size_t outputs,
    const int* shapes,
    const size_t* ndims,
    const mlx_dtype* dtypes,
    const mlx_stream s) {
  std::shared_ptr<deltatape::HostOp> op;
  try {
    if (outputs == 0) throw std::invalid_argument("[HostOp] it has no outputs");
    auto stream = mlx_stream_get_(s);
    op = std::make_shared<deltatape::HostOp>(stream, call);
    std::vector<mlx::core::array> inputs;
    for (const auto& x : mlx_vector_array_get_(in))
      inputs.push_back(mlx::core::contiguous(x, false, stream));
    std::vector<mlx::core::Shape> sizes;
    std::vector<mlx::core::Dtype> types;
    for (size_t i = 0; i < outputs; shapes += ndims[i++]) {
      sizes.emplace_back(shapes, shapes + ndims[i]);
      types.push_back(mlx_dtype_to_cpp(dtypes[i]));
    }
    mlx_vector_array_set_(*res, mlx::core::array::make_arrays(std::move(sizes), types, op, inputs));
  } catch (std::exception& e) {
    if (!op && call.release) call.release(call.payload);
    mlx_error(e.what());
    return 1;
  }
  return 0;
}
