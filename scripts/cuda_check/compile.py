"""Compiles CUDA kernels with NVRTC, which needs no GPU, and prints what they take.

usage: compile.py NVRTC_FOLDER FILE...

The exit code is 1 if a kernel does not compile, or if one whose first line is
"// in registers" keeps variables in memory.
"""

import ctypes
import multiprocessing
import os
import re
import sys
import time

ARCHITECTURES = "sm_80", "sm_90a"  # the first that has the instructions; H100


def load(folder):
    library = os.path.join(folder, "nvidia", "cu13", "lib")
    builtins = [name for name in os.listdir(library) if name.startswith("libnvrtc-builtins.so")]
    ctypes.CDLL(os.path.join(library, builtins[0]), ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(os.path.join(library, "libnvrtc.so.13"))


def build(job):
    """Returns what NVRTC says of a kernel, and the seconds that it took."""
    folder, path, architecture = job
    nvrtc, program = load(folder), ctypes.c_void_p()
    with open(path, "rb") as source:
        text = source.read()
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, path.encode(), 0, None, None) != 0:
        raise RuntimeError("NVRTC doesn't start")
    options = [
        f"--gpu-architecture={architecture}",
        f"--include-path={os.path.join(folder, 'nvidia', 'cu13', 'include')}",
        "--device-as-default-execution-space",
        "--ptxas-options=--verbose",
        "--diag-suppress=177",  # what a kernel doesn't use
    ]
    array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    start = time.perf_counter()
    fault = nvrtc.nvrtcCompileProgram(program, len(options), array)
    seconds = time.perf_counter() - start
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value + 1)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return path, architecture, fault, log.value.decode(), seconds, text.startswith(b"// in registers")


def number(pattern, log):
    match = re.search(pattern, log)
    return int(match.group(1)) if match else 0


def main(folder, *paths):
    jobs = [(folder, path, architecture) for path in sorted(paths) for architecture in ARCHITECTURES]
    failures = 0
    print(f"{'kernel':64} {'GPU':6} registers  stack spilled shared bytes  seconds")
    with multiprocessing.Pool() as pool:
        for path, architecture, fault, log, seconds, strict in pool.imap(build, jobs):
            name = os.path.splitext(os.path.basename(path))[0]
            if fault:
                failures += 1
                print(f"{name} {architecture}: NVRTC fails\n{log}")
                continue
            stack, stores = number(r"(\d+) bytes stack", log), number(r"(\d+) bytes spill stores", log)
            registers, shared = number(r"Used (\d+) registers", log), number(r"(\d+) bytes smem", log)
            wrong = registers == 0 or strict and stack + stores > 0
            failures += wrong
            print(f"{name:64} {architecture:6} {registers:9} {stack:6} {stores:7} {shared:12} {seconds:8.2f}{'  FAILED' if wrong else ''}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
