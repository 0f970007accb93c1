"""Times Hugging Face's torch_chunk_gated_delta_rule on a number of threads.

usage: worker.py THREADS

Each line of standard input asks for runs of one case:

    {"mode": "eager", "shape": [B, T, Hk, Hv, K, V], "pass": "fwd", "runs": 3}

mode is eager or compile (torch.compile), pass is fwd or fwdbwd. The answer is a
line {"ms": [...]} of the runs, or {"error": "..."}. The first question about a
case warms it up, which is not timed.
"""

import json
import os
import sys
import time

# What torch and transformers print must not mix with the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

threads = int(sys.argv[1])
os.environ["OMP_NUM_THREADS"] = str(threads)

import torch
import torch.nn.functional as F
from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

torch.set_num_threads(threads)
# As the examples of this project do on x86: subnormal numbers count as zero.
torch.set_flush_denormal(True)
torch._dynamo.config.cache_size_limit = 64


def rule(q, k, v, g, beta, h0):
    """The rule as the model's layer calls it: heads are repeated outside."""
    groups = v.shape[2] // q.shape[2]
    if groups > 1:
        q = q.repeat_interleave(groups, dim=2)
        k = k.repeat_interleave(groups, dim=2)
    return torch_chunk_gated_delta_rule(q, k, v, g=g, beta=beta, initial_state=h0, output_final_state=True)


class Case:
    """Inputs, and a step that computes outputs and perhaps all gradients."""

    def __init__(self, mode, shape, backward):
        b, t, hk, hv, key, value = shape
        generator = torch.Generator().manual_seed(1)

        def normal(*size):
            return torch.randn(*size, generator=generator)

        self.inputs = [
            F.normalize(normal(b, t, hk, key), dim=-1),
            F.normalize(normal(b, t, hk, key), dim=-1),
            normal(b, t, hv, value),
            F.logsigmoid(normal(b, t, hv)) / 16,
            torch.sigmoid(normal(b, t, hv)),
            normal(b, hv, key, value),
        ]
        self.seeds = [normal(b, t, hv, value), normal(b, hv, key, value)]
        self.function = rule
        if mode == "compile":
            self.function = torch.compile(rule, dynamic=False)
        self.backward = backward
        for x in self.inputs:
            x.requires_grad_(backward)

    def step(self):
        """Returns the seconds of one run."""
        start = time.perf_counter()
        if self.backward:
            outs = self.function(*self.inputs)
            grads = torch.autograd.grad(outs, self.inputs, self.seeds)
            assert len(grads) == 6
        else:
            with torch.no_grad():
                self.function(*self.inputs)
        return time.perf_counter() - start


def main():
    cases = {}
    for line in sys.stdin:
        ask = json.loads(line)
        name = (ask["mode"], tuple(ask["shape"]), ask["pass"])
        try:
            if name not in cases:
                cases[name] = Case(ask["mode"], ask["shape"], ask["pass"] == "fwdbwd")
                for _ in range(2):
                    cases[name].step()
            answer = {"ms": [1e3 * cases[name].step() for _ in range(ask["runs"])]}
        except Exception as error:  # told to whoever asked, and the next case goes on
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(answer), file=answers, flush=True)


main()
