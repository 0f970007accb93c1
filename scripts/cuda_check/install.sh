#!/bin/sh
# Makes WORK/install NVIDIA's run-time compiler. Called by cuda_check.sh.
# usage: install.sh GOARCH WORK
set -eu
goarch=$1 work=$2
scripts=$(cd "$(dirname "$0")/.." && pwd -P)
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/tools.sh
. "$scripts/tools.sh"
task='getting the compiler for CUDA'

need_python
check_needs
check_space 500
say "downloading NVRTC, the compiler for CUDA (90 MB)"
platforms=$(manylinux "$goarch")
# shellcheck disable=SC2086 # one word each
fetch_wheels nvrtc $platforms
for wheel in "$work"/wheels/*.whl; do unpack_wheel "$wheel" "$work/install"; done
sync
echo built=1 >"$work/install/build-info"
