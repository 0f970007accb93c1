"""Times flash-linear-attention's Triton kernels of the gated delta rule on an
NVIDIA GPU, to put beside what examples/bench prints there.

    python fla_worker.py [B,T,Hk,Hv,K,V ...]

It needs PyTorch with CUDA and fla-core. The inputs are those of examples/bench:
keys of unit length, all six gradients. FLA takes half precision only in its
backward pass; a row that it refuses says so.
"""

import sys

import torch
import torch.nn.functional as F
from fla.ops.gated_delta_rule import chunk_gated_delta_rule

SHAPES = ["1,512,8,32,128,128", "1,2048,8,32,128,128", "1,8192,8,32,128,128", "1,16384,8,32,128,128"]
RUNS = 10


def inputs(shape, dtype):
    B, T, Hk, Hv, K, V = shape
    torch.manual_seed(1)

    def normal(*size):
        return torch.randn(*size, device="cuda")

    leaves = [
        F.normalize(normal(B, T, Hk, K), dim=-1).to(dtype),
        F.normalize(normal(B, T, Hk, K), dim=-1).to(dtype),
        normal(B, T, Hv, V).to(dtype),
        F.logsigmoid(normal(B, T, Hv)),
        torch.sigmoid(normal(B, T, Hv)),
        normal(B, Hv, K, V),
    ]
    seeds = [normal(B, T, Hv, V).to(dtype), normal(B, Hv, K, V)]
    return [x.requires_grad_() for x in leaves], seeds


def rule(leaves):
    q, k, v, g, beta, h0 = leaves
    return chunk_gated_delta_rule(q, k, v, g, beta, initial_state=h0, output_final_state=True)


def forward(leaves, _):
    with torch.no_grad():
        rule(leaves)


def both(leaves, seeds):
    torch.autograd.grad(rule(leaves), leaves, seeds)


def measure(run, leaves, seeds):
    """Returns the least milliseconds of a run and the most bytes beside its inputs."""
    for _ in range(3):
        run(leaves, seeds)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run(leaves, seeds)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return min(times), torch.cuda.max_memory_allocated() - before


def main():
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for text in sys.argv[1:] or SHAPES:
        shape = [int(n) for n in text.split(",")]
        for dtype in (torch.bfloat16, torch.float32):
            for name, run in (("fwd", forward), ("fwdbwd", both)):
                try:
                    ms, extra = measure(run, *inputs(shape, dtype))
                    print(f"fla {text} {str(dtype)[6:]} {name}: {ms:.3f} ms, {extra / 2**20:.0f} MiB beside the inputs", flush=True)
                except Exception as error:  # whatever Triton or FLA refuse
                    print(f"fla {text} {str(dtype)[6:]} {name}: refused: {str(error).splitlines()[0][:200]}", flush=True)


if __name__ == "__main__":
    main()
